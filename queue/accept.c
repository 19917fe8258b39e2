#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>
#include "lib/address.h"
#include "lib/deadline.h"
#include "lib/dots.h"
#include "lib/durable.h"
#include "lib/fields.h"
#include "lib/frames.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "queue/accept.h"
#include "queue/limits.h"
#include "queue/local_trace.h"
#include "queue/message_file.h"
#include "queue/room.h"
#include "queue/submit.h"

/* The longest envelope taken, as it comes in one frame. */
#define ENVELOPE_FRAME_MAX (8 * 1024 * 1024)
/* Content is written in pieces of this size, in octets. */
#define PIECE (256 * 1024)

struct writer {
	struct acceptance *acceptance;
	struct frame_reader reader;
	int64_t end_ms; /* deadline of the whole submission */
	struct dots_decoder decoder;
	struct message_header header;
	struct room_left left; /* to be left free on the disk */
	uint64_t offset;       /* where the next piece goes */
	size_t held;	       /* octets in piece */
	bool has_class;	       /* the header was looked at */
	bool is_report;	       /* of the runner */
	char last;	       /* octet of the content */
	char *piece;	       /* PIECE octets */
};

/* --- answers --- */

static int
answer(const struct writer *writer, uint8_t type, const void *payload,
	size_t length)
{
	return frame_send(writer->acceptance->connection, type, payload, length,
		deadline_after_ms(INJECT_IDLE_S * 1000));
}

/* Always -1. */
static int
answer_refusal(
	const struct writer *writer, enum submit_code code, const char *text)
{
	return submit_refuse(writer->acceptance->connection, code, text,
		deadline_after_ms(INJECT_IDLE_S * 1000));
}

static int refuse(const struct writer *writer, enum submit_code code,
	const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Tells the submitter, and the log if it is our trouble. Always -1. */
static int
refuse(const struct writer *writer, enum submit_code code, const char *format,
	...)
{
	char text[SUBMIT_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (!submit_code_is_permanent(code))
		log_line("refused %s from uid %u: %s", writer->acceptance->id,
			(unsigned)writer->acceptance->peer_uid, text);
	return answer_refusal(writer, code, text);
}

static int
write_failed(const struct writer *writer)
{
	return refuse(writer, SUBMIT_WRITE,
		"cannot write queue/incoming/%s: %s", writer->acceptance->id,
		strerror(errno));
}

/* --- content --- */

/* Precedence as mailing lists and autoresponders have set it for decades. */
static uint8_t
class_of(const char *header, size_t length)
{
	static const struct {
		const char *word;
		enum message_class class;
	} words[] = {
		{"special-delivery", MESSAGE_FIRST},
		{"list", MESSAGE_BULK},
		{"bulk", MESSAGE_BULK},
		{"junk", MESSAGE_BULK},
	};
	struct fields fields;
	struct field field;
	char value[32];

	fields_start(&fields, header, length);
	while (fields_next(&fields, &field)) {
		if (!field_is(&field, "Precedence"))
			continue;
		field_unfold(&field, value, sizeof value);
		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (strcasecmp(value, words[i].word) == 0)
				return words[i].class;
	}
	return MESSAGE_NORMAL;
}

/* What was asked for in the question may be less than what comes, so the room is
 * looked at again with each piece. */
static int
flush(struct writer *writer)
{
	size_t length = writer->held;
	char why[ROOM_TEXT_MAX];

	if (writer->header.content_octets > 0 &&
		room_on_disk(writer->acceptance->file, &writer->left, length,
			why) != SUBMIT_ACCEPTED) {
		errno = ENOSPC;
		return -1;
	}
	if (!writer->has_class) {
		writer->header.class = class_of(writer->piece, length);
		writer->has_class = true;
	}
	writer->held = 0;
	writer->header.content_crc = (uint32_t)crc32(writer->header.content_crc,
		(const Bytef *)writer->piece, (uInt)length);
	writer->header.content_octets += length;
	writer->offset += length;
	return durable_write_at(writer->acceptance->file, writer->piece, length,
		(off_t)(writer->offset - length));
}

/* Stored content has LF line ends alone: lib/dots.h, DOTS_LOCAL. */
static int
take_content(struct writer *writer, const char *octets, size_t length)
{
	while (length > 0) {
		size_t taken, made;

		if (PIECE - writer->held < 2 && flush(writer) < 0)
			return -1;
		(void)dots_decode(&writer->decoder, octets, length, &taken,
			writer->piece + writer->held, PIECE - writer->held,
			&made);
		writer->held += made;
		if (made > 0)
			writer->last = writer->piece[writer->held - 1];
		octets += taken;
		length -= taken;
	}
	return 0;
}

static int
end_content(struct writer *writer)
{
	char end[2];
	size_t made = dots_decode_finish(&writer->decoder, end);

	if (made > 0)
		writer->last = '\n';
	else if (writer->last != '\n')
		end[made++] = '\n';
	if (PIECE - writer->held < made && flush(writer) < 0)
		return -1;
	memcpy(writer->piece + writer->held, end, made);
	writer->held += made;
	return flush(writer);
}

/* What did not come by SMTP has no trace field yet. */
static int
write_trace(struct writer *writer)
{
	const struct acceptance *acceptance = writer->acceptance;
	char field[LOCAL_TRACE_MAX];

	return take_content(writer, field,
		local_trace_write(field, acceptance->peer_uid, acceptance->host,
			acceptance->id,
			(int64_t)(writer->header.arrival_us / 1000000)));
}

/* --- the steps --- */

static int64_t
next_deadline(const struct writer *writer)
{
	int64_t idle = deadline_after_ms(INJECT_IDLE_S * 1000);

	return idle < writer->end_ms ? idle : writer->end_ms;
}

/* Reads a frame. 0; or -1 after an answer, if one makes sense. */
static int
next_frame(struct writer *writer, struct frame *frame)
{
	switch (frame_read(&writer->reader, next_deadline(writer), frame)) {
	case FRAME_OK:
		return 0;
	case FRAME_TIMEOUT:
		return refuse(
			writer, SUBMIT_TIMEOUT, "the submitter is too slow");
	case FRAME_BROKEN:
		return refuse(writer, SUBMIT_FORMAT,
			"a frame is broken or longer than %d octets",
			ENVELOPE_FRAME_MAX);
	default:
		return -1; /* the submitter has taken it back */
	}
}

/* True if somebody reads the FIFO, and a line would go into it. */
static bool
runner_listens(const struct wakeup_writer *runner)
{
	struct pollfd wait = {.fd = runner->fd, .events = POLLOUT};

	return runner->fd >= 0 && poll(&wait, 1, 0) == 1 &&
	       wait.revents == POLLOUT;
}

/* "Wake that destination": a line for the runner, and no message. Always -1. */
static int
pass_on_retry(const struct writer *writer, const struct frame *frame)
{
	const struct acceptance *acceptance = writer->acceptance;
	const char *domain = (const char *)frame->payload;
	size_t length = frame->length;
	size_t dot = length > 0 && domain[0] == '.';
	char line[WAKEUP_LINE_MAX + 1];

	if (!acceptance->may_retry)
		return refuse(writer, SUBMIT_POLICY,
			"only smtpd may ask for what is in the queue");
	if (!domain_valid(domain + dot, length - dot))
		return refuse(writer, SUBMIT_ADDRESS, "not a domain");
	if (!runner_listens(acceptance->runner))
		return refuse(writer, SUBMIT_BUSY, "the runner does not run");
	snprintf(line, sizeof line, "retry/%.*s", (int)length, domain);
	wakeup_write(acceptance->runner, line);
	(void)answer(writer, 'A', acceptance->id, IDENT_LENGTH);
	return -1;
}

/* "May I?" */
static int
answer_question(struct writer *writer, int *is_traced)
{
	const struct acceptance *acceptance = writer->acceptance;
	enum submit_code refusal;
	char why[ROOM_TEXT_MAX];
	struct frame frame;
	uint64_t size = 0;

	if (next_frame(writer, &frame) < 0)
		return -1;
	if (frame.type == 'W')
		return pass_on_retry(writer, &frame);
	if (frame.type != 'Q' || frame.length != 9)
		return refuse(writer, SUBMIT_FORMAT, "the question is not one");
	for (int i = 0; i < 8; i++)
		size = size << 8 | frame.payload[i];
	unsigned flags = frame.payload[8];
	bool is_report = (flags & SUBMIT_IS_REPORT) && acceptance->may_report;

	*is_traced = (flags & SUBMIT_IS_TRACED) && acceptance->may_claim;
	if (!is_report && acceptance->refusal != SUBMIT_ACCEPTED)
		return answer_refusal(
			writer, acceptance->refusal, acceptance->why);
	writer->is_report = is_report;
	writer->left = is_report ? acceptance->report_left : acceptance->left;
	refusal = room_on_disk(acceptance->file, &writer->left, size, why);
	if (refusal != SUBMIT_ACCEPTED)
		return refuse(writer, refusal, "%s", why);
	return answer(writer, 'G', acceptance->id, IDENT_LENGTH);
}

/* What we know of the submitter goes before what it says. */
static void
set_origin(const struct acceptance *acceptance, struct origin *origin)
{
	bool is_claimed = acceptance->may_claim && origin->kind != 0;

	if (!is_claimed) {
		origin->kind = ORIGIN_LOCAL;
		origin->client_address[0] = origin->client_name[0] = 0;
		origin->hello[0] = origin->authenticated[0] = 0;
		origin->tls[0] = origin->protocol[0] = 0;
	}
	/* What comes through the filters was submitted by somebody else. */
	if (!is_claimed || !acceptance->may_pass_on)
		origin->uid = (uint32_t)acceptance->peer_uid;
}

static int
write_envelope(struct writer *writer, const struct frame *frame)
{
	int fd = writer->acceptance->file, result = -1;
	stralloc records = STRALLOC_ZERO;
	struct envelope envelope;

	switch (envelope_unpack(frame->payload, frame->length, 1, &envelope)) {
	case ENVELOPE_OK:
		break;
	case ENVELOPE_BAD_ADDRESS:
		return refuse(writer, SUBMIT_ADDRESS,
			"an address is too long or not one");
	case ENVELOPE_BAD_FORMAT:
		return refuse(writer, SUBMIT_FORMAT, "the envelope is not one");
	case ENVELOPE_NO_MEMORY:
		return refuse(writer, SUBMIT_MEMORY, "out of memory");
	}
	set_origin(writer->acceptance, &envelope.origin);
	if (envelope_pack(&envelope, &records) < 0) {
		refuse(writer, SUBMIT_MEMORY, "out of memory");
		goto end;
	}
	writer->header.recipients = envelope.recipients;
	writer->header.envelope_octets = (uint32_t)records.len;
	writer->header.envelope_crc =
		(uint32_t)crc32(0, (const Bytef *)records.s, (uInt)records.len);
	if (durable_write_at(
		    fd, records.s, records.len, (off_t)writer->offset) < 0)
		write_failed(writer);
	else
		result = 0;
end:
	stralloc_free(&records);
	envelope_free(&envelope);
	return result;
}

static int
write_header(struct writer *writer, int marked)
{
	unsigned char octets[MESSAGE_HEADER_OCTETS];

	writer->header.marked = marked;
	message_header_pack(&writer->header, octets);
	return durable_write_at(
		writer->acceptance->file, octets, sizeof octets, 0);
}

/* Takes the mark away again, so that nobody takes the file for accepted. */
static int
withdraw(struct writer *writer)
{
	int saved = errno;

	(void)write_header(writer, 0);
	(void)durable_sync_file(writer->acceptance->file);
	errno = saved;
	return write_failed(writer);
}

/*
 * The mark is written last and together with the header, and is worth nothing
 * until the file is synced: a crash before that leaves a file without a mark or
 * without its content, which the header's and content's checks tell apart, and
 * the submitter has no answer. The folder's sync makes the name last; only after
 * it the message is ours. An error of fsync is final (lib/durable.h).
 */
static int
make_durable(struct writer *writer)
{
	struct acceptance *acceptance = writer->acceptance;
	struct stat st;

	if (write_header(writer, 1) < 0 ||
		durable_sync_file(acceptance->file) < 0 ||
		durable_sync_folder(acceptance->folder) < 0 ||
		fstat(acceptance->file, &st) < 0)
		return withdraw(writer);
	if (st.st_nlink == 0)
		return refuse(writer, SUBMIT_TIMEOUT,
			"the file was removed meanwhile: too slow");
	return 0;
}

static int
serve(struct writer *writer)
{
	struct acceptance *acceptance = writer->acceptance;
	char line[WAKEUP_LINE_MAX + 1];
	struct frame frame;
	int is_traced = 0;

	if (answer_question(writer, &is_traced) < 0)
		return -1;
	if (write_header(writer, 0) < 0 ||
		(!is_traced && write_trace(writer) < 0))
		return write_failed(writer);
	for (;;) {
		if (next_frame(writer, &frame) < 0)
			return -1;
		if (frame.type == 'E')
			break;
		if (frame.type != 'D' || frame.length > SUBMIT_CHUNK)
			return refuse(writer, SUBMIT_FORMAT,
				"neither content nor envelope");
		if (take_content(writer, (const char *)frame.payload,
			    frame.length) < 0)
			return write_failed(writer);
	}
	if (end_content(writer) < 0)
		return write_failed(writer);
	/* RFC 5321 section 2.3.8, RFC 5322 section 3.5: other hosts would cut
	 * the message there or refuse it, so it is not taken by any way in. A
	 * report must get through, whatever it returns. */
	if ((writer->decoder.seen & DOTS_NUL) && !writer->is_report)
		return refuse(
			writer, SUBMIT_POLICY, "the message has a NUL octet");
	if (write_envelope(writer, &frame) < 0)
		return -1;
	/* Before this line a crash loses nothing that anybody was promised;
	 * after it the message is ours. */
	if (make_durable(writer) < 0)
		return -1;
	(void)flock(acceptance->file, LOCK_UN);
	/* An answer that does not arrive changes nothing: it is accepted. */
	(void)answer(writer, 'A', acceptance->id, IDENT_LENGTH);
	snprintf(line, sizeof line, "incoming/%s", acceptance->id);
	wakeup_write(acceptance->runner, line);
	return 0;
}

int
accept_submission(struct acceptance *acceptance)
{
	static const size_t buffer_size = ENVELOPE_FRAME_MAX + FRAME_HEAD;
	struct writer writer = {
		.acceptance = acceptance,
		.end_ms = deadline_after_ms(INJECT_DEADLINE_S * 1000),
		.offset = MESSAGE_HEADER_OCTETS,
		.header.arrival_us = ident_time_us(acceptance->id),
		.header.content_crc = (uint32_t)crc32(0, NULL, 0),
		.piece = malloc(PIECE),
	};
	void *buffer = malloc(buffer_size);
	int result = -1;

	if (buffer == NULL || writer.piece == NULL) {
		refuse(&writer, SUBMIT_MEMORY, "out of memory");
	} else {
		dots_decode_start(&writer.decoder, DOTS_LOCAL);
		frame_reader_start(&writer.reader, acceptance->connection,
			buffer, buffer_size);
		result = serve(&writer);
	}
	free(buffer);
	free(writer.piece);
	return result;
}
