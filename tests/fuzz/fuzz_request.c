/*
 * Requests of administrators and their answers. The first octet says what the
 * rest is: 0 a request, 1 answers, as they stand in a file; else the payloads of
 * records, u8 type and u8 length before each, whose checks no fuzzer finds.
 *
 * A request that is taken names its bounds, and packed again it is the octets
 * that were read.
 */
#include <assert.h>
#include <string.h>
#include "lib/records.h"
#include "queue/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
look(void *context, const struct request_answer *answer)
{
	(void)context;
	assert(strlen(answer->text) <= REQUEST_TEXT_MAX);
	assert(answer->id[0] == 0 ||
		ident_valid(answer->id, strlen(answer->id)));
}

static void
take(const void *octets, size_t size)
{
	stralloc again = STRALLOC_ZERO;
	struct request request;

	if (request_unpack(octets, size, &request) == REQUEST_OK) {
		assert(request_name(request.operation) != NULL);
		/* a question about destinations names no message */
		assert((request.ids == 0) ==
			(request.operation == REQUEST_DESTINATIONS));
		assert(request.ids <= REQUEST_IDS_MAX);
		for (unsigned i = 0; i < request.ids; i++) {
			const struct request_id *one = &request.id[i];

			assert(ident_valid(one->id, strlen(one->id)));
			assert(one->place[0] == 0 ||
				layout_place_is_valid(one->place, one->id));
		}
		assert(request_pack(&request, &again) == 0);
		assert(again.len == size && memcmp(again.s, octets, size) == 0);
	} else {
		assert(request.id == NULL && request.ids == 0);
	}
	stralloc_free(&again);
	request_free(&request);
	(void)request_unpack_answers(octets, size, look, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	stralloc octets = STRALLOC_ZERO;

	if (size == 0)
		return 0;
	if (data[0] <= 1) {
		take(data + 1, size - 1);
		return 0;
	}
	data++;
	size--;
	while (size >= 2) {
		size_t length = data[1] < size - 2 ? data[1] : size - 2;

		assert(record_append(&octets, data[0], data + 2, length) == 0);
		data += 2 + length;
		size -= 2 + length;
	}
	take(octets.s, octets.len);
	stralloc_free(&octets);
	return 0;
}
