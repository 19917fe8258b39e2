/*
 * users/assign: a line, and a whole file that is compiled. Who is accepted has a
 * home, and what is looked up in the compiled file is sound.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "local/assign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct assign assign;
	char name[ADDRESS_LOCAL_MAX + 1] = "", why[300] = "";
	const char *text = (const char *)data;

	if (size == 0)
		return 0;
	enum assign_line kind =
		assign_line_scan(text, size, &assign, name, why, sizeof why);
	assert(kind != ASSIGN_BAD || why[0] != 0);
	if (kind == ASSIGN_ENTRY)
		assert(assign.home[0] == '/' && strlen(name) < sizeof name);
	int fd = memfd_create("assign", MFD_CLOEXEC);
	assert(fd >= 0);
	why[0] = 0;
	long count = assign_compile(text, size, fd, why, sizeof why);
	assert(count >= 0 || why[0] != 0);
	close(fd);
	return 0;
}
