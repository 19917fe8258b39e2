/*
 * Records from any octets; those that are whole, written again, are the octets
 * that the reader went past.
 */
#include <assert.h>
#include <string.h>
#include "lib/pack.h"
#include "lib/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record_cursor cursor;
	struct record record;
	enum record_result result;
	stralloc again = STRALLOC_ZERO;

	record_start(&cursor, data, size);
	while ((result = record_next(&cursor, &record)) == RECORD_OK) {
		struct unpack fields;
		size_t length;

		assert(record_append(&again, record.type, record.payload,
			       record.length) == 0);
		unpack_start(&fields, record.payload, record.length);
		(void)unpack_u32(&fields);
		while (!fields.failed && !unpack_ended(&fields))
			(void)unpack_text(&fields, &length);
	}
	size_t read = (size_t)(cursor.at - data);
	assert(result == RECORD_TORN || read == size);
	assert(again.len == read);
	assert(read == 0 || memcmp(again.s, data, read) == 0);
	stralloc_free(&again);
	return 0;
}
