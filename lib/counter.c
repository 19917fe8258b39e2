#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/counter.h"
#include "lib/deadline.h"
#include "lib/service.h"

/* A key, and nothing but zeros behind it. */
static bool
is_key(const char key[COUNTER_KEY_MAX + 1])
{
	size_t len = strnlen(key, COUNTER_KEY_MAX + 1);

	if (len == 0 || len > COUNTER_KEY_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (key[i] < 32 || key[i] > 126)
			return false;
	for (size_t i = len; i <= COUNTER_KEY_MAX; i++)
		if (key[i] != 0)
			return false;
	return true;
}

bool
counter_question_read(
	const void *octets, size_t len, struct counter_question *question)
{
	struct counter_question read;

	if (len != sizeof read)
		return false;
	memcpy(&read, octets, sizeof read);
	if (read.magic != COUNTER_MAGIC || !is_key(read.key))
		return false;
	if (read.operation == COUNTER_HOLD
			? read.amount != 0 || read.window_s != 0
			: read.operation != COUNTER_ADD ||
				  read.amount > COUNTER_AMOUNT_MAX ||
				  read.window_s < 1 ||
				  read.window_s > COUNTER_WINDOW_MAX)
		return false;
	*question = read;
	return true;
}

static int
make_question(struct counter_question *question,
	enum counter_operation operation, const char *key, uint32_t amount,
	uint32_t window_s)
{
	*question = (struct counter_question){.magic = COUNTER_MAGIC,
		.operation = operation,
		.amount = amount,
		.window_s = window_s};
	size_t len = strlen(key);
	if (len > COUNTER_KEY_MAX) {
		errno = EINVAL;
		return -1;
	}
	memcpy(question->key, key, len);
	if (counter_question_read(question, sizeof *question, question))
		return 0;
	errno = EINVAL;
	return -1;
}

/* Receives the answer. 0, or -1 with errno. */
static int
receive(int fd, int64_t deadline_ms, struct counter_answer *answer)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	ssize_t got;

	do {
		int ready = poll(&wait, 1, deadline_left_ms(deadline_ms));

		if (ready == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (ready < 0) {
			got = -1;
			continue;
		}
		got = recv(
			fd, answer, sizeof *answer, MSG_TRUNC | MSG_DONTWAIT);
	} while (got < 0 && (errno == EINTR || errno == EAGAIN));
	if (got < 0)
		return -1;
	if (got == (ssize_t)sizeof *answer && answer->magic == COUNTER_MAGIC &&
		(answer->status == COUNTER_OK ||
			answer->status == COUNTER_FULL))
		return 0;
	errno = got == 0 ? ECONNRESET : EPROTO;
	return -1;
}

/* One question on an open connection. 0, or -1 with errno. */
static int
ask(int fd, const struct counter_question *question, int64_t deadline_ms,
	uint64_t *total)
{
	struct counter_answer answer;

	if (send(fd, question, sizeof *question, MSG_NOSIGNAL) !=
		(ssize_t)sizeof *question)
		return -1;
	if (receive(fd, deadline_ms, &answer) < 0)
		return -1;
	if (answer.status == COUNTER_FULL) {
		errno = ENOSPC;
		return -1;
	}
	*total = answer.total;
	return 0;
}

static void
drop(struct counter *counter)
{
	int saved = errno;

	if (counter->fd >= 0)
		close(counter->fd);
	counter->fd = -1;
	errno = saved;
}

/* Connects, and holds what was held. */
static int
open_connection(
	struct counter *counter, const char *socket_path, int64_t deadline_ms)
{
	struct counter_question question;
	uint64_t total;

	counter->fd = service_connect(socket_path, SOCK_SEQPACKET, deadline_ms);
	if (counter->fd < 0)
		return -1;
	for (unsigned i = 0; i < counter->holds; i++) {
		if (make_question(&question, COUNTER_HOLD, counter->hold[i], 0,
			    0) == 0 &&
			(ask(counter->fd, &question, deadline_ms, &total) ==
					0 ||
				errno == ENOSPC))
			continue;
		drop(counter);
		return -1;
	}
	return 0;
}

static int
carry_out(struct counter *counter, const char *socket_path,
	const struct counter_question *question, int64_t deadline_ms,
	uint64_t *total)
{
	bool is_old = counter->fd >= 0;

	for (;;) {
		if (counter->fd < 0 &&
			open_connection(counter, socket_path, deadline_ms) < 0)
			return -1;
		if (ask(counter->fd, question, deadline_ms, total) == 0)
			return 0;
		if (errno == ENOSPC)
			return -1;
		drop(counter);
		/* A connection from before: the service may have been started
		 * again since. */
		if (!is_old || errno == ETIMEDOUT || errno == EPROTO)
			return -1;
		is_old = false;
	}
}

int
counter_add(struct counter *counter, const char *socket_path, const char *key,
	uint32_t amount, uint32_t window_s, int64_t deadline_ms,
	uint64_t *total)
{
	struct counter_question question;

	if (make_question(&question, COUNTER_ADD, key, amount, window_s) < 0)
		return -1;
	return carry_out(counter, socket_path, &question, deadline_ms, total);
}

int
counter_hold(struct counter *counter, const char *socket_path, const char *key,
	int64_t deadline_ms, uint64_t *total)
{
	struct counter_question question;

	if (make_question(&question, COUNTER_HOLD, key, 0, 0) < 0)
		return -1;
	if (counter->holds == COUNTER_HOLDS_MAX) {
		errno = ENOSPC;
		return -1;
	}
	if (carry_out(counter, socket_path, &question, deadline_ms, total) < 0)
		return -1;
	snprintf(counter->hold[counter->holds], sizeof counter->hold[0], "%s",
		key);
	counter->holds++;
	return 0;
}

void
counter_close(struct counter *counter)
{
	drop(counter);
	COUNTER_CLOSED(counter);
}
