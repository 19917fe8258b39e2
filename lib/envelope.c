#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/address.h"
#include "lib/envelope.h"
#include "lib/pack.h"
#include "lib/records.h"
#include "lib/verp.h"

/* --- small texts --- */

/* True if the text has at most max octets and no control character. */
static int
text_is_clean(const char *text, size_t length, size_t max)
{
	if (length > max)
		return 0;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 32 || text[i] == 127)
			return 0;
	return 1;
}

static int
pack_clean(stralloc *into, const char *text, size_t max)
{
	size_t length = text == NULL ? 0 : strlen(text);

	if (!text_is_clean(text, length, max)) {
		errno = EINVAL;
		return -1;
	}
	return pack_text(into, text == NULL ? "" : text, length);
}

/* A reverse-path (may be empty) or forward-path as text. */
static int
address_is_sound(const char *text, size_t length, unsigned flags)
{
	struct path path;

	return length <= ENVELOPE_ADDRESS_MAX &&
	       address_mailbox_scan(
		       text, length, flags | ADDRESS_UTF8, &path) == 0;
}

int
envelope_reverse_path_is_sound(const char *text, size_t length)
{
	return address_is_sound(text, length, ADDRESS_NULL) ||
	       (length <= ENVELOPE_ADDRESS_MAX &&
		       verp_base(text, length) > 0) ||
	       (length == strlen(ENVELOPE_DOUBLE_BOUNCE) &&
		       memcmp(text, ENVELOPE_DOUBLE_BOUNCE, length) == 0);
}

/* --- packing --- */

static int
pack_origin(stralloc *payload, const struct origin *origin)
{
	const char *text[] = {origin->client_address, origin->client_name,
		origin->hello, origin->protocol, origin->authenticated,
		origin->tls};

	if (pack_u8(payload, (uint8_t)origin->kind) < 0 ||
		pack_u32(payload, origin->uid) < 0)
		return -1;
	for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
		if (pack_clean(payload, text[i], ENVELOPE_ORIGIN_TEXT_MAX) < 0)
			return -1;
	return 0;
}

static int
pack_parameters(stralloc *payload, const struct envelope *envelope)
{
	if (pack_u8(payload, envelope->body) < 0 ||
		pack_u8(payload, envelope->smtputf8) < 0 ||
		pack_u8(payload, envelope->requiretls) < 0 ||
		pack_u8(payload, envelope->ret) < 0)
		return -1;
	return pack_clean(payload, envelope->envid, ENVELOPE_ENVID_MAX);
}

static int
pack_recipient(stralloc *payload, const struct recipient *recipient)
{
	if (pack_clean(payload, recipient->address, ENVELOPE_ADDRESS_MAX) < 0 ||
		pack_u8(payload, recipient->notify) < 0)
		return -1;
	return pack_clean(payload, recipient->orcpt, ENVELOPE_ORCPT_MAX);
}

static int
end_record(stralloc *into, uint8_t type, stralloc *payload)
{
	int result = record_append(into, type, payload->s, payload->len);

	payload->len = 0;
	return result;
}

static int
pack_records(const struct envelope *envelope, stralloc *into, stralloc *payload)
{
	const char *reverse_path =
		envelope->reverse_path == NULL ? "" : envelope->reverse_path;

	if (!text_is_clean(
		    reverse_path, strlen(reverse_path), ENVELOPE_ADDRESS_MAX)) {
		errno = EINVAL;
		return -1;
	}
	if (!stralloc_catb(payload, reverse_path, strlen(reverse_path)) ||
		end_record(into, 'F', payload) < 0 ||
		pack_parameters(payload, envelope) < 0 ||
		end_record(into, 'P', payload) < 0)
		return -1;
	if (envelope->origin.kind != 0 &&
		(pack_origin(payload, &envelope->origin) < 0 ||
			end_record(into, 'O', payload) < 0))
		return -1;
	for (uint32_t i = 0; i < envelope->recipients; i++)
		if (pack_recipient(payload, &envelope->recipient[i]) < 0 ||
			end_record(into, 'T', payload) < 0)
			return -1;
	return 0;
}

int
envelope_pack(const struct envelope *envelope, stralloc *into)
{
	stralloc payload = STRALLOC_ZERO;
	size_t before = into->len;

	if (!stralloc_ready(&payload, 64))
		return -1;
	int result = pack_records(envelope, into, &payload);
	if (result < 0)
		into->len = before;
	int saved = errno;
	stralloc_free(&payload);
	errno = saved;
	return result;
}

/* --- unpacking --- */

struct reading {
	struct envelope *envelope;
	uint32_t room; /* recipients allocated */
	int seen_f, seen_p, seen_o;
};

/* Copies the next text of the cursor. NULL: cursor->failed, or no memory. */
static char *
take_text(struct unpack *cursor, size_t max)
{
	size_t length;
	const char *text = unpack_text(cursor, &length);

	if (text == NULL || !text_is_clean(text, length, max)) {
		cursor->failed = true;
		return NULL;
	}
	return strndup(text, length);
}

static enum envelope_result
ended(const struct unpack *cursor, int have_memory)
{
	if (cursor->failed || cursor->at != cursor->end)
		return ENVELOPE_BAD_FORMAT;
	return have_memory ? ENVELOPE_OK : ENVELOPE_NO_MEMORY;
}

static enum envelope_result
read_reverse_path(struct reading *reading, const struct record *record)
{
	const char *text = record->payload;

	if (reading->seen_f++ || reading->seen_p || reading->seen_o ||
		reading->envelope->recipients > 0)
		return ENVELOPE_BAD_FORMAT;
	if (!envelope_reverse_path_is_sound(text, record->length))
		return ENVELOPE_BAD_ADDRESS;
	reading->envelope->reverse_path = strndup(text, record->length);
	return reading->envelope->reverse_path ? ENVELOPE_OK
					       : ENVELOPE_NO_MEMORY;
}

static enum envelope_result
read_parameters(struct reading *reading, const struct record *record)
{
	struct envelope *envelope = reading->envelope;
	struct unpack cursor;

	if (reading->seen_p++ || reading->seen_o || envelope->recipients > 0)
		return ENVELOPE_BAD_FORMAT;
	unpack_start(&cursor, record->payload, record->length);
	envelope->body = unpack_u8(&cursor);
	envelope->smtputf8 = unpack_u8(&cursor);
	envelope->requiretls = unpack_u8(&cursor);
	envelope->ret = unpack_u8(&cursor);
	envelope->envid = take_text(&cursor, ENVELOPE_ENVID_MAX);
	if (envelope->body > BODY_8BITMIME || envelope->smtputf8 > 1 ||
		envelope->requiretls > 1 || envelope->ret > RET_HDRS)
		return ENVELOPE_BAD_FORMAT;
	return ended(&cursor, envelope->envid != NULL);
}

static enum envelope_result
read_origin(struct reading *reading, const struct record *record)
{
	struct origin *origin = &reading->envelope->origin;
	char **text[] = {&origin->client_address, &origin->client_name,
		&origin->hello, &origin->protocol, &origin->authenticated,
		&origin->tls};
	struct unpack cursor;
	int have_memory = 1;

	if (reading->seen_o++ || reading->envelope->recipients > 0)
		return ENVELOPE_BAD_FORMAT;
	unpack_start(&cursor, record->payload, record->length);
	unsigned kind = unpack_u8(&cursor);
	origin->kind = (enum origin_kind)kind;
	origin->uid = unpack_u32(&cursor);
	if (kind < ORIGIN_LOCAL || kind > ORIGIN_SUITE)
		return ENVELOPE_BAD_FORMAT;
	for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
		*text[i] = take_text(&cursor, ENVELOPE_ORIGIN_TEXT_MAX);
		have_memory &= *text[i] != NULL;
	}
	return ended(&cursor, have_memory);
}

/* Makes room for one recipient more. */
static int
grow(struct envelope *envelope, uint32_t *room)
{
	if (envelope->recipients < *room)
		return 0;
	uint32_t more = *room == 0 ? 8 : *room * 2;
	struct recipient *array = reallocarray(
		envelope->recipient, more, sizeof *envelope->recipient);
	if (array == NULL)
		return -1;
	envelope->recipient = array;
	*room = more;
	return 0;
}

static enum envelope_result
read_recipient(struct reading *reading, const struct record *record)
{
	struct envelope *envelope = reading->envelope;
	struct unpack cursor;
	size_t length;

	if (envelope->recipients == ENVELOPE_RECIPIENTS_MAX)
		return ENVELOPE_BAD_FORMAT;
	unpack_start(&cursor, record->payload, record->length);
	const char *address = unpack_text(&cursor, &length);
	if (address == NULL)
		return ENVELOPE_BAD_FORMAT;
	if (!address_is_sound(address, length, 0))
		return ENVELOPE_BAD_ADDRESS;
	if (grow(envelope, &reading->room) < 0)
		return ENVELOPE_NO_MEMORY;
	struct recipient *new = &envelope->recipient[envelope->recipients++];
	new->address = strndup(address, length);
	new->notify = unpack_u8(&cursor);
	new->orcpt = take_text(&cursor, ENVELOPE_ORCPT_MAX);
	if (new->notify > 15 ||
		((new->notify &NOTIFY_NEVER) && new->notify != NOTIFY_NEVER))
		return ENVELOPE_BAD_FORMAT;
	return ended(&cursor, new->address != NULL &&new->orcpt != NULL);
}

static enum envelope_result
read_record(struct reading *reading, const struct record *record)
{
	if (record->type != 'F' && !reading->seen_f)
		return ENVELOPE_BAD_FORMAT;
	switch (record->type) {
	case 'F':
		return read_reverse_path(reading, record);
	case 'P':
		return read_parameters(reading, record);
	case 'O':
		return read_origin(reading, record);
	case 'T':
		return read_recipient(reading, record);
	default:
		return ENVELOPE_BAD_FORMAT;
	}
}

/* Texts that no record gave become "". */
static int
fill_in(struct envelope *envelope)
{
	char **text[] = {&envelope->envid, &envelope->origin.client_address,
		&envelope->origin.client_name, &envelope->origin.hello,
		&envelope->origin.protocol, &envelope->origin.authenticated,
		&envelope->origin.tls};

	for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
		if (*text[i] == NULL && (*text[i] = strdup("")) == NULL)
			return -1;
	return 0;
}

enum envelope_result
envelope_unpack(const void *octets, size_t size, int origin_optional,
	struct envelope *envelope)
{
	struct reading reading = {.envelope = envelope};
	enum envelope_result result = ENVELOPE_OK;
	struct record_cursor cursor;
	struct record record;

	*envelope = ENVELOPE_ZERO;
	if (size > ENVELOPE_SIZE_MAX)
		return ENVELOPE_BAD_FORMAT;
	record_start(&cursor, octets, size);
	while (result == ENVELOPE_OK) {
		enum record_result next = record_next(&cursor, &record);

		if (next == RECORD_END)
			break;
		result = next == RECORD_TORN ? ENVELOPE_BAD_FORMAT
					     : read_record(&reading, &record);
	}
	if (result == ENVELOPE_OK &&
		(!reading.seen_f || envelope->recipients == 0 ||
			(!reading.seen_o && !origin_optional)))
		result = ENVELOPE_BAD_FORMAT;
	if (result == ENVELOPE_OK && fill_in(envelope) < 0)
		result = ENVELOPE_NO_MEMORY;
	if (result != ENVELOPE_OK)
		envelope_free(envelope);
	return result;
}

/* --- building and freeing --- */

int
envelope_add_recipient(struct envelope *envelope, const char *address,
	uint8_t notify, const char *orcpt)
{
	if (envelope->recipients == ENVELOPE_RECIPIENTS_MAX) {
		errno = E2BIG;
		return -1;
	}
	/* the array has room for a power of two, from 8 on */
	uint32_t count = envelope->recipients;
	uint32_t room = count == 0 ? 0 : 8;
	while (room != 0 && room < count)
		room *= 2;
	if (grow(envelope, &room) < 0)
		return -1;
	struct recipient *new = &envelope->recipient[count];
	new->address = strdup(address);
	new->notify = notify;
	new->orcpt = strdup(orcpt);
	if (new->address == NULL || new->orcpt == NULL) {
		free(new->address);
		free(new->orcpt);
		errno = ENOMEM;
		return -1;
	}
	envelope->recipients++;
	return 0;
}

void
envelope_free(struct envelope *envelope)
{
	for (uint32_t i = 0; i < envelope->recipients; i++) {
		free(envelope->recipient[i].address);
		free(envelope->recipient[i].orcpt);
	}
	free(envelope->recipient);
	free(envelope->reverse_path);
	free(envelope->envid);
	free(envelope->origin.client_address);
	free(envelope->origin.client_name);
	free(envelope->origin.hello);
	free(envelope->origin.protocol);
	free(envelope->origin.authenticated);
	free(envelope->origin.tls);
	*envelope = ENVELOPE_ZERO;
}
