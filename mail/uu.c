#include "mail/uu.h"

#include <errno.h>
#include <string.h>

/* The octets in a line of data, at most. */
#define LINE_OCTETS 63

/* The line at text[at..len) without its end; *next is behind it. */
static size_t
line_length(const char *text, size_t len, size_t at, size_t *next)
{
	const char *feed = memchr(text + at, '\n', len - at);
	size_t length = feed == NULL ? len - at : (size_t)(feed - text) - at;

	*next = feed == NULL ? len : at + length + 1;
	if (length > 0 && text[at + length - 1] == '\r')
		length--;
	return length;
}

static int
read_begin(const char *line, size_t len, struct uu_file *file)
{
	size_t i = 6;

	if (len < 11 || memcmp(line, "begin ", 6) != 0)
		return 0;
	while (i < len && i < 10 && line[i] >= '0' && line[i] <= '7')
		i++;
	if (i < 9 || i + 1 >= len || line[i] != ' ')
		return 0;
	file->name = line + i + 1;
	file->name_len = len - i - 1;
	return 1;
}

/* The octets that a line of data stands for; -1: it is none. Spaces at its end may
 * be missing, and an octet may be more. */
static int
data_octets(const char *line, size_t len)
{
	size_t i, octets;

	if (len == 0)
		return 0;
	for (i = 0; i < len; i++) {
		if (line[i] < ' ' || line[i] > '`')
			return -1;
	}
	octets = ((size_t)line[0] - ' ') & 63;
	return len <= 1 + (octets + 2) / 3 * 4 + 1 ? (int)octets : -1;
}

/* Reads on from a begin to its end. 1, or 0: it has none. */
static int
read_rest(const char *text, size_t len, size_t at, struct uu_file *file)
{
	int octets = 1;

	file->data = at;
	while (at < len) {
		size_t next, length = line_length(text, len, at, &next);

		if (length == 3 && memcmp(text + at, "end", 3) == 0) {
			file->end = next;
			return 1;
		}
		/* After the line of no octets comes the end. */
		if (octets == 0)
			return 0;
		octets = data_octets(text + at, length);
		if (octets < 0)
			return 0;
		at = next;
	}
	return 0;
}

int
uu_find(const char *text, size_t len, size_t at, struct uu_file *file)
{
	while (at < len) {
		size_t next, length = line_length(text, len, at, &next);

		if (read_begin(text + at, length, file) &&
			read_rest(text, len, next, file)) {
			file->start = at;
			return 1;
		}
		at = next;
	}
	return 0;
}

static void
decode_line(const char *line, size_t len, stralloc *into)
{
	size_t octets = ((size_t)line[0] - ' ') & 63, i, k;

	for (i = 0; i < octets; i += 3) {
		unsigned bits = 0;

		for (k = 0; k < 4; k++) {
			size_t at = 1 + i / 3 * 4 + k;

			bits = bits << 6 |
			       (at < len ? ((unsigned)line[at] - ' ') & 63 : 0);
		}
		for (k = 0; k < 3 && i + k < octets; k++)
			into->s[into->len++] =
				(char)(bits >> (16 - 8 * k) & 0xff);
	}
}

int
uu_decode(const char *text, const struct uu_file *file, stralloc *into)
{
	size_t at = file->data, next;

	for (; at < file->end; at = next) {
		size_t length = line_length(text, file->end, at, &next);

		if (next == file->end)
			break;
		if (!stralloc_readyplus(into, LINE_OCTETS + 1)) {
			errno = ENOMEM;
			return -1;
		}
		if (length > 0)
			decode_line(text + at, length, into);
	}
	return 0;
}

int
uu_without(const char *text, size_t len, stralloc *into)
{
	struct uu_file file;
	size_t at = 0;

	while (at < len) {
		size_t end = uu_find(text, len, at, &file) ? file.start : len;

		if (end > at && !stralloc_catb(into, text + at, end - at)) {
			errno = ENOMEM;
			return -1;
		}
		at = end < len ? file.end : len;
	}
	return 0;
}
