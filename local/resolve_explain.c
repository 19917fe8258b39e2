#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/service.h"
#include "local/resolve.h"

/* What may come: steps, and the answer at last. */
union record {
	uint32_t magic;
	struct resolve_step step;
	struct resolve_answer answer;
};

static bool
has_end(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

/* Receives the next record. Its octets, or -1 with errno. */
static ssize_t
next_record(int fd, int64_t deadline_ms, union record *record)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	for (;;) {
		int left = deadline_left_ms(deadline_ms);

		if (left == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (poll(&wait, 1, left) <= 0)
			continue;
		ssize_t got = recv(fd, record, sizeof *record,
			MSG_DONTWAIT | MSG_TRUNC | MSG_PEEK);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		return got;
	}
}

/* Takes steps up to the answer, which it leaves to resolve_receive. */
static int
take_steps(int fd, int64_t deadline_ms,
	void (*step)(void *context, const struct resolve_step *step),
	void *context)
{
	union record record;

	for (;;) {
		ssize_t got = next_record(fd, deadline_ms, &record);

		if (got < 0)
			return -1;
		if (got != (ssize_t)sizeof record.step ||
			record.magic != RESOLVE_STEP_MAGIC)
			return 0;
		(void)recv(fd, &record, sizeof record, MSG_DONTWAIT);
		if (!has_end(record.step.file, sizeof record.step.file) ||
			!has_end(record.step.text, sizeof record.step.text)) {
			errno = EPROTO;
			return -1;
		}
		step(context, &record.step);
	}
}

int
resolve_explain(const char *socket_path, const char *address,
	int64_t deadline_ms,
	void (*step)(void *context, const struct resolve_step *step),
	void *context, struct resolve_answer *answer)
{
	struct resolve_question question = {
		.magic = RESOLVE_MAGIC, .asks = RESOLVE_STEPS};
	int result = -1;

	if (strlen(address) >= sizeof question.address) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(question.address, address, strlen(address));
	int fd = service_connect(socket_path, SOCK_SEQPACKET, deadline_ms);
	if (fd < 0)
		return -1;
	if (send(fd, &question, sizeof question, MSG_NOSIGNAL) ==
			(ssize_t)sizeof question &&
		take_steps(fd, deadline_ms, step, context) == 0 &&
		resolve_receive(fd, answer) == 1)
		result = 0;
	int saved = errno;
	close(fd);
	errno = saved;
	return result;
}
