#include <errno.h>
#include <zlib.h>
#include <skalibs/uint32.h>
#include "lib/pack.h"
#include "lib/records.h"

/* The check of a record: CRC-32 of the type and the payload. */
static uint32_t
record_check(uint8_t type, const void *payload, size_t length)
{
	uLong crc = crc32(0, &type, 1);

	return (uint32_t)(length == 0 ? crc
				      : crc32(crc, payload, (uInt)length));
}

int
record_append(stralloc *into, uint8_t type, const void *payload, size_t length)
{
	size_t before = into->len;

	if (length > RECORD_PAYLOAD_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (pack_u32(into, (uint32_t)length) == 0 && pack_u8(into, type) == 0 &&
		(length == 0 || stralloc_catb(into, payload, length)) &&
		pack_u32(into, record_check(type, payload, length)) == 0)
		return 0;
	into->len = before;
	errno = ENOMEM;
	return -1;
}

void
record_start(struct record_cursor *cursor, const void *octets, size_t length)
{
	cursor->at = octets;
	/* NULL + 0 is not defined in C */
	cursor->end = length == 0 ? cursor->at : cursor->at + length;
}

enum record_result
record_next(struct record_cursor *cursor, struct record *record)
{
	size_t left = (size_t)(cursor->end - cursor->at);
	uint32_t length, check;

	if (left == 0)
		return RECORD_END;
	if (left < RECORD_OVERHEAD)
		return RECORD_TORN;
	uint32_unpack_big((const char *)cursor->at, &length);
	if (length > RECORD_PAYLOAD_MAX || length > left - RECORD_OVERHEAD)
		return RECORD_TORN;
	uint8_t type = cursor->at[4];
	const unsigned char *payload = cursor->at + 5;
	uint32_unpack_big((const char *)payload + length, &check);
	if (check != record_check(type, payload, length))
		return RECORD_TORN;
	record->type = type;
	record->payload = payload;
	record->length = length;
	cursor->at += RECORD_OVERHEAD + length;
	return RECORD_OK;
}
