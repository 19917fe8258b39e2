#include "lib/escape.h"
#include <string.h>

static int
is_shown(char c, enum escape_style style)
{
	if (c < 32 || c > 126)
		return 0;
	switch (style) {
	case ESCAPE_HEX:
		return c != '\\';
	case ESCAPE_MASK:
		return 1;
	case ESCAPE_COMMENT:
		return strchr("()\\\"", c) == NULL;
	}
	return 0;
}

/* Writes what stands for an octet that is not shown. Returns its length. */
static size_t
replace(char piece[4], char c, enum escape_style style)
{
	static const char DIGITS[] = "0123456789abcdef";

	if (style != ESCAPE_HEX) {
		piece[0] = '?';
		return 1;
	}
	piece[0] = '\\';
	if (c == '\\') {
		piece[1] = '\\';
		return 2;
	}
	piece[1] = 'x';
	piece[2] = DIGITS[(unsigned char)c >> 4];
	piece[3] = DIGITS[(unsigned char)c & 15];
	return 4;
}

size_t
escape_line(char *buffer, size_t size, const char *text, size_t len,
	enum escape_style style)
{
	size_t at = 0, i;

	for (i = 0; i < len; i++) {
		char piece[4] = {text[i]};
		size_t count = 1;

		if (!is_shown(text[i], style))
			count = replace(piece, text[i], style);
		if (count >= size - at)
			break;
		memcpy(buffer + at, piece, count);
		at += count;
	}
	buffer[at] = '\0';
	return at;
}
