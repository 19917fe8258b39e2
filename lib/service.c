#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
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
service_listen_suite(const struct home *home, const char *name, int backlog,
	char *why, size_t size)
{
	char path[HOME_NAME_MAX], relative[HOME_NAME_MAX];
	gid_t suite = (gid_t)-1;

	if (!home->is_private &&
		home_group_id(home, "keep-suite", &suite) < 0) {
		snprintf(why, size,
			"control/ids does not name group keep-suite: run "
			"make-users");
		return -1;
	}
	snprintf(relative, sizeof relative, "socket/%s", name);
	home_path(home, relative, path);
	int fd = service_listen(path, SOCK_SEQPACKET, 0660, suite, backlog);
	if (fd < 0)
		snprintf(why, size, "cannot listen on %s: %s", path,
			strerror(errno));
	return fd;
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

int
service_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

void
service_unblock_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int
service_take_signals(int signals)
{
	struct signalfd_siginfo info;
	int came = 0;

	while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
		came |= info.ssi_signo == SIGTERM ? SERVICE_STOP
						  : SERVICE_CHILD;
	return came;
}

int
service_wait(int signals, int listener, int timeout_ms)
{
	struct pollfd wait[] = {
		{.fd = signals, .events = POLLIN},
		{.fd = listener, .events = POLLIN},
	};

	if (poll(wait, 2, timeout_ms) < 0)
		return errno == EINTR ? 0 : -1;
	return service_take_signals(signals) |
	       (wait[1].revents != 0 ? SERVICE_CONNECTION : 0);
}
