#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/ours.h"
#include "lib/service.h"
#include "local/resolve.h"

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
	       answer->domain <= OURS_DATABASE &&
	       answer->room <= RESOLVE_FULL &&
	       has_end(answer->account, sizeof answer->account) &&
	       has_end(answer->dash, sizeof answer->dash) &&
	       has_end(answer->extension, sizeof answer->extension) &&
	       has_end(answer->text, sizeof answer->text);
}

static int
send_question(int fd, const char *address, uint32_t asks)
{
	struct resolve_question question = {
		.magic = RESOLVE_MAGIC, .asks = asks};

	memcpy(question.address, address, strlen(address));
	return send(fd, &question, sizeof question, MSG_NOSIGNAL) ==
			       (ssize_t)sizeof question
		       ? 0
		       : -1;
}

int
resolve_send(int *fd, const char *socket_path, const char *address,
	uint32_t asks, int64_t deadline_ms)
{
	bool is_old = *fd >= 0;

	if (strlen(address) >= RESOLVE_TEXT_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (;;) {
		if (*fd < 0)
			*fd = service_connect(
				socket_path, SOCK_SEQPACKET, deadline_ms);
		if (*fd < 0)
			return -1;
		if (send_question(*fd, address, asks) == 0)
			return 0;
		int saved = errno;
		close(*fd);
		*fd = -1;
		errno = saved;
		/* A connection from before: the service may have been started
		 * again since. */
		if (!is_old)
			return -1;
		is_old = false;
	}
}

int
resolve_receive(int fd, struct resolve_answer *answer)
{
	ssize_t got;

	do
		got = recv(
			fd, answer, sizeof *answer, MSG_TRUNC | MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return -1;
	if (got == (ssize_t)sizeof *answer && is_sound(answer))
		return 1;
	if (got >= 0)
		errno = got == 0 ? ECONNRESET : EPROTO;
	return 0;
}

/* Waits for the answer and takes it. 0, or -1 with errno. */
static int
receive(int fd, struct resolve_answer *answer, int64_t deadline_ms)
{
	for (;;) {
		if (deadline_wait(fd, POLLIN, deadline_ms) < 0)
			return -1;
		int result = resolve_receive(fd, answer);
		if (result >= 0)
			return result == 1 ? 0 : -1;
	}
}

int
resolve_ask(int *fd, const char *socket_path, const char *address,
	uint32_t asks, int64_t deadline_ms, struct resolve_answer *answer)
{
	bool is_old = *fd >= 0;

	for (;;) {
		if (resolve_send(fd, socket_path, address, asks, deadline_ms) <
			0)
			return -1;
		if (receive(*fd, answer, deadline_ms) == 0)
			return 0;
		int saved = errno;
		close(*fd);
		*fd = -1;
		errno = saved;
		/* As in resolve_send. */
		if (!is_old || saved == ETIMEDOUT || saved == EPROTO)
			return -1;
		is_old = false;
	}
}
