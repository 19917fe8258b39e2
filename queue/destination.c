#include "queue/destination.h"

#include <string.h>
#include "lib/pack.h"
#include "lib/records.h"

void
destination_text(char *into, size_t size, const char *text)
{
	size_t i;

	for (i = 0; i + 1 < size && text[i] != 0; i++)
		into[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
	into[i] = 0;
}

int
destination_pack_count(stralloc *into, uint32_t count)
{
	stralloc payload = STRALLOC_ZERO;
	int result = pack_u32(&payload, count);

	if (result == 0)
		result = record_append(into, 'N', payload.s, payload.len);
	stralloc_free(&payload);
	return result;
}

int
destination_pack(stralloc *into, const struct destination *one)
{
	stralloc payload = STRALLOC_ZERO;
	int result = -1;

	if (pack_text(&payload, one->name, strlen(one->name)) == 0 &&
		pack_u8(&payload, one->is_local) == 0 &&
		pack_u8(&payload, (uint8_t)one->state) == 0 &&
		pack_u32(&payload, one->out) == 0 &&
		pack_u32(&payload, one->window) == 0 &&
		pack_u32(&payload, one->ready) == 0 &&
		pack_u32(&payload, one->messages) == 0 &&
		pack_u8(&payload, one->has_waiting) == 0 &&
		pack_u32(&payload, one->failures) == 0 &&
		pack_u32(&payload, one->probe_s) == 0 &&
		pack_text(&payload, one->reply, strlen(one->reply)) == 0)
		result = record_append(into, 'D', payload.s, payload.len);
	stralloc_free(&payload);
	return result;
}

/* A text of less than size printable octets. */
static bool
take_text(struct unpack *cursor, char *into, size_t size)
{
	size_t length;
	const char *text = unpack_text(cursor, &length);

	if (text == NULL || length >= size)
		return false;
	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	memcpy(into, text, length);
	into[length] = 0;
	return true;
}

static bool
take(struct destination *one, const struct record *record)
{
	struct unpack cursor;

	unpack_start(&cursor, record->payload, record->length);
	if (record->type != 'D' ||
		!take_text(&cursor, one->name, sizeof one->name))
		return false;
	unsigned is_local = unpack_u8(&cursor);
	unsigned state = unpack_u8(&cursor);
	one->out = unpack_u32(&cursor);
	one->window = unpack_u32(&cursor);
	one->ready = unpack_u32(&cursor);
	one->messages = unpack_u32(&cursor);
	unsigned has_waiting = unpack_u8(&cursor);
	one->failures = unpack_u32(&cursor);
	one->probe_s = unpack_u32(&cursor);
	if (!take_text(&cursor, one->reply, sizeof one->reply) ||
		!unpack_ended(&cursor) || is_local > 1 || has_waiting > 1 ||
		state < DESTINATION_UP || state > DESTINATION_PROBING)
		return false;
	one->is_local = is_local == 1;
	one->has_waiting = has_waiting == 1;
	one->state = (enum destination_state)state;
	return true;
}

int
destination_unpack(const void *octets, size_t length, uint32_t *count,
	void (*each)(void *context, const struct destination *destination),
	void *context)
{
	struct record_cursor cursor;
	struct record record;
	struct unpack number;
	enum record_result next;

	record_start(&cursor, octets, length);
	if (record_next(&cursor, &record) != RECORD_OK || record.type != 'N')
		return -1;
	unpack_start(&number, record.payload, record.length);
	*count = unpack_u32(&number);
	if (!unpack_ended(&number))
		return -1;
	while ((next = record_next(&cursor, &record)) == RECORD_OK) {
		struct destination one;

		if (!take(&one, &record))
			return -1;
		each(context, &one);
	}
	return next == RECORD_END ? 0 : -1;
}
