#include "lib/output.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"

void
output_start(struct output *output, int fd)
{
	output->fd = fd;
	output->not_socket = 0;
	output->used = 0;
	output->written = 0;
}

/* Waits until a write does not block. Returns 0, or -1 with errno. */
static int
wait_for_room(int fd, int64_t deadline_ms)
{
	struct pollfd waiting = {.fd = fd, .events = POLLOUT};

	for (;;) {
		int ready = poll(&waiting, 1, deadline_left_ms(deadline_ms));

		if (ready > 0) {
			if (!(waiting.revents & POLLNVAL))
				return 0;
			errno = EBADF;
			return -1;
		}
		if (ready < 0 && errno != EINTR)
			return -1;
		if (deadline_left_ms(deadline_ms) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
}

/*
 * One write that does not block. A pipe that poll() calls writable takes
 * PIPE_BUF octets at least.
 */
static ssize_t
write_some(struct output *output, const char *octets, size_t len)
{
	if (!output->not_socket)
		return send(
			output->fd, octets, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return write(output->fd, octets, len < PIPE_BUF ? len : PIPE_BUF);
}

static int
write_all(struct output *output, const char *octets, size_t len,
	int64_t deadline_ms)
{
	bool is_blocked = false;

	while (len > 0) {
		/* a socket says by itself that it is full */
		if ((is_blocked || output->not_socket) &&
			wait_for_room(output->fd, deadline_ms) == -1)
			return -1;
		ssize_t count = write_some(output, octets, len);
		is_blocked = count == -1;
		if (count == -1) {
			if (errno == ENOTSOCK) {
				output->not_socket = 1;
				continue;
			}
			if (errno != EINTR && errno != EAGAIN)
				return -1;
			if (deadline_left_ms(deadline_ms) != 0)
				continue;
			errno = ETIMEDOUT;
			return -1;
		}
		octets += count;
		len -= (size_t)count;
		output->written += (size_t)count;
	}
	return 0;
}

int
output_flush(struct output *output, int64_t deadline_ms)
{
	size_t used = output->used;

	output->used = 0;
	return write_all(output, output->buffer, used, deadline_ms);
}

int
output_put(struct output *output, const void *octets, size_t len,
	int64_t deadline_ms)
{
	const char *from = octets;

	if (len > OUTPUT_BUFFER_OCTETS - output->used) {
		if (output_flush(output, deadline_ms) == -1)
			return -1;
		/* More than the buffer holds need not go through it. */
		if (len >= OUTPUT_BUFFER_OCTETS)
			return write_all(output, from, len, deadline_ms);
	}
	memcpy(output->buffer + output->used, from, len);
	output->used += len;
	return 0;
}

char *
output_space(struct output *output, size_t *room)
{
	*room = OUTPUT_BUFFER_OCTETS - output->used;
	return output->buffer + output->used;
}

void
output_commit(struct output *output, size_t count)
{
	output->used += count;
}
