#include <stdbool.h>
#include <string.h>
#include "lib/base64.h"
#include "lib/ow.h"

/* A piece of text is decoded at a time: four characters, and a NUL after them. */
#define GROUP 4

static bool
is_digit(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* The octets of one group, or 0 if it is none. is_last: it may be padded. */
static size_t
read_group(unsigned char octets[3], const char *text, bool is_last)
{
	char group[GROUP + 1] = {text[0], text[1], text[2], text[3], 0};
	char decoded[GROUP + 1], again[GROUP + 1];
	size_t digits = 0, length = 0;

	while (digits < GROUP && is_digit(group[digits]))
		digits++;
	if (digits < GROUP &&
		(!is_last || digits < 2 ||
			memcmp(group + digits, "==", GROUP - digits) != 0))
		return 0;
	if (scan_base64(group, decoded, &length) == 0 ||
		length != digits * 6 / 8)
		return 0;
	/* Unused bits that are not zero do not come back. */
	if (fmt_base64(again, decoded, length) != GROUP ||
		memcmp(again, group, GROUP) != 0)
		return 0;
	memcpy(octets, decoded, length);
	return length;
}

ssize_t
base64_read(void *into, size_t size, const char *text, size_t len)
{
	unsigned char *octets = into, group[3];
	size_t used = 0;

	if (len % GROUP != 0)
		return -1;
	for (size_t at = 0; at < len; at += GROUP) {
		size_t length = read_group(group, text + at, at + GROUP == len);

		if (length == 0 || length > size - used)
			return -1;
		memcpy(octets + used, group, length);
		used += length;
	}
	explicit_bzero(group, sizeof group);
	return (ssize_t)used;
}

size_t
base64_write(char *into, size_t size, const void *octets, size_t len)
{
	if (size == 0)
		return 0;
	*into = 0;
	if (len > SIZE_MAX / 2 || BASE64_TEXT(len) >= size)
		return 0;
	size_t length = fmt_base64(into, octets, len);
	into[length] = 0;
	return length;
}
