#include "queue/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/pack.h"
#include "lib/records.h"

static const char *const NAME[] = {
	[REQUEST_HOLD] = "hold",
	[REQUEST_RELEASE] = "release",
	[REQUEST_DELETE] = "delete",
	[REQUEST_BOUNCE] = "bounce",
	[REQUEST_RETRY] = "retry",
	[REQUEST_ROUTE] = "route",
	[REQUEST_DESTINATIONS] = "destinations",
};
#define NAMES (sizeof NAME / sizeof NAME[0])

const char *
request_name(enum request_operation operation)
{
	return (size_t)operation < NAMES ? NAME[operation] : NULL;
}

int
request_operation(const char *name, enum request_operation *operation)
{
	for (size_t i = REQUEST_HOLD; i < REQUEST_DESTINATIONS; i++)
		if (strcmp(NAME[i], name) == 0) {
			*operation = (enum request_operation)i;
			return 0;
		}
	return -1;
}

static bool
is_printable(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

static bool
takes_text(enum request_operation operation)
{
	return operation == REQUEST_BOUNCE || operation == REQUEST_ROUTE;
}

/* --- requests --- */

int
request_add(struct request *request, const char *id, const char *place)
{
	if (!ident_valid(id, strlen(id)) ||
		(place[0] != 0 && !layout_place_is_valid(place, id))) {
		errno = EINVAL;
		return -1;
	}
	if (request->ids == REQUEST_IDS_MAX) {
		errno = E2BIG;
		return -1;
	}
	if ((request->ids & (request->ids - 1)) == 0) {
		unsigned room = request->ids == 0 ? 1 : request->ids * 2;
		struct request_id *more =
			reallocarray(request->id, room, sizeof *more);

		if (more == NULL)
			return -1;
		request->id = more;
	}
	struct request_id *one = &request->id[request->ids++];
	memcpy(one->id, id, IDENT_LENGTH + 1);
	memcpy(one->place, place, strlen(place) + 1);
	return 0;
}

/* Appends the record and empties the payload. */
static int
append(stralloc *into, uint8_t type, stralloc *payload, int packed)
{
	if (packed == 0)
		packed = record_append(into, type, payload->s, payload->len);
	payload->len = 0;
	return packed;
}

int
request_pack(const struct request *request, stralloc *into)
{
	stralloc payload = STRALLOC_ZERO;
	int result = 0;

	if (pack_u8(&payload, (uint8_t)request->operation) < 0 ||
		pack_text(&payload, request->text, strlen(request->text)) < 0)
		result = -1;
	result = append(into, 'Q', &payload, result);
	for (unsigned i = 0; result == 0 && i < request->ids; i++) {
		const struct request_id *one = &request->id[i];

		if (!stralloc_catb(&payload, one->id, IDENT_LENGTH) ||
			pack_text(&payload, one->place, strlen(one->place)) < 0)
			result = -1;
		result = append(into, 'I', &payload, result);
	}
	stralloc_free(&payload);
	return result;
}

static bool
take_head(struct request *request, const struct record *record)
{
	struct unpack cursor;
	size_t length;

	unpack_start(&cursor, record->payload, record->length);
	unsigned operation = unpack_u8(&cursor);
	const char *text = unpack_text(&cursor, &length);
	if (record->type != 'Q' || text == NULL || !unpack_ended(&cursor) ||
		operation < REQUEST_HOLD || operation >= NAMES ||
		length > REQUEST_TEXT_MAX || !is_printable(text, length))
		return false;
	request->operation = (enum request_operation)operation;
	if (length > 0 && !takes_text(request->operation))
		return false;
	memcpy(request->text, text, length);
	request->text[length] = 0;
	return true;
}

static enum request_result
take_id(struct request *request, const struct record *record)
{
	char id[IDENT_LENGTH + 1], place[LAYOUT_PATH_MAX];
	struct unpack cursor;
	size_t length;

	unpack_start(&cursor, record->payload, record->length);
	const char *octets = unpack_octets(&cursor, IDENT_LENGTH);
	const char *text = unpack_text(&cursor, &length);
	if (record->type != 'I' || octets == NULL || text == NULL ||
		!unpack_ended(&cursor) || !ident_valid(octets, IDENT_LENGTH) ||
		length >= sizeof place || memchr(text, 0, length) != NULL)
		return REQUEST_BAD;
	memcpy(id, octets, IDENT_LENGTH);
	id[IDENT_LENGTH] = 0;
	memcpy(place, text, length);
	place[length] = 0;
	if (request_add(request, id, place) == 0)
		return REQUEST_OK;
	return errno == ENOMEM ? REQUEST_NO_MEMORY : REQUEST_BAD;
}

enum request_result
request_unpack(const void *octets, size_t length, struct request *request)
{
	enum request_result result = REQUEST_BAD;
	struct record_cursor cursor;
	struct record record;
	enum record_result next;

	*request = REQUEST_ZERO;
	record_start(&cursor, octets, length);
	if (record_next(&cursor, &record) != RECORD_OK ||
		!take_head(request, &record))
		goto fail;
	while ((next = record_next(&cursor, &record)) == RECORD_OK) {
		result = take_id(request, &record);
		if (result != REQUEST_OK)
			goto fail;
	}
	bool is_list = request->operation == REQUEST_DESTINATIONS;
	if (next == RECORD_END && (request->ids == 0) == is_list)
		return REQUEST_OK;
	result = REQUEST_BAD;
fail:
	request_free(request);
	return result;
}

void
request_free(struct request *request)
{
	free(request->id);
	*request = REQUEST_ZERO;
}

/* --- answers --- */

int
request_pack_answer(stralloc *into, const struct request_answer *answer)
{
	stralloc payload = STRALLOC_ZERO;
	int result = 0;

	if (pack_text(&payload, answer->id, strlen(answer->id)) < 0 ||
		pack_u8(&payload, answer->is_done) < 0 ||
		pack_text(&payload, answer->text, strlen(answer->text)) < 0)
		result = -1;
	result = append(into, 'A', &payload, result);
	stralloc_free(&payload);
	return result;
}

static bool
take_answer(struct request_answer *answer, const struct record *record)
{
	struct unpack cursor;
	size_t id_length, length;

	unpack_start(&cursor, record->payload, record->length);
	const char *id = unpack_text(&cursor, &id_length);
	unsigned is_done = unpack_u8(&cursor);
	const char *text = unpack_text(&cursor, &length);
	if (record->type != 'A' || id == NULL || text == NULL || is_done > 1 ||
		!unpack_ended(&cursor) ||
		(id_length != 0 && !ident_valid(id, id_length)) ||
		length > REQUEST_TEXT_MAX || !is_printable(text, length))
		return false;
	memcpy(answer->id, id, id_length);
	answer->id[id_length] = 0;
	answer->is_done = is_done == 1;
	memcpy(answer->text, text, length);
	answer->text[length] = 0;
	return true;
}

int
request_unpack_answers(const void *octets, size_t length,
	void (*each)(void *context, const struct request_answer *answer),
	void *context)
{
	struct record_cursor cursor;
	struct record record;
	enum record_result next;

	record_start(&cursor, octets, length);
	while ((next = record_next(&cursor, &record)) == RECORD_OK) {
		struct request_answer answer;

		if (!take_answer(&answer, &record))
			return -1;
		each(context, &answer);
	}
	return next == RECORD_END ? 0 : -1;
}
