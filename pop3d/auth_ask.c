#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/service.h"
#include "pop3d/auth.h"

static int
wait_for(int fd, short events, int64_t deadline_ms)
{
	struct pollfd one = {fd, events, 0};

	for (;;) {
		int ready = poll(&one, 1, deadline_left_ms(deadline_ms));

		if (ready > 0)
			return 0;
		if (ready == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (errno != EINTR)
			return -1;
	}
}

static int
send_question(int fd, const struct auth_question *question,
	const int *descriptor, unsigned descriptors, int64_t deadline_ms)
{
	while (descriptors_send(fd, question, sizeof *question, descriptor,
		       descriptors) < 0)
		if (errno != EAGAIN || wait_for(fd, POLLOUT, deadline_ms) < 0)
			return -1;
	return 0;
}

static int
receive_answer(int fd, struct auth_answer *answer, int64_t deadline_ms)
{
	unsigned descriptors;
	ssize_t got;

	do {
		if (wait_for(fd, POLLIN, deadline_ms) < 0)
			return -1;
		got = descriptors_receive(
			fd, answer, sizeof *answer, NULL, 0, &descriptors);
	} while (got < 0 && errno == EAGAIN);
	if (got < 0)
		return -1;
	if (got == sizeof *answer && answer->magic == AUTH_MAGIC &&
		answer->verdict >= AUTH_YES &&
		answer->verdict <= AUTH_TEMPORARY &&
		memchr(answer->account, 0, sizeof answer->account) != NULL)
		return 0;
	errno = got == 0 ? ECONNRESET : EBADMSG;
	return -1;
}

int
auth_ask(const char *socket_path, const struct auth_question *question,
	const int *descriptor, unsigned descriptors, int64_t deadline_ms,
	struct auth_answer *answer)
{
	int fd = service_connect(socket_path, SOCK_SEQPACKET, deadline_ms);

	if (fd < 0)
		return -1;
	int result = send_question(
		fd, question, descriptor, descriptors, deadline_ms);
	if (result == 0)
		result = receive_answer(fd, answer, deadline_ms);
	int saved = errno;
	close(fd);
	errno = saved;
	return result;
}
