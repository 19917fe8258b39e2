#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/escape.h"
#include "lib/frames.h"
#include "lib/ident.h"
#include "lib/pack.h"
#include "lib/service.h"
#include "queue/submit.h"

/* Closes, and says why. Always -1. */
static int refuse(struct submission *submission, enum submit_code code,
	const char *format, ...) __attribute__((format(printf, 3, 4)));

static int
refuse(struct submission *submission, enum submit_code code, const char *format,
	...)
{
	va_list arguments;

	submit_abandon(submission);
	submission->code = code;
	va_start(arguments, format);
	vsnprintf(submission->text, sizeof submission->text, format, arguments);
	va_end(arguments);
	return -1;
}

static int
send_frame(struct submission *submission, uint8_t type, const void *payload,
	size_t length)
{
	return frame_send(
		submission->fd, type, payload, length, submission->deadline_ms);
}

/* 'N': u8 code, text. */
static int
take_refusal(struct submission *submission, const struct frame *frame)
{
	char text[SUBMIT_TEXT_MAX + 1];

	if (frame->length == 0 || frame->payload[0] == 0)
		return refuse(submission, SUBMIT_INTERNAL,
			"queue-inject's answer makes no sense");
	escape_line(text, sizeof text, (const char *)frame->payload + 1,
		frame->length - 1, ESCAPE_MASK);
	return refuse(
		submission, (enum submit_code)frame->payload[0], "%s", text);
}

/* Reads one answer: of the type, with an id; or a refusal. */
static int
await(struct submission *submission, uint8_t type)
{
	unsigned char buffer[512];
	struct frame_reader reader;
	struct frame frame;

	frame_reader_start(&reader, submission->fd, buffer, sizeof buffer);
	switch (frame_read(&reader, submission->deadline_ms, &frame)) {
	case FRAME_OK:
		break;
	case FRAME_TIMEOUT:
		return refuse(submission, SUBMIT_CONNECTION,
			"queue-inject does not answer in time");
	case FRAME_CLOSED:
	case FRAME_BROKEN:
		return refuse(submission, SUBMIT_CONNECTION,
			"queue-inject has gone away");
	case FRAME_ERROR:
		return refuse(submission, SUBMIT_CONNECTION, "queue-inject: %s",
			strerror(errno));
	}
	if (frame.type == 'N')
		return take_refusal(submission, &frame);
	if (frame.type != type || frame.length != IDENT_LENGTH ||
		!ident_valid((const char *)frame.payload, frame.length))
		return refuse(submission, SUBMIT_INTERNAL,
			"queue-inject's answer makes no sense");
	memcpy(submission->id, frame.payload, IDENT_LENGTH);
	submission->id[IDENT_LENGTH] = 0;
	return 0;
}

/*
 * A send has failed. If queue-inject ended the submission by itself (full disk),
 * its reason is there to be read.
 */
static int
sending_failed(struct submission *submission)
{
	int saved = errno;

	if (saved == ETIMEDOUT)
		return refuse(submission, SUBMIT_CONNECTION,
			"queue-inject takes nothing");
	if (saved != EPIPE && saved != ECONNRESET)
		return refuse(submission, SUBMIT_CONNECTION, "queue-inject: %s",
			strerror(saved));
	if (await(submission, 'A') == 0)
		return refuse(submission, SUBMIT_INTERNAL,
			"queue-inject answered before the end");
	return -1;
}

static int
connect_to(struct submission *submission, const char *path, int64_t deadline_ms)
{
	submission->deadline_ms = deadline_ms;
	submission->code = SUBMIT_ACCEPTED;
	submission->text[0] = submission->id[0] = 0;
	submission->held = 0;
	submission->fd = service_connect(path, SOCK_STREAM, deadline_ms);
	if (submission->fd < 0)
		return refuse(submission, SUBMIT_CONNECTION,
			"queue-inject cannot be reached: %s", strerror(errno));
	return 0;
}

static int
open_submission(struct submission *submission, const char *path,
	uint64_t size_octets, unsigned flags, int64_t deadline_ms)
{
	unsigned char question[9];

	if (connect_to(submission, path, deadline_ms) < 0)
		return -1;
	for (int i = 7; i >= 0; i--, size_octets >>= 8)
		question[i] = (unsigned char)size_octets;
	question[8] = (unsigned char)flags;
	if (send_frame(submission, 'Q', question, sizeof question) < 0)
		return sending_failed(submission);
	return await(submission, 'G');
}

int
submit_open(struct submission *submission, const char *path,
	uint64_t size_octets, int64_t deadline_ms)
{
	return open_submission(submission, path, size_octets, 0, deadline_ms);
}

int
submit_open_traced(struct submission *submission, const char *path,
	uint64_t size_octets, int64_t deadline_ms)
{
	return open_submission(
		submission, path, size_octets, SUBMIT_IS_TRACED, deadline_ms);
}

int
submit_open_report(struct submission *submission, const char *path,
	uint64_t size_octets, int64_t deadline_ms)
{
	return open_submission(submission, path, size_octets,
		SUBMIT_IS_TRACED | SUBMIT_IS_REPORT, deadline_ms);
}

static int
flush(struct submission *submission)
{
	size_t held = submission->held;

	submission->held = 0;
	if (held > 0 &&
		send_frame(submission, 'D', submission->chunk, held) < 0)
		return sending_failed(submission);
	return 0;
}

int
submit_content(struct submission *submission, const void *octets, size_t length)
{
	const char *at = octets;

	while (length > 0) {
		size_t room = SUBMIT_CHUNK - submission->held;
		size_t part = length < room ? length : room;

		memcpy(submission->chunk + submission->held, at, part);
		submission->held += part;
		at += part;
		length -= part;
		if (submission->held == SUBMIT_CHUNK && flush(submission) < 0)
			return -1;
	}
	return 0;
}

int
submit_still_there(struct submission *submission)
{
	return send_frame(submission, 'D', NULL, 0) < 0
		       ? sending_failed(submission)
		       : 0;
}

int
submit_finish(struct submission *submission, const struct envelope *envelope)
{
	stralloc records = STRALLOC_ZERO;
	int result;

	if (envelope_pack(envelope, &records) < 0) {
		result = refuse(submission,
			errno == ENOMEM ? SUBMIT_MEMORY : SUBMIT_ADDRESS,
			"the envelope: %s", strerror(errno));
		goto end;
	}
	result = flush(submission);
	if (result < 0)
		goto end;
	if (send_frame(submission, 'E', records.s, records.len) < 0) {
		result = sending_failed(submission);
		goto end;
	}
	result = await(submission, 'A');
	submit_abandon(submission);
end:
	stralloc_free(&records);
	return result;
}

int
submit_retry(struct submission *submission, const char *path,
	const char *domain, int64_t deadline_ms)
{
	if (connect_to(submission, path, deadline_ms) < 0)
		return -1;
	if (send_frame(submission, 'W', domain, strlen(domain)) < 0)
		return sending_failed(submission);
	int result = await(submission, 'A');
	submit_abandon(submission);
	return result;
}

void
submit_abandon(struct submission *submission)
{
	if (submission->fd >= 0)
		close(submission->fd);
	submission->fd = -1;
	submission->held = 0;
}
