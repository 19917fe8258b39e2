/*
 * Envelopes: from any octets; and, since a check keeps a fuzzer out of records,
 * from records that are made of the input: type, u16 length, payload, repeated.
 * What is sound, packed and read again, is the same.
 */
#include <assert.h>
#include <string.h>
#include "lib/envelope.h"
#include "lib/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const void *octets, size_t size, int origin_optional)
{
	stralloc first = STRALLOC_ZERO, second = STRALLOC_ZERO;
	struct envelope envelope, again;

	if (envelope_unpack(octets, size, origin_optional, &envelope) !=
		ENVELOPE_OK) {
		assert(envelope.recipients == 0 && envelope.recipient == NULL);
		return;
	}
	assert(envelope.recipients > 0 && envelope.reverse_path != NULL);
	assert(origin_optional || envelope.origin.kind != 0);
	assert(envelope_pack(&envelope, &first) == 0);
	assert(envelope_unpack(first.s, first.len, origin_optional, &again) ==
		ENVELOPE_OK);
	assert(again.recipients == envelope.recipients);
	assert(envelope_pack(&again, &second) == 0);
	assert(first.len == second.len &&
		memcmp(first.s, second.s, first.len) == 0);
	envelope_free(&envelope);
	envelope_free(&again);
	stralloc_free(&first);
	stralloc_free(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	stralloc records = STRALLOC_ZERO;

	check(data, size, 0);
	check(data, size, 1);
	while (size >= 3) {
		size_t length = (size_t)data[1] << 8 | data[2];

		if (length > size - 3)
			length = size - 3;
		assert(record_append(&records, data[0], data + 3, length) == 0);
		data += 3 + length;
		size -= 3 + length;
	}
	check(records.s, records.len, 0);
	check(records.s, records.len, 1);
	stralloc_free(&records);
	return 0;
}
