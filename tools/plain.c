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

void
plain_text(FILE *file, const char *text)
{
	size_t left = strlen(text), length;

	for (; left > 0; text += length, left -= length) {
		length = utf8_scan(text, left);
		if (!is_control(text, length)) {
			fwrite(text, 1, length, file);
			continue;
		}
		length = 1;
		fprintf(file, "\\x%02x", (unsigned char)*text);
	}
}
