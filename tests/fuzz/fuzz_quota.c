/*
 * The file maildirsize, which is the user's: whatever stands in it, a question
 * has an answer, and who is full by it has no room.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include "local/quota.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct quota limit = {.octets = 100000, .messages = 1000};
	const struct quota none = {.octets = 0};
	char path[] = "/tmp/keepmail-fuzz.XXXXXX";

	assert(mkdtemp(path) != NULL);
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(folder >= 0);
	int fd = openat(folder, "maildirsize",
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	if (quota_is_full(folder, &limit))
		assert(quota_take(folder, &limit, QUOTA_SMALLEST) ==
			QUOTA_OVER);
	if (quota_is_full(folder, &none))
		/* the file's own limit may be smaller than any message */
		assert(quota_take(folder, &none, QUOTA_SMALLEST) != QUOTA_FITS);
	assert(quota_take(folder, &none, 10) != QUOTA_TROUBLE);
	/* the folder is empty: whatever the file says, this fits once counted */
	enum quota_result result = quota_take(folder, &limit, 100001);
	assert(result == QUOTA_TOO_BIG);
	quota_give_back(folder, 10);
	(void)unlinkat(folder, "maildirsize", 0);
	close(folder);
	assert(rmdir(path) == 0);
	return 0;
}
