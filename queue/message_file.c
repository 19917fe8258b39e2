#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "lib/durable.h"
#include "lib/ident.h"
#include "lib/pack.h"
#include "lib/records.h"
#include "queue/message_file.h"

#define VERSION 1
#define MARK_AT 12
#define MARK_OCTETS 4
#define CHECK_AT 60

/* Outcome records are read in pieces of so many octets; the longest of them, a
 * notice that covers ENVELOPE_RECIPIENTS_MAX, fits in. */
#define OUTCOMES_PIECE ((size_t)1024 * 1024)

/* --- header --- */

static void
put32(unsigned char *into, uint32_t value)
{
	for (int i = 3; i >= 0; i--, value >>= 8)
		into[i] = (unsigned char)value;
}

static void
put64(unsigned char *into, uint64_t value)
{
	put32(into, (uint32_t)(value >> 32));
	put32(into + 4, (uint32_t)value);
}

static uint32_t
get32(const unsigned char *from)
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 |
	       (uint32_t)from[2] << 8 | from[3];
}

static uint64_t
get64(const unsigned char *from)
{
	return (uint64_t)get32(from) << 32 | get32(from + 4);
}

/* Of all of the header but the mark, so that setting it is one small write. */
static uint32_t
header_check(const unsigned char *octets)
{
	uLong crc = crc32(0, octets, MARK_AT);

	return (uint32_t)crc32(crc, octets + MARK_AT + MARK_OCTETS,
		CHECK_AT - MARK_AT - MARK_OCTETS);
}

void
message_header_pack(const struct message_header *header,
	unsigned char octets[MESSAGE_HEADER_OCTETS])
{
	memset(octets, 0, MESSAGE_HEADER_OCTETS);
	memcpy(octets, "keepmail", 8);
	put32(octets + 8, VERSION);
	put32(octets + MARK_AT, header->marked ? MESSAGE_MARK : 0);
	put64(octets + 16, header->arrival_us);
	put64(octets + 24, header->content_octets);
	put32(octets + 32, header->envelope_octets);
	put32(octets + 36, header->recipients);
	put32(octets + 40, header->content_crc);
	put32(octets + 44, header->envelope_crc);
	octets[48] = header->class;
	put32(octets + CHECK_AT, header_check(octets));
}

enum message_result
message_header_unpack(const unsigned char octets[MESSAGE_HEADER_OCTETS],
	struct message_header *header)
{
	uint32_t mark = get32(octets + MARK_AT);

	if (memcmp(octets, "keepmail", 8) != 0 ||
		get32(octets + 8) != VERSION ||
		(mark != 0 && mark != MESSAGE_MARK) ||
		get32(octets + CHECK_AT) != header_check(octets))
		return MESSAGE_BAD;
	if (octets[48] > MESSAGE_BULK)
		return MESSAGE_BAD;
	for (int i = 49; i < CHECK_AT; i++)
		if (octets[i] != 0)
			return MESSAGE_BAD;
	header->marked = mark == MESSAGE_MARK;
	header->arrival_us = get64(octets + 16);
	header->content_octets = get64(octets + 24);
	header->envelope_octets = get32(octets + 32);
	header->recipients = get32(octets + 36);
	header->content_crc = get32(octets + 40);
	header->envelope_crc = get32(octets + 44);
	header->class = octets[48];
	return MESSAGE_OK;
}

/* --- reading --- */

/* Reads exactly so many octets. MESSAGE_BAD: the file is shorter. */
static enum message_result
read_at(int fd, void *into, size_t length, uint64_t offset)
{
	char *at = into;

	while (length > 0) {
		ssize_t got = pread(fd, at, length, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return MESSAGE_ERROR;
		if (got == 0)
			return MESSAGE_BAD;
		at += got;
		offset += (uint64_t)got;
		length -= (size_t)got;
	}
	return MESSAGE_OK;
}

enum message_result
message_read_header(int fd, struct message_header *header)
{
	unsigned char octets[MESSAGE_HEADER_OCTETS];
	enum message_result result = read_at(fd, octets, sizeof octets, 0);

	return result == MESSAGE_OK ? message_header_unpack(octets, header)
				    : result;
}

static enum message_result
check_content(int fd, const struct message_header *header)
{
	uint64_t offset = MESSAGE_HEADER_OCTETS, left = header->content_octets;
	uLong crc = crc32(0, NULL, 0);
	char buffer[65536];

	while (left > 0) {
		size_t length = left < sizeof buffer ? left : sizeof buffer;
		enum message_result result =
			read_at(fd, buffer, length, offset);

		if (result != MESSAGE_OK)
			return result;
		crc = crc32(crc, (const Bytef *)buffer, (uInt)length);
		offset += length;
		left -= length;
	}
	return crc == header->content_crc ? MESSAGE_OK : MESSAGE_BAD;
}

static enum message_result
read_envelope(int fd, struct message_file *message)
{
	const struct message_header *header = &message->header;
	enum message_result result = MESSAGE_ERROR;

	if (header->envelope_octets == 0 ||
		header->envelope_octets > ENVELOPE_SIZE_MAX)
		return MESSAGE_BAD;
	unsigned char *octets = malloc(header->envelope_octets);
	if (octets == NULL)
		return MESSAGE_ERROR;
	result = read_at(fd, octets, header->envelope_octets,
		MESSAGE_HEADER_OCTETS + header->content_octets);
	if (result == MESSAGE_OK &&
		crc32(crc32(0, NULL, 0), octets, header->envelope_octets) !=
			header->envelope_crc)
		result = MESSAGE_BAD;
	if (result == MESSAGE_OK)
		switch (envelope_unpack(octets, header->envelope_octets, 0,
			&message->envelope)) {
		case ENVELOPE_OK:
			break;
		case ENVELOPE_NO_MEMORY:
			errno = ENOMEM;
			result = MESSAGE_ERROR;
			break;
		default:
			result = MESSAGE_BAD;
		}
	free(octets);
	if (result == MESSAGE_OK &&
		message->envelope.recipients != header->recipients)
		result = MESSAGE_BAD;
	return result;
}

/* --- outcome records --- */

static enum message_result
take_outcome(struct message_file *message, const struct record *record)
{
	struct unpack cursor;
	size_t length;

	unpack_start(&cursor, record->payload, record->length);
	uint32_t number = unpack_u32(&cursor);
	unsigned outcome = unpack_u8(&cursor);
	uint32_t attempt = unpack_u32(&cursor);
	uint64_t attempt_ms = unpack_u64(&cursor);
	uint64_t next_due_ms = unpack_u64(&cursor);
	const char *text = unpack_text(&cursor, &length);
	if (!unpack_ended(&cursor) || text == NULL ||
		number >= message->envelope.recipients ||
		!outcome_is_valid(outcome) || length > OUTCOME_TEXT_MAX)
		return MESSAGE_BAD;
	char *copy = strndup(text, length);
	if (copy == NULL)
		return MESSAGE_ERROR;
	struct message_recipient_state *state = &message->state[number];
	free(state->text);
	state->text = copy;
	state->outcome = (enum outcome)outcome;
	state->attempts = attempt;
	state->attempt_ms = attempt_ms;
	state->next_due_ms = next_due_ms;
	return MESSAGE_OK;
}

static enum message_result
take_notice(struct message_file *message, const struct record *record)
{
	struct unpack cursor;
	size_t length;

	unpack_start(&cursor, record->payload, record->length);
	unsigned notice = unpack_u8(&cursor);
	(void)unpack_u64(&cursor);
	const char *id = unpack_text(&cursor, &length);
	uint32_t count = unpack_u32(&cursor);
	if (cursor.failed || id == NULL ||
		(length != 0 && !ident_valid(id, length)) ||
		(notice != NOTICE_BOUNCE && notice != NOTICE_DELAY) ||
		(size_t)(cursor.end - cursor.at) != (size_t)count * 4)
		return MESSAGE_BAD;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t number = unpack_u32(&cursor);

		if (number >= message->envelope.recipients)
			return MESSAGE_BAD;
		if (notice == NOTICE_BOUNCE)
			message->state[number].told = 1;
		else
			message->state[number].delay_told = 1;
	}
	return MESSAGE_OK;
}

static enum message_result
take_route(struct message_file *message, const struct record *record)
{
	struct unpack cursor;
	size_t length;

	unpack_start(&cursor, record->payload, record->length);
	const char *text = unpack_text(&cursor, &length);
	if (!unpack_ended(&cursor) || text == NULL ||
		length > MESSAGE_ROUTE_MAX)
		return MESSAGE_BAD;
	for (size_t i = 0; i < length; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return MESSAGE_BAD;
	char *copy = length == 0 ? NULL : strndup(text, length);
	if (length > 0 && copy == NULL)
		return MESSAGE_ERROR;
	free(message->route);
	message->route = copy;
	return MESSAGE_OK;
}

/* Takes records from octets; *used is how far whole and sound ones reach. */
static enum message_result
take_records(struct message_file *message, const unsigned char *octets,
	size_t length, size_t *used)
{
	struct record_cursor cursor;
	struct record record;

	record_start(&cursor, octets, length);
	for (;;) {
		enum message_result result = MESSAGE_BAD;

		*used = (size_t)(cursor.at - octets);
		if (record_next(&cursor, &record) != RECORD_OK)
			return MESSAGE_OK;
		if (record.type == 'R')
			result = take_outcome(message, &record);
		else if (record.type == 'N')
			result = take_notice(message, &record);
		else if (record.type == 'V')
			result = take_route(message, &record);
		if (result != MESSAGE_OK)
			return result;
	}
}

/* Piece by piece: many recipients and many attempts make a long file. */
static enum message_result
read_outcomes(int fd, uint64_t file_octets, struct message_file *message)
{
	enum message_result result = MESSAGE_OK;
	size_t used = 1;

	if (file_octets == message->end)
		return MESSAGE_OK;
	unsigned char *octets = malloc(OUTCOMES_PIECE);
	if (octets == NULL)
		return MESSAGE_ERROR;
	/* nothing used: a torn tail, or the end */
	while (result == MESSAGE_OK && used > 0 && message->end < file_octets) {
		uint64_t left = file_octets - message->end;
		size_t length =
			left < OUTCOMES_PIECE ? (size_t)left : OUTCOMES_PIECE;

		result = read_at(fd, octets, length, message->end);
		if (result == MESSAGE_OK)
			result = take_records(message, octets, length, &used);
		if (result == MESSAGE_OK)
			message->end += used;
	}
	free(octets);
	return result;
}

enum message_result
message_read(int fd, int check, struct message_file *message)
{
	struct stat st;
	struct message_header *header = &message->header;

	memset(message, 0, sizeof *message);
	if (fstat(fd, &st) < 0)
		return MESSAGE_ERROR;
	enum message_result result = message_read_header(fd, header);
	if (result != MESSAGE_OK)
		return result;
	uint64_t octets = (uint64_t)st.st_size;
	if (header->content_octets > octets ||
		header->envelope_octets > octets ||
		header->content_octets + header->envelope_octets +
				MESSAGE_HEADER_OCTETS >
			octets)
		return MESSAGE_BAD;
	message->end = MESSAGE_HEADER_OCTETS + header->content_octets +
		       header->envelope_octets;
	if (check)
		result = check_content(fd, header);
	if (result == MESSAGE_OK)
		result = read_envelope(fd, message);
	if (result == MESSAGE_OK) {
		message->state = calloc(
			message->envelope.recipients, sizeof *message->state);
		result = message->state == NULL
				 ? MESSAGE_ERROR
				 : read_outcomes(fd, octets, message);
	}
	if (result != MESSAGE_OK) {
		int saved = errno;

		message_free(message);
		errno = saved;
	}
	return result;
}

void
message_free(struct message_file *message)
{
	if (message->state != NULL)
		for (uint32_t i = 0; i < message->envelope.recipients; i++)
			free(message->state[i].text);
	free(message->state);
	free(message->route);
	envelope_free(&message->envelope);
	memset(message, 0, sizeof *message);
}

/* --- writing --- */

int
message_append(int fd, struct message_file *message, const stralloc *records)
{
	if (ftruncate(fd, (off_t)message->end) < 0)
		return -1;
	if (durable_write_at(
		    fd, records->s, records->len, (off_t)message->end) < 0) {
		int saved = errno;

		(void)ftruncate(fd, (off_t)message->end);
		errno = saved;
		return -1;
	}
	message->end += records->len;
	return 0;
}

static int
append(stralloc *into, uint8_t type, stralloc *payload, int packed)
{
	if (packed == 0)
		packed = record_append(into, type, payload->s, payload->len);
	int saved = errno;
	stralloc_free(payload);
	errno = saved;
	return packed < 0 ? -1 : 0;
}

int
message_pack_outcome(stralloc *into, uint32_t recipient, enum outcome outcome,
	uint32_t attempt, uint64_t time_ms, uint64_t next_due_ms,
	const char *text)
{
	stralloc payload = STRALLOC_ZERO;
	size_t length = strlen(text);

	if (length > OUTCOME_TEXT_MAX)
		length = OUTCOME_TEXT_MAX;
	int packed = pack_u32(&payload, recipient) < 0 ||
				     pack_u8(&payload, (uint8_t)outcome) < 0 ||
				     pack_u32(&payload, attempt) < 0 ||
				     pack_u64(&payload, time_ms) < 0 ||
				     pack_u64(&payload, next_due_ms) < 0 ||
				     pack_text(&payload, text, length) < 0
			     ? -1
			     : 0;
	return append(into, 'R', &payload, packed);
}

int
message_pack_notice(stralloc *into, enum message_notice notice,
	uint64_t time_ms, const char *notice_id, const uint32_t *recipient,
	uint32_t recipients)
{
	stralloc payload = STRALLOC_ZERO;
	int packed = pack_u8(&payload, (uint8_t)notice) < 0 ||
				     pack_u64(&payload, time_ms) < 0 ||
				     pack_text(&payload, notice_id,
					     strlen(notice_id)) < 0 ||
				     pack_u32(&payload, recipients) < 0
			     ? -1
			     : 0;

	for (uint32_t i = 0; packed == 0 && i < recipients; i++)
		packed = pack_u32(&payload, recipient[i]);
	return append(into, 'N', &payload, packed);
}

int
message_pack_route(stralloc *into, const char *destination)
{
	stralloc payload = STRALLOC_ZERO;
	size_t length = strlen(destination);

	if (length > MESSAGE_ROUTE_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	return append(
		into, 'V', &payload, pack_text(&payload, destination, length));
}
