#include <errno.h>
#include <skalibs/uint16.h>
#include <skalibs/uint32.h>
#include <skalibs/uint64.h>
#include "lib/pack.h"

static int
append(stralloc *into, const void *octets, size_t length)
{
	if (stralloc_catb(into, octets, length))
		return 0;
	errno = ENOMEM;
	return -1;
}

int
pack_u8(stralloc *into, uint8_t value)
{
	return append(into, &value, 1);
}

int
pack_u16(stralloc *into, uint16_t value)
{
	char octets[2];

	uint16_pack_big(octets, value);
	return append(into, octets, sizeof octets);
}

int
pack_u32(stralloc *into, uint32_t value)
{
	char octets[4];

	uint32_pack_big(octets, value);
	return append(into, octets, sizeof octets);
}

int
pack_u64(stralloc *into, uint64_t value)
{
	char octets[8];

	uint64_pack_big(octets, value);
	return append(into, octets, sizeof octets);
}

int
pack_text(stralloc *into, const char *text, size_t length)
{
	size_t before = into->len;

	if (length > UINT16_MAX) {
		errno = EOVERFLOW;
		return -1;
	}
	if (pack_u16(into, (uint16_t)length) == 0 &&
		append(into, text, length) == 0)
		return 0;
	into->len = before;
	return -1;
}

void
unpack_start(struct unpack *cursor, const void *octets, size_t length)
{
	cursor->at = octets;
	/* NULL + 0 is not defined in C */
	cursor->end = length == 0 ? cursor->at : cursor->at + length;
	cursor->failed = false;
}

const void *
unpack_octets(struct unpack *cursor, size_t length)
{
	const unsigned char *octets = cursor->at;

	if (cursor->failed || (size_t)(cursor->end - cursor->at) < length) {
		cursor->failed = true;
		return NULL;
	}
	cursor->at += length;
	return octets;
}

uint8_t
unpack_u8(struct unpack *cursor)
{
	const unsigned char *octet = unpack_octets(cursor, 1);

	return octet == NULL ? 0 : *octet;
}

uint16_t
unpack_u16(struct unpack *cursor)
{
	const char *octets = unpack_octets(cursor, 2);
	uint16_t value = 0;

	if (octets != NULL)
		uint16_unpack_big(octets, &value);
	return value;
}

uint32_t
unpack_u32(struct unpack *cursor)
{
	const char *octets = unpack_octets(cursor, 4);
	uint32_t value = 0;

	if (octets != NULL)
		uint32_unpack_big(octets, &value);
	return value;
}

uint64_t
unpack_u64(struct unpack *cursor)
{
	const char *octets = unpack_octets(cursor, 8);
	uint64_t value = 0;

	if (octets != NULL)
		uint64_unpack_big(octets, &value);
	return value;
}

const char *
unpack_text(struct unpack *cursor, size_t *length)
{
	size_t wanted = unpack_u16(cursor);
	const char *text = unpack_octets(cursor, wanted);

	*length = text == NULL ? 0 : wanted;
	return text;
}

bool
unpack_ended(const struct unpack *cursor)
{
	return !cursor->failed && cursor->at == cursor->end;
}
