#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/durable.h"
#include "queue/filter_intake.h"
#include "queue/submit.h"

/* The longest envelope taken, as it comes in one frame: as queue-inject. */
#define ENVELOPE_FRAME_MAX (8 * 1024 * 1024)

/* Always INTAKE_BAD. */
static enum intake_result
bad(struct intake *intake, enum submit_code code, const char *why)
{
	intake->code = code;
	intake->why = why;
	return INTAKE_BAD;
}

/* A file with two descriptors: one to write to, and one that filters get. */
static int
make_file(struct intake *intake, int folder, const char *name)
{
	struct filter_message *message = &intake->message;

	(void)unlinkat(folder, name, 0);
	intake->into = durable_create(folder, name, 0600);
	if (intake->into < 0)
		return -1;
	message->file = openat(
		folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	int saved = errno;
	(void)unlinkat(folder, name, 0);
	errno = saved;
	return message->file < 0 ? -1 : 0;
}

int
intake_start(struct intake *intake, int connection, int folder,
	const char *name, uint64_t octets_max)
{
	static const size_t size = ENVELOPE_FRAME_MAX + FRAME_HEAD;

	*intake = INTAKE_EMPTY;
	intake->octets_max = octets_max;
	intake->buffer = malloc(size);
	if (intake->buffer == NULL)
		return -1;
	frame_reader_start(&intake->reader, connection, intake->buffer, size);
	return make_file(intake, folder, name);
}

void
intake_end(struct intake *intake)
{
	if (intake->into >= 0)
		close(intake->into);
	intake->into = -1;
	free(intake->buffer);
	intake->buffer = NULL;
	filter_message_free(&intake->message);
}

void
filter_message_free(struct filter_message *message)
{
	if (message->file >= 0)
		close(message->file);
	message->file = -1;
	message->octets = 0;
	envelope_free(&message->envelope);
}

int
intake_write(struct intake *intake, const void *octets, size_t length)
{
	if (intake->octets_max - intake->message.octets < length) {
		bad(intake, SUBMIT_WRITE, "the message grows too long");
		return -1;
	}
	if (durable_write_all(intake->into, octets, length) < 0) {
		bad(intake, SUBMIT_WRITE, strerror(errno));
		return -1;
	}
	intake->message.octets += length;
	return 0;
}

static enum intake_result
take_question(struct intake *intake, const struct frame *frame)
{
	if (frame->type != 'Q' || frame->length != 9)
		return bad(intake, SUBMIT_FORMAT, "the question is not one");
	for (int i = 0; i < 8; i++)
		intake->size = intake->size << 8 | frame->payload[i];
	intake->flags = frame->payload[8];
	intake->asked = true;
	return INTAKE_ASKED;
}

static enum intake_result
take_envelope(struct intake *intake, const struct frame *frame)
{
	switch (envelope_unpack(
		frame->payload, frame->length, 1, &intake->message.envelope)) {
	case ENVELOPE_OK:
		return INTAKE_WHOLE;
	case ENVELOPE_BAD_ADDRESS:
		return bad(intake, SUBMIT_ADDRESS,
			"an address is too long or not one");
	case ENVELOPE_BAD_FORMAT:
		return bad(intake, SUBMIT_FORMAT, "the envelope is not one");
	default:
		return bad(intake, SUBMIT_MEMORY, "out of memory");
	}
}

enum intake_result
intake_step(struct intake *intake, int64_t deadline_ms)
{
	struct frame frame;

	for (;;) {
		switch (frame_read(&intake->reader, deadline_ms, &frame)) {
		case FRAME_OK:
			break;
		case FRAME_TIMEOUT:
			return INTAKE_WAIT;
		case FRAME_BROKEN:
			return bad(intake, SUBMIT_FORMAT, "a frame is broken");
		default:
			return INTAKE_GONE;
		}
		if (!intake->asked)
			return take_question(intake, &frame);
		if (frame.type == 'E')
			return take_envelope(intake, &frame);
		if (frame.type != 'D' || frame.length > SUBMIT_CHUNK)
			return bad(intake, SUBMIT_FORMAT,
				"neither content nor envelope");
		if (intake_write(intake, frame.payload, frame.length) < 0)
			return INTAKE_BAD;
		if (intake->still_there != NULL)
			intake->still_there(intake->context);
	}
}

/* --- what a filter hands on --- */

static int
by_address(const void *left, const void *right)
{
	const struct recipient *const *a = left, *const *b = right;

	return strcmp((*a)->address, (*b)->address);
}

/* Copies a text over another. 0, or -1 with ENOMEM. */
static int
put_text(char **into, const char *text)
{
	char *copy = strdup(text == NULL ? "" : text);

	if (copy == NULL)
		return -1;
	free(*into);
	*into = copy;
	return 0;
}

static int
inherit_recipients(struct envelope *envelope, const struct envelope *before)
{
	const struct recipient **sorted, *wanted;
	uint32_t count = before->recipients;
	int result = 0;

	sorted = calloc(count + 1, sizeof *sorted);
	if (sorted == NULL)
		return -1;
	for (uint32_t i = 0; i < count; i++)
		sorted[i] = &before->recipient[i];
	qsort(sorted, count, sizeof *sorted, by_address);
	for (uint32_t i = 0; i < envelope->recipients && result == 0; i++) {
		struct recipient *recipient = &envelope->recipient[i];

		wanted = recipient;
		const struct recipient **found = bsearch(
			&wanted, sorted, count, sizeof *sorted, by_address);
		if (found == NULL)
			continue;
		recipient->notify = (*found)->notify;
		result = put_text(&recipient->orcpt, (*found)->orcpt);
	}
	free(sorted);
	return result;
}

int
filter_envelope_inherit(
	struct envelope *envelope, const struct envelope *before)
{
	const struct origin *from = &before->origin;
	struct origin *to = &envelope->origin;

	envelope->body = before->body;
	envelope->smtputf8 |= before->smtputf8;
	envelope->requiretls = before->requiretls;
	envelope->ret = before->ret;
	to->kind = from->kind;
	to->uid = from->uid;
	if (put_text(&envelope->envid, before->envid) < 0 ||
		put_text(&to->client_address, from->client_address) < 0 ||
		put_text(&to->client_name, from->client_name) < 0 ||
		put_text(&to->hello, from->hello) < 0 ||
		put_text(&to->protocol, from->protocol) < 0 ||
		put_text(&to->authenticated, from->authenticated) < 0 ||
		put_text(&to->tls, from->tls) < 0)
		return -1;
	return inherit_recipients(envelope, before);
}
