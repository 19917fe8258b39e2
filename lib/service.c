#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/service.h"

/* How often a full backlog is tried again, in milliseconds. */
#define CONNECT_PAUSE_MS 5

static int
set_address(struct sockaddr_un *address, const char *path, const char *suffix)
{
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	int length = snprintf(address->sun_path, sizeof address->sun_path,
		"%s%s", path, suffix);
	if (length < 0 || (size_t)length >= sizeof address->sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

int
service_listen(const char *path, int type, mode_t mode, gid_t gid, int backlog)
{
	struct sockaddr_un address;
	int saved;

	if (set_address(&address, path, ".new") < 0)
		return -1;
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)unlink(address.sun_path);
	mode_t mask = umask(0777);
	int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
	saved = errno;
	umask(mask);
	errno = saved;
	if (bound < 0)
		goto close_socket;
	if ((gid != (gid_t)-1 &&
		    lchown(address.sun_path, (uid_t)-1, gid) < 0) ||
		chmod(address.sun_path, mode) < 0 || listen(fd, backlog) < 0 ||
		rename(address.sun_path, path) < 0)
		goto remove_name;
	return fd;

remove_name:
	saved = errno;
	(void)unlink(address.sun_path);
	errno = saved;
close_socket:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int
service_connect(const char *path, int type, int64_t deadline_ms)
{
	struct sockaddr_un address;

	if (set_address(&address, path, "") < 0)
		return -1;
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* A unix socket connects at once or, its backlog being full, gives
	 * EAGAIN, for which there is nothing to poll: so try again. */
	while (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		int left = deadline_left_ms(deadline_ms);
		int saved = errno;

		if (errno == EINTR)
			continue;
		if (errno == EAGAIN && left != 0) {
			poll(NULL, 0, CONNECT_PAUSE_MS);
			continue;
		}
		close(fd);
		errno = saved == EAGAIN ? ETIMEDOUT : saved;
		return -1;
	}
	return fd;
}
