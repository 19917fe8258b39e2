#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/service.h"
#include "local/resolve.h"

/* Waits until fd can be read. 0, or -1 with errno. */
static int
wait_readable(int fd, int64_t deadline_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	int ready;

	do
		ready = poll(&wait, 1, deadline_left_ms(deadline_ms));
	while (ready < 0 && errno == EINTR);
	if (ready == 0)
		errno = ETIMEDOUT;
	return ready > 0 ? 0 : -1;
}

/* True if the text has its NUL. */
static int
has_end(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static int
is_sound(const struct resolve_answer *answer)
{
	return answer->magic == RESOLVE_MAGIC &&
	       answer->meaning >= RESOLVE_ACCOUNT &&
	       answer->meaning <= RESOLVE_TEMPORARY &&
	       has_end(answer->account, sizeof answer->account) &&
	       has_end(answer->dash, sizeof answer->dash) &&
	       has_end(answer->extension, sizeof answer->extension) &&
	       has_end(answer->text, sizeof answer->text);
}

static int
ask_once(int fd, const struct resolve_question *question, int64_t deadline_ms,
	struct resolve_answer *answer)
{
	if (send(fd, question, sizeof *question, MSG_NOSIGNAL) !=
		(ssize_t)sizeof *question)
		return -1;
	if (wait_readable(fd, deadline_ms) < 0)
		return -1;
	ssize_t got = recv(fd, answer, sizeof *answer, MSG_TRUNC);
	if (got < 0)
		return -1;
	if (got != (ssize_t)sizeof *answer || !is_sound(answer)) {
		errno = got == 0 ? ECONNRESET : EPROTO;
		return -1;
	}
	return 0;
}

int
resolve_ask(int *fd, const char *socket_path, const char *address,
	int64_t deadline_ms, struct resolve_answer *answer)
{
	struct resolve_question question = {.magic = RESOLVE_MAGIC};
	int is_old = *fd >= 0;

	if (strlen(address) >= sizeof question.address) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(question.address, address, strlen(address));
	for (;;) {
		if (*fd < 0)
			*fd = service_connect(
				socket_path, SOCK_SEQPACKET, deadline_ms);
		if (*fd < 0)
			return -1;
		if (ask_once(*fd, &question, deadline_ms, answer) == 0)
			return 0;
		int saved = errno;
		close(*fd);
		*fd = -1;
		errno = saved;
		/* A connection from before: the service may have been started
		 * again since. */
		if (!is_old || saved == ETIMEDOUT || saved == EPROTO)
			return -1;
		is_old = 0;
	}
}
