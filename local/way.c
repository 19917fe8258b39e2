#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/durable.h"
#include "lib/escape.h"
#include "local/way.h"

/* A folder that is only gone through. */
#define WAY_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

void
way_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

int
way_sync(int folder)
{
	int fd = openat(
		folder, ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int result = fd < 0 ? -1 : durable_sync_folder(fd);

	way_close(fd);
	return result;
}

/* The next component of *path, which moves behind it and the slashes that follow.
 * 0, or -1: it is too long. */
static int
take_component(const char **path, char name[NAME_MAX + 1])
{
	size_t length = strcspn(*path, "/");

	if (length > NAME_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, *path, length);
	name[length] = 0;
	*path += length;
	*path += strspn(*path, "/");
	return 0;
}

int
way_open(int folder, const char *path, char last[NAME_MAX + 1])
{
	int at = *path == '/' ? open("/", WAY_FLAGS)
			      : openat(folder, ".", WAY_FLAGS);

	path += strspn(path, "/");
	memcpy(last, ".", 2);
	while (at >= 0 && *path != 0) {
		if (take_component(&path, last) < 0) {
			way_close(at);
			return -1;
		}
		if (*path == 0)
			break;
		int next = openat(at, last, WAY_FLAGS);
		way_close(at);
		at = next;
	}
	return at;
}

void
way_explain(const char *doing, const char *path, int error,
	char text[OUTCOME_TEXT_MAX + 1])
{
	char shown[400];

	escape_line(shown, sizeof shown, path, strlen(path), ESCAPE_MASK);
	const char *status = error == EDQUOT   ? "4.2.2 mailbox is over quota"
			     : error == ENOSPC ? "4.3.1 disk is full"
					       : "4.3.0 delivery failed";
	snprintf(text, OUTCOME_TEXT_MAX + 1, "%s: cannot %s: %s: %s", status,
		doing, shown, strerror(error));
}
