#include "lib/xtext.h"
#include <string.h>

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Takes one character from text[0..len): returns the octets that it took, or 0
 * if there is none that is allowed. */
static size_t
take(const char *text, size_t len, char *c)
{
	if (text[0] != '+') {
		*c = text[0];
		return text[0] > 32 && text[0] < 127 && text[0] != '=';
	}
	if (len < 3 || digit(text[1]) < 0 || digit(text[2]) < 0)
		return 0;
	int value = digit(text[1]) * 16 + digit(text[2]);
	*c = (char)value;
	return value >= 32 && value < 127 ? 3 : 0;
}

/* How many octets text[0..len) stands for; -1 if it is not xtext. */
static long
measure(const char *text, size_t len)
{
	long count = 0;
	size_t taken;
	char c;

	for (; len > 0; count++, text += taken, len -= taken) {
		taken = take(text, len, &c);
		if (taken == 0)
			return -1;
	}
	return count;
}

long
xtext_decode(char *buffer, size_t size, const char *text, size_t len)
{
	long count = measure(text, len);

	if (count < 0 || (size_t)count >= size)
		return -1;
	for (size_t at = 0; len > 0; at++) {
		size_t taken = take(text, len, &buffer[at]);

		text += taken;
		len -= taken;
	}
	buffer[count] = '\0';
	return count;
}

long
xtext_encode(char *buffer, size_t size, const char *text, size_t len)
{
	static const char DIGITS[] = "0123456789ABCDEF";
	size_t at = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		size_t more = c == '+' || c == '=' || c == ' ' ? 3 : 1;

		if (c < 32 || c > 126 || at + more >= size)
			return -1;
		if (more == 3) {
			buffer[at] = '+';
			buffer[at + 1] = DIGITS[c >> 4];
			buffer[at + 2] = DIGITS[c & 15];
		} else {
			buffer[at] = (char)c;
		}
		at += more;
	}
	if (at >= size)
		return -1;
	buffer[at] = '\0';
	return (long)at;
}

int
xtext_is_envid(const char *text, size_t len)
{
	return measure(text, len) > 0;
}

size_t
xtext_orcpt_type(const char *text, size_t len)
{
	static const char SPECIALS[] = "()<>@,:;\\\".[]";
	size_t at = 0;

	while (at < len && text[at] > 32 && text[at] < 127 &&
		strchr(SPECIALS, text[at]) == NULL)
		at++;
	if (at == 0 || at == len || text[at] != ';')
		return 0;
	return measure(text + at + 1, len - at - 1) > 0 ? at : 0;
}
