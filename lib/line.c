#include "lib/line.h"
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"

void
line_start(struct line_reader *reader, int fd)
{
	reader->fd = fd;
	reader->start = reader->end = 0;
}

const char *
line_buffered(const struct line_reader *reader, size_t *len)
{
	*len = reader->end - reader->start;
	return reader->buffer + reader->start;
}

void
line_consume(struct line_reader *reader, size_t count)
{
	reader->start += count;
	if (reader->start == reader->end)
		reader->start = reader->end = 0;
}

void
line_discard(struct line_reader *reader)
{
	reader->start = reader->end = 0;
}

/* Waits until the descriptor can be read without blocking. */
static enum line_result
wait_for_input(int fd, int64_t deadline_ms)
{
	struct pollfd waiting = {.fd = fd, .events = POLLIN};

	for (;;) {
		int ready = poll(&waiting, 1, deadline_left_ms(deadline_ms));

		if (ready > 0) {
			if (!(waiting.revents & POLLNVAL))
				return LINE_OK;
			errno = EBADF;
			return LINE_ERROR;
		}
		if (ready < 0 && errno != EINTR)
			return LINE_ERROR;
		if (deadline_left_ms(deadline_ms) == 0)
			return LINE_TIMEOUT;
	}
}

/* Makes room behind what is unread. False: there is none. */
static bool
make_room(struct line_reader *reader)
{
	size_t unread = reader->end - reader->start;

	if (unread == LINE_BUFFER_OCTETS)
		return false;
	if (reader->end == LINE_BUFFER_OCTETS) {
		memmove(reader->buffer, reader->buffer + reader->start, unread);
		reader->start = 0;
		reader->end = unread;
	}
	return true;
}

enum line_result
line_take(struct line_reader *reader)
{
	ssize_t count;

	if (!make_room(reader))
		return LINE_TOO_LONG;
	count = read(reader->fd, reader->buffer + reader->end,
		LINE_BUFFER_OCTETS - reader->end);
	if (count > 0)
		reader->end += (size_t)count;
	if (count >= 0)
		return count > 0 ? LINE_OK : LINE_EOF;
	return errno == EINTR || errno == EAGAIN ? LINE_TIMEOUT : LINE_ERROR;
}

enum line_result
line_fill(struct line_reader *reader, int64_t deadline_ms)
{
	for (;;) {
		if (!make_room(reader))
			return LINE_TOO_LONG;
		enum line_result result =
			wait_for_input(reader->fd, deadline_ms);
		if (result == LINE_OK)
			result = line_take(reader);
		else
			return result;
		/* somebody else had it */
		if (result != LINE_TIMEOUT)
			return result;
	}
}

/* Drops octets up to and with the next LF. */
static enum line_result
drain_line(struct line_reader *reader, int64_t deadline_ms)
{
	size_t drained = 0;

	for (;;) {
		size_t len;
		const char *text = line_buffered(reader, &len);
		const char *lf = memchr(text, '\n', len);
		enum line_result result;

		if (lf != NULL) {
			line_consume(reader, (size_t)(lf - text) + 1);
			return LINE_TOO_LONG;
		}
		drained += len;
		line_discard(reader);
		if (drained > LINE_DRAIN_MAX) {
			errno = EMSGSIZE;
			return LINE_ERROR;
		}
		result = line_fill(reader, deadline_ms);
		if (result != LINE_OK)
			return result;
	}
}

/* Takes the line text[0..with_end), whose last octet is its LF. */
static enum line_result
take_line(struct line_reader *reader, const char *line, size_t with_end,
	const char **text, size_t *len)
{
	size_t without = with_end - 1;
	int crlf = without > 0 && line[without - 1] == '\r';

	without -= (size_t)crlf;
	/* Not line_consume: the octets stay in place until the next call. */
	reader->start += with_end;
	*text = line;
	*len = without;
	if (!crlf || memchr(line, '\r', without) != NULL)
		return LINE_BARE;
	return LINE_OK;
}

enum line_result
line_read(struct line_reader *reader, size_t max, int64_t deadline_ms,
	const char **text, size_t *len)
{
	size_t seen = 0;

	if (line_is_empty(reader))
		line_discard(reader);
	for (;;) {
		size_t unread, with_end;
		const char *line = line_buffered(reader, &unread);
		const char *lf = memchr(line + seen, '\n', unread - seen);
		enum line_result result;

		with_end = lf != NULL ? (size_t)(lf - line) + 1 : unread;
		if (with_end > max || (lf == NULL && unread == max))
			return drain_line(reader, deadline_ms);
		if (lf != NULL)
			return take_line(reader, line, with_end, text, len);
		seen = unread;
		result = line_fill(reader, deadline_ms);
		if (result != LINE_OK)
			return result;
	}
}
