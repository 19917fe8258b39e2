#include "tools/plain.h"

#include <stdbool.h>
#include <string.h>
#include "lib/utf8.h"

static bool
is_control(const char *text, size_t length)
{
	unsigned char first = (unsigned char)text[0];

	if (length == 2)
		return first == 0xc2 && (unsigned char)text[1] < 0xa0;
	return length == 0 || (length == 1 && (first < ' ' || first == 127));
}

/* U+202A to U+202E, U+2066 to U+2069: they turn the order of what follows. */
static bool
is_turn(const char *text, size_t length)
{
	unsigned char last = length == 3 ? (unsigned char)text[2] : 0;

	return (last >= 0xaa && last <= 0xae &&
		       memcmp(text, "\xe2\x80", 2) == 0) ||
	       (last >= 0xa6 && last <= 0xa9 &&
		       memcmp(text, "\xe2\x81", 2) == 0);
}

static void
print(FILE *file, const char *text, bool may_turn)
{
	size_t left = strlen(text), length;

	for (; left > 0; text += length, left -= length) {
		length = utf8_scan(text, left);
		if (!is_control(text, length) &&
			(may_turn || !is_turn(text, length))) {
			fwrite(text, 1, length, file);
			continue;
		}
		length = 1;
		fprintf(file, "\\x%02x", (unsigned char)*text);
	}
}

void
plain_text(FILE *file, const char *text)
{
	print(file, text, false);
}

void
plain_line(FILE *file, const char *text)
{
	print(file, text, true);
}
