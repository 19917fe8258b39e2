/*
 * Files of aliases: one entry, and a whole file that is compiled. Who is accepted
 * has a name and targets, each of which is one.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "local/aliases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct alias alias;
	char why[300] = "";
	const char *text = (const char *)data;

	if (size == 0)
		return 0;
	int result = aliases_scan(text, size, &alias, why, sizeof why);
	if (result == 1) {
		assert(alias.name[0] != 0 && alias.targets[0] != 0);
		for (const char *at = alias.targets; *at != 0;) {
			size_t length = strcspn(at, "\n");

			assert(aliases_is_target(at, length));
			at += length + (at[length] == '\n');
		}
	}
	assert(result >= 0 || why[0] != 0);
	int fd = memfd_create("aliases", MFD_CLOEXEC);
	assert(fd >= 0);
	why[0] = 0;
	long count = aliases_compile(text, size, fd, why, sizeof why);
	assert(count >= 0 || why[0] != 0);
	close(fd);
	return 0;
}
