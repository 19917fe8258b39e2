#include "mail/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "mail/draft.h"

int
attach_read(const char *path, stralloc *into, size_t *left)
{
	int is_input = strcmp(path, "-") == 0, error;
	int fd = is_input ? 0 : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t count = -1;

	if (fd < 0)
		return -1;
	for (;;) {
		if (!stralloc_readyplus(into, 65536)) {
			errno = ENOMEM;
			count = -1;
			break;
		}
		count = read(fd, into->s + into->len, 65536);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			break;
		if ((size_t)count > *left) {
			errno = EFBIG;
			count = -1;
			break;
		}
		into->len += (size_t)count;
		*left -= (size_t)count;
	}
	error = errno;
	if (!is_input)
		close(fd);
	errno = error;
	return count < 0 ? -1 : 0;
}

size_t
attach_split(const char *text, const char **type)
{
	const char *colon = strrchr(text, ':');

	*type = NULL;
	if (colon == NULL || colon == text ||
		!draft_is_type(colon + 1, strlen(colon + 1)) ||
		access(text, F_OK) == 0)
		return strlen(text);
	*type = colon + 1;
	return (size_t)(colon - text);
}
