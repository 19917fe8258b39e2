#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/durable.h"
#include "lib/envelope.h"
#include "lib/escape.h"
#include "lib/ident.h"
#include "lib/pack.h"
#include "lib/records.h"
#include "queue/job_file.h"
#include "queue/limits.h"

/* The largest job file: every recipient with the longest of everything, twice
 * over. */
#define JOB_OCTETS_MAX (8 * 1024 * 1024)

/* --- packing --- */

static int
pack_string(stralloc *into, const char *text)
{
	return pack_text(into, text == NULL ? "" : text,
		text == NULL ? 0 : strlen(text));
}

static int
pack_head(stralloc *payload, const struct job *job)
{
	if (!stralloc_catb(payload, job->id, IDENT_LENGTH) ||
		pack_u32(payload, job->attempt) < 0 ||
		pack_u64(payload, job->arrival_us) < 0 ||
		pack_u64(payload, job->content_octets) < 0 ||
		pack_u8(payload, job->body) < 0 ||
		pack_u8(payload, job->smtputf8) < 0 ||
		pack_u8(payload, job->requiretls) < 0 ||
		pack_u8(payload, job->ret) < 0 ||
		pack_string(payload, job->destination) < 0 ||
		pack_string(payload, job->reverse_path) < 0)
		return -1;
	return pack_string(payload, job->envid);
}

static int
pack_target(stralloc *payload, const struct job_recipient *recipient)
{
	if (pack_u32(payload, recipient->number) < 0 ||
		pack_string(payload, recipient->address) < 0 ||
		pack_u8(payload, recipient->notify) < 0)
		return -1;
	return pack_string(payload, recipient->orcpt);
}

int
job_pack(const struct job *job, stralloc *into)
{
	stralloc payload = STRALLOC_ZERO;
	size_t before = into->len;
	int result = -1;

	if (!ident_valid(job->id, strlen(job->id)) || job->recipients == 0 ||
		job->recipients > JOB_RECIPIENTS_MAX ||
		strlen(job->destination) > JOB_DESTINATION_MAX) {
		errno = EINVAL;
		return -1;
	}
	if (pack_head(&payload, job) < 0 ||
		record_append(into, 'J', payload.s, payload.len) < 0)
		goto end;
	for (uint32_t i = 0; i < job->recipients; i++) {
		payload.len = 0;
		if (pack_target(&payload, &job->recipient[i]) < 0 ||
			record_append(into, 'T', payload.s, payload.len) < 0)
			goto end;
	}
	result = 0;
end:
	if (result < 0)
		into->len = before;
	int saved = errno;
	stralloc_free(&payload);
	errno = saved;
	return result;
}

/* --- reading --- */

/* Copies the next text; it must be free of control characters. */
static char *
take_text(struct unpack *cursor, size_t max, enum job_result *result)
{
	size_t length;
	const char *text = unpack_text(cursor, &length);

	if (text == NULL || length > max) {
		*result = JOB_BAD;
		return NULL;
	}
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 32 || text[i] == 127) {
			*result = JOB_BAD;
			return NULL;
		}
	char *copy = strndup(text, length);
	if (copy == NULL)
		*result = JOB_NO_MEMORY;
	return copy;
}

static int
is_address(const char *text)
{
	struct path path;

	return address_mailbox_scan(text, strlen(text), ADDRESS_UTF8, &path) ==
	       0;
}

static enum job_result
read_head(struct job *job, const struct record *record)
{
	enum job_result result = JOB_OK;
	struct unpack cursor;

	unpack_start(&cursor, record->payload, record->length);
	const char *id = unpack_octets(&cursor, IDENT_LENGTH);
	if (id == NULL || !ident_valid(id, IDENT_LENGTH))
		return JOB_BAD;
	memcpy(job->id, id, IDENT_LENGTH);
	job->attempt = unpack_u32(&cursor);
	job->arrival_us = unpack_u64(&cursor);
	job->content_octets = unpack_u64(&cursor);
	job->body = unpack_u8(&cursor);
	job->smtputf8 = unpack_u8(&cursor);
	job->requiretls = unpack_u8(&cursor);
	job->ret = unpack_u8(&cursor);
	job->destination = take_text(&cursor, JOB_DESTINATION_MAX, &result);
	job->reverse_path = take_text(&cursor, ENVELOPE_ADDRESS_MAX, &result);
	job->envid = take_text(&cursor, ENVELOPE_ENVID_MAX, &result);
	if (result != JOB_OK)
		return result;
	if (!unpack_ended(&cursor) || job->body > BODY_8BITMIME ||
		job->smtputf8 > 1 || job->requiretls > 1 ||
		job->ret > RET_HDRS || job->destination[0] == 0 ||
		!envelope_reverse_path_is_sound(
			job->reverse_path, strlen(job->reverse_path)))
		return JOB_BAD;
	return JOB_OK;
}

static enum job_result
read_target(struct job *job, const struct record *record)
{
	enum job_result result = JOB_OK;
	struct unpack cursor;

	if (job->recipients == JOB_RECIPIENTS_MAX)
		return JOB_BAD;
	if (job->recipient == NULL) {
		job->recipient =
			calloc(JOB_RECIPIENTS_MAX, sizeof *job->recipient);
		if (job->recipient == NULL)
			return JOB_NO_MEMORY;
	}
	struct job_recipient *new = &job->recipient[job->recipients++];
	unpack_start(&cursor, record->payload, record->length);
	new->number = unpack_u32(&cursor);
	new->address = take_text(&cursor, ENVELOPE_ADDRESS_MAX, &result);
	new->notify = unpack_u8(&cursor);
	new->orcpt = take_text(&cursor, ENVELOPE_ORCPT_MAX, &result);
	if (result != JOB_OK)
		return result;
	if (!unpack_ended(&cursor) || new->notify > 15 ||
		!is_address(new->address))
		return JOB_BAD;
	return JOB_OK;
}

static enum job_result
read_result(struct job *job, const struct record *record)
{
	enum job_result result = JOB_OK;
	struct unpack cursor;

	unpack_start(&cursor, record->payload, record->length);
	uint32_t number = unpack_u32(&cursor);
	unsigned outcome = unpack_u8(&cursor);
	char *text = take_text(&cursor, OUTCOME_TEXT_MAX, &result);
	if (result == JOB_OK &&
		(!unpack_ended(&cursor) || !outcome_is_valid(outcome)))
		result = JOB_BAD;
	if (result != JOB_OK) {
		free(text);
		return result;
	}
	for (uint32_t i = 0; i < job->recipients; i++)
		if (job->recipient[i].number == number) {
			free(job->recipient[i].text);
			job->recipient[i].text = text;
			job->recipient[i].outcome = (enum outcome)outcome;
			return JOB_OK;
		}
	free(text);
	return JOB_BAD;
}

static enum job_result
read_end(struct job *job, const struct record *record)
{
	struct unpack cursor;

	unpack_start(&cursor, record->payload, record->length);
	job->reach = unpack_u8(&cursor);
	return unpack_ended(&cursor) && job->reach <= JOB_UNREACHABLE ? JOB_OK
								      : JOB_BAD;
}

/* One record; J first, then T, then R, then E, and nothing after it. */
static enum job_result
read_record(struct job *job, const struct record *record, unsigned *stage)
{
	static const char order[] = "JTRE";
	const char *at = record->type ? strchr(order, record->type) : NULL;

	if (at == NULL)
		return JOB_BAD;
	unsigned kind = (unsigned)(at - order) + 1;
	if (kind < *stage || (kind == 1 && *stage == 1) || *stage == 4 ||
		(kind > 1 && *stage == 0) || (kind > 2 && *stage == 1))
		return JOB_BAD;
	*stage = kind;
	switch (kind) {
	case 1:
		return read_head(job, record);
	case 2:
		return read_target(job, record);
	case 3:
		return read_result(job, record);
	default:
		job->ended = 1;
		return read_end(job, record);
	}
}

enum job_result
job_unpack(const void *octets, size_t size, struct job *job)
{
	enum job_result result = JOB_OK;
	struct record_cursor cursor;
	struct record record;
	unsigned stage = 0;

	*job = JOB_ZERO;
	record_start(&cursor, octets, size);
	while (result == JOB_OK) {
		enum record_result next;

		job->octets =
			(uint64_t)(cursor.at - (const unsigned char *)octets);
		next = record_next(&cursor, &record);

		if (next == RECORD_TORN && stage < 2)
			result = JOB_BAD;
		if (next != RECORD_OK)
			break;
		result = read_record(job, &record, &stage);
	}
	if (result == JOB_OK && job->recipients == 0)
		result = JOB_BAD;
	if (result != JOB_OK)
		job_free(job);
	return result;
}

enum job_result
job_read(int fd, struct job *job)
{
	enum job_result result = JOB_NO_MEMORY;
	size_t length = 0;
	struct stat st;

	*job = JOB_ZERO;
	if (fstat(fd, &st) < 0)
		return JOB_NO_MEMORY;
	if (st.st_size <= 0 || st.st_size > JOB_OCTETS_MAX)
		return JOB_BAD;
	char *octets = malloc((size_t)st.st_size);
	if (octets == NULL)
		return JOB_NO_MEMORY;
	while (length < (size_t)st.st_size) {
		ssize_t got = pread(fd, octets + length,
			(size_t)st.st_size - length, (off_t)length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			goto end;
		if (got == 0)
			break;
		length += (size_t)got;
	}
	result = job_unpack(octets, length, job);
end:
	free(octets);
	return result;
}

int
job_has_ended(int fd)
{
	char octets[RECORD_OVERHEAD + 1]; /* an end record */
	struct record_cursor cursor;
	struct record record;
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof octets ||
		pread(fd, octets, sizeof octets,
			st.st_size - (off_t)sizeof octets) != sizeof octets)
		return 0;
	record_start(&cursor, octets, sizeof octets);
	return record_next(&cursor, &record) == RECORD_OK && record.type == 'E';
}

/* --- results --- */

int
job_set_result(
	struct job_recipient *recipient, enum outcome outcome, const char *text)
{
	char clean[OUTCOME_TEXT_MAX + 1];

	escape_line(clean, sizeof clean, text, strlen(text), ESCAPE_MASK);
	char *copy = strdup(clean);
	if (copy == NULL)
		return -1;
	free(recipient->text);
	recipient->text = copy;
	recipient->outcome = outcome;
	return 0;
}

static int
pack_results(const struct job *job, stralloc *into)
{
	stralloc payload = STRALLOC_ZERO;
	int result = 0;

	for (uint32_t i = 0; result == 0 && i < job->recipients; i++) {
		const struct job_recipient *recipient = &job->recipient[i];

		if (recipient->outcome == 0)
			continue;
		payload.len = 0;
		if (pack_u32(&payload, recipient->number) < 0 ||
			pack_u8(&payload, (uint8_t)recipient->outcome) < 0 ||
			pack_string(&payload, recipient->text) < 0 ||
			record_append(into, 'R', payload.s, payload.len) < 0)
			result = -1;
	}
	stralloc_free(&payload);
	char reach = (char)job->reach;
	return result < 0 ? -1 : record_append(into, 'E', &reach, 1);
}

int
job_finish(int fd, const struct job *job)
{
	stralloc records = STRALLOC_ZERO;
	struct stat st;
	int result = -1;

	if (fstat(fd, &st) < 0)
		return -1;
	if (job->octets != 0 && (uint64_t)st.st_size > job->octets) {
		st.st_size = (off_t)job->octets;
		if (ftruncate(fd, st.st_size) < 0)
			return -1;
	}
	if (pack_results(job, &records) == 0) {
		ssize_t put = write(fd, records.s, records.len);

		if (put == (ssize_t)records.len)
			result = 0;
		else if (put >= 0)
			errno = ENOSPC;
	}
	int saved = errno;
	if (result < 0)
		(void)ftruncate(fd, st.st_size);
	stralloc_free(&records);
	errno = saved;
	return result;
}

void
job_free(struct job *job)
{
	for (uint32_t i = 0; i < job->recipients; i++) {
		free(job->recipient[i].address);
		free(job->recipient[i].orcpt);
		free(job->recipient[i].text);
	}
	free(job->recipient);
	free(job->destination);
	free(job->reverse_path);
	free(job->envid);
	*job = JOB_ZERO;
}
