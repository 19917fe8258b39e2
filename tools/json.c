#include "tools/json.h"

#include <stdio.h>
#include <string.h>
#include "lib/utf8.h"

void
json_text(const char *text)
{
	size_t left = strlen(text), length;

	putchar('"');
	for (; left > 0; text += length, left -= length) {
		unsigned char octet = (unsigned char)*text;

		length = utf8_scan(text, left);
		if (length == 0) {
			fputs("\\ufffd", stdout);
			length = 1;
		} else if (octet == '"' || octet == '\\') {
			printf("\\%c", octet);
		} else if (length == 2 && octet == 0xc2 &&
			   (unsigned char)text[1] < 0xa0) {
			printf("\\u%04x", (unsigned char)text[1]);
		} else if (octet < ' ' || octet == 127) {
			printf("\\u%04x", octet);
		} else {
			fwrite(text, 1, length, stdout);
		}
	}
	putchar('"');
}
