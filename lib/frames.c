#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <skalibs/uint32.h>
#include "lib/deadline.h"
#include "lib/frames.h"

int
frame_send(int fd, uint8_t type, const void *payload, size_t length,
	int64_t deadline_ms)
{
	unsigned char head[FRAME_HEAD] = {type};
	struct iovec part[2] = {{head, sizeof head},
		{length == 0 ? head : (void *)(size_t)payload, length}};
	struct msghdr message = {.msg_iov = part, .msg_iovlen = 2};

	if (length > UINT32_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	uint32_pack_big((char *)head + 1, (uint32_t)length);
	while (part[0].iov_len + part[1].iov_len > 0) {
		ssize_t put =
			sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (put < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN ||
				deadline_wait(fd, POLLOUT, deadline_ms) < 0)
				return -1;
			continue;
		}
		for (int i = 0; i < 2; i++) {
			size_t of = (size_t)put < part[i].iov_len
					    ? (size_t)put
					    : part[i].iov_len;

			part[i].iov_base = (char *)part[i].iov_base + of;
			part[i].iov_len -= of;
			put -= (ssize_t)of;
		}
	}
	return 0;
}

void
frame_reader_start(
	struct frame_reader *reader, int fd, void *buffer, size_t size)
{
	reader->fd = fd;
	reader->buffer = buffer;
	reader->size = size;
	reader->start = reader->end = 0;
}

/* Adds octets to the buffer. */
static enum frame_result
fill(struct frame_reader *reader, int64_t deadline_ms)
{
	if (reader->start > 0) {
		memmove(reader->buffer, reader->buffer + reader->start,
			reader->end - reader->start);
		reader->end -= reader->start;
		reader->start = 0;
	}
	for (;;) {
		ssize_t got = recv(reader->fd, reader->buffer + reader->end,
			reader->size - reader->end, MSG_DONTWAIT);

		if (got > 0) {
			reader->end += (size_t)got;
			return FRAME_OK;
		}
		if (got == 0)
			return reader->end == 0 ? FRAME_CLOSED : FRAME_BROKEN;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return FRAME_ERROR;
		if (deadline_wait(reader->fd, POLLIN, deadline_ms) < 0)
			return errno == ETIMEDOUT ? FRAME_TIMEOUT : FRAME_ERROR;
	}
}

enum frame_result
frame_read(
	struct frame_reader *reader, int64_t deadline_ms, struct frame *frame)
{
	for (;;) {
		unsigned char *head = reader->buffer + reader->start;
		size_t held = reader->end - reader->start;
		uint32_t length;

		if (held >= FRAME_HEAD) {
			uint32_unpack_big((const char *)head + 1, &length);
			if (length > reader->size - FRAME_HEAD)
				return FRAME_BROKEN;
			if (held - FRAME_HEAD >= length) {
				frame->type = head[0];
				frame->payload = head + FRAME_HEAD;
				frame->length = length;
				reader->start += FRAME_HEAD + length;
				return FRAME_OK;
			}
		}
		enum frame_result result = fill(reader, deadline_ms);
		if (result != FRAME_OK)
			return result;
	}
}
