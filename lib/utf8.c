#include "lib/utf8.h"

/* Whether the octet at p continues a character; p may be the end. */
static int
continues(const unsigned char *p, const unsigned char *end)
{
	return p < end && (*p & 0xc0) == 0x80;
}

/* The grammar of RFC 3629 section 4, a branch for each of its lines. */
size_t
utf8_scan(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end = p + len;

	if (len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || !continues(p + 1, end))
		return 0;
	if (p[0] < 0xe0)
		return 2;
	if (!continues(p + 2, end))
		return 0;
	if (p[0] < 0xf0) {
		if (p[0] == 0xe0 && p[1] < 0xa0)
			return 0; /* not the shortest form */
		if (p[0] == 0xed && p[1] > 0x9f)
			return 0; /* a surrogate */
		return 3;
	}
	if (!continues(p + 3, end))
		return 0;
	if (p[0] == 0xf0 && p[1] < 0x90)
		return 0; /* not the shortest form */
	if (p[0] == 0xf4 && p[1] > 0x8f)
		return 0; /* above U+10FFFF */
	return 4;
}

int
utf8_valid(const char *text, size_t len)
{
	while (len > 0) {
		size_t octets = utf8_scan(text, len);

		if (octets == 0)
			return 0;
		text += octets;
		len -= octets;
	}
	return 1;
}
