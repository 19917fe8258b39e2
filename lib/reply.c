#include "lib/reply.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "lib/escape.h"

/* What stands before the text of a line: "250-", "2.1.1234567 ", CRLF. */
#define LINE_FRAME_MAX (4 + sizeof((struct reply *)0)->enhanced + 2)

_Static_assert(
	REPLY_WIRE_MAX >= REPLY_TEXT_MAX + REPLY_LINES_MAX * LINE_FRAME_MAX,
	"every reply fits into REPLY_WIRE_MAX");

/*
 * Appends a line to the text, divided from the one before; cuts it, or drops it
 * when there is no room.
 */
static void
append_line(struct reply *reply, const char *line, size_t len, int first)
{
	if (!first) {
		if (reply->text_len == REPLY_TEXT_MAX)
			return;
		reply->text[reply->text_len++] = '\n';
	}
	if (len > REPLY_TEXT_MAX - reply->text_len)
		len = REPLY_TEXT_MAX - reply->text_len;
	memcpy(reply->text + reply->text_len, line, len);
	reply->text_len += len;
	reply->text[reply->text_len] = '\0';
}

static void __attribute__((format(printf, 2, 0)))
add_formatted(struct reply *reply, const char *format, va_list arguments)
{
	char raw[REPLY_TEXT_MAX + 1], line[REPLY_TEXT_MAX + 1];
	int wanted = vsnprintf(raw, sizeof raw, format, arguments);
	size_t len = wanted > 0 ? (size_t)wanted : 0, i;

	if (reply->lines == REPLY_LINES_MAX)
		return;
	if (len > REPLY_TEXT_MAX)
		len = REPLY_TEXT_MAX;
	for (i = 0; i < len; i++)
		line[i] = (unsigned char)raw[i] < 32 || raw[i] == 127 ? '?'
								      : raw[i];
	append_line(reply, line, len, reply->lines == 0);
	reply->lines++;
}

struct reply
reply_make(int code, const char *enhanced, const char *format, ...)
{
	struct reply reply = {.code = code};
	va_list arguments;

	if (enhanced != NULL)
		snprintf(reply.enhanced, sizeof reply.enhanced, "%s", enhanced);
	va_start(arguments, format);
	add_formatted(&reply, format, arguments);
	va_end(arguments);
	return reply;
}

void
reply_add(struct reply *reply, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_formatted(reply, format, arguments);
	va_end(arguments);
}

/* Writes one line with its CRLF. Returns its octets, or 0 for want of room. */
static size_t
write_line(const struct reply *reply, int last, const char *text, size_t len,
	char *buffer, size_t size)
{
	char line[REPLY_LINE_MAX + 1];
	size_t at;

	at = (size_t)snprintf(line, sizeof line, "%03d%c%s%s",
		reply->code % 1000, last ? ' ' : '-', reply->enhanced,
		reply->enhanced[0] != '\0' ? " " : "");
	at += escape_line(
		line + at, REPLY_LINE_MAX - 2 - at + 1, text, len, ESCAPE_MASK);
	memcpy(line + at, "\r\n", 2);
	at += 2;
	if (at > size)
		return 0;
	memcpy(buffer, line, at);
	return at;
}

int
reply_next_line(
	const struct reply *reply, size_t *at, const char **line, size_t *len)
{
	const char *stop;

	/* One past the end: the last line has been given. */
	if (*at > reply->text_len)
		return 0;
	*line = reply->text + *at;
	*len = reply->text_len - *at;
	stop = memchr(*line, '\n', *len);
	if (stop != NULL)
		*len = (size_t)(stop - *line);
	*at += *len + 1;
	return 1;
}

size_t
reply_write(const struct reply *reply, char *buffer, size_t size)
{
	size_t written = 0, lines = 0, at = 0, len;
	const char *line;

	while (lines < REPLY_LINES_MAX &&
		reply_next_line(reply, &at, &line, &len)) {
		int last = ++lines == REPLY_LINES_MAX || at > reply->text_len;
		size_t octets = write_line(reply, last, line, len,
			buffer + written, size - written);

		if (octets == 0)
			return 0;
		written += octets;
	}
	return written;
}

void
reply_begin(struct reply *reply)
{
	*reply = (struct reply){0};
}

static int
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The digits at text, at most `most`; 0 if there are none or more. */
static size_t
scan_digits(const char *text, size_t len, size_t most)
{
	size_t at = 0;

	while (at < len && is_digit(text[at]))
		at++;
	return at <= most ? at : 0;
}

/*
 * status-code = class "." subject "." detail (RFC 3463 section 2), of the class
 * of the reply code and followed by a space or nothing. Returns its octets, or
 * 0.
 */
static size_t
scan_enhanced(const char *text, size_t len, int code)
{
	size_t at = 1, part, digits;

	if (len == 0 || text[0] != '0' + code / 100 || code / 100 == 3)
		return 0;
	for (part = 0; part < 2; part++) {
		if (at == len || text[at] != '.')
			return 0;
		at++;
		digits = scan_digits(text + at, len - at, 3);
		if (digits == 0)
			return 0;
		at += digits;
	}
	return at == len || text[at] == ' ' ? at : 0;
}

/* The code of a line, or 0 if it does not begin with one. */
static int
scan_code(const char *line, size_t len)
{
	if (len < 3 || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) ||
		!is_digit(line[2]))
		return 0;
	if (len > 3 && line[3] != ' ' && line[3] != '-')
		return 0;
	return (line[0] - '0') * 100 + (line[1] - '0') * 10 + line[2] - '0';
}

/* Takes the enhanced code off the line's text, if it has the reply's. */
static size_t
take_enhanced(struct reply *reply, const char *text, size_t len)
{
	size_t octets = scan_enhanced(text, len, reply->code);

	if (octets == 0)
		return 0;
	if (reply->lines == 0) {
		memcpy(reply->enhanced, text, octets);
		reply->enhanced[octets] = '\0';
	} else if (strlen(reply->enhanced) != octets ||
		   memcmp(reply->enhanced, text, octets) != 0) {
		return 0;
	}
	return octets < len ? octets + 1 : octets;
}

enum reply_result
reply_take_line(struct reply *reply, const char *line, size_t len)
{
	char clean[REPLY_TEXT_MAX];
	int code = scan_code(line, len);
	int more = len > 3 && line[3] == '-';
	size_t at = len > 3 ? 4 : 3, i;

	if (code == 0 || reply->complete)
		return REPLY_BAD;
	if (reply->lines > 0 && code != reply->code)
		return REPLY_BAD;
	if (len > REPLY_OCTETS_MAX - reply->octets)
		return REPLY_BAD;
	reply->code = code;
	reply->octets += len + 2 <= REPLY_OCTETS_MAX - reply->octets
				 ? len + 2
				 : REPLY_OCTETS_MAX - reply->octets;
	at += take_enhanced(reply, line + at, len - at);
	len = len - at < sizeof clean ? len - at : sizeof clean;
	for (i = 0; i < len; i++)
		clean[i] = line[at + i] == '\0' || line[at + i] == '\n'
				   ? '?'
				   : line[at + i];
	if (reply->lines < REPLY_LINES_MAX)
		append_line(reply, clean, len, reply->lines == 0);
	reply->lines++;
	reply->complete = !more;
	return more ? REPLY_MORE : REPLY_DONE;
}

size_t
reply_summary(const struct reply *reply, char *buffer, size_t size)
{
	char line[REPLY_TEXT_MAX + 32];
	size_t at, i;

	at = (size_t)snprintf(line, sizeof line, "%03d%s%s%s",
		reply->code % 1000, reply->enhanced[0] != '\0' ? " " : "",
		reply->enhanced, reply->text_len > 0 ? " " : "");
	for (i = 0; i < reply->text_len; i++)
		line[at++] = reply->text[i] == '\n' ? ' ' : reply->text[i];
	return escape_line(buffer, size, line, at, ESCAPE_MASK);
}
