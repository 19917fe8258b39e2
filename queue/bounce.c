#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/deadline.h"
#include "lib/log.h"
#include "lib/verp.h"
#include "queue/report.h"
#include "queue/runner.h"
#include "queue/submit.h"

/*
 * Who is owed a report of what: failures, delays, arrivals (RFC 3461). A report
 * is mail like any other, submitted and durable before the message that it is
 * about counts as told; queue/report.c writes it. One report covers all
 * recipients of a message of whom the same is to be said.
 */

/* How long queue-inject may take for one step, in milliseconds. */
#define SUBMIT_MS 30000
/* Recipients in one report: it must be of a size that can be sent in time. */
#define REPORT_RECIPIENTS_MAX 500

struct bounce {
	struct runner *runner;
	struct message *message;
	enum report_kind kind;
	uint32_t *number;		    /* owned: recipients it covers */
	struct report_recipient *recipient; /* owned: the same for the report */
	uint32_t count;
	bool is_double; /* to the administrator, about a bounce */
	char to[ADDRESS_TEXT_MAX + 1];
	struct submission submission;
};

/* --- who is told --- */

static bool
has_sender(const struct message *message)
{
	const char *sender = message->file.envelope.reverse_path;

	return sender[0] != 0 && strcmp(sender, ENVELOPE_DOUBLE_BOUNCE) != 0;
}

static bool
is_delayed(const struct runner *runner, const struct message *message,
	const struct message_recipient_state *state)
{
	uint64_t after_ms = (uint64_t)runner->settings.delaywarning_s * 1000;
	uint64_t arrival_ms = message->file.header.arrival_us / 1000;

	return after_ms > 0 &&
	       (state->outcome == 0 || state->outcome == OUTCOME_DEFERRED) &&
	       !state->delay_told && runner_now_ms() >= arrival_ms + after_ms;
}

/* Without NOTIFY failures and delays are told (RFC 3461 section 4.1). */
static bool
is_owed(const struct runner *runner, const struct message *message,
	enum report_kind kind, uint32_t i)
{
	const struct message_recipient_state *state = &message->file.state[i];
	uint8_t notify = message->file.envelope.recipient[i].notify;

	switch (kind) {
	case REPORT_FAILED:
		return state->outcome == OUTCOME_FAILED && !state->told &&
		       (notify == 0 || (notify & NOTIFY_FAILURE));
	case REPORT_DELAYED:
		return is_delayed(runner, message, state) &&
		       (notify == 0 || (notify & NOTIFY_DELAY)) &&
		       has_sender(message);
	case REPORT_ARRIVED:
		return (state->outcome == OUTCOME_DELIVERED ||
			       state->outcome == OUTCOME_RELAYED ||
			       state->outcome == OUTCOME_EXPANDED) &&
		       !state->told && (notify & NOTIFY_SUCCESS) &&
		       has_sender(message);
	}
	return false;
}

bool
bounce_owes_delay(const struct runner *runner, const struct message *message)
{
	for (uint32_t i = 0; i < message->file.envelope.recipients; i++)
		if (is_owed(runner, message, REPORT_DELAYED, i))
			return true;
	return false;
}

/* Collects those who are owed. 0, or -1 with ENOMEM. */
static int
collect(struct bounce *bounce)
{
	const struct message_file *file = &bounce->message->file;
	uint32_t count = 0, recipients = file->envelope.recipients;

	for (uint32_t i = 0; i < recipients && count < REPORT_RECIPIENTS_MAX;
		i++)
		count += is_owed(
			bounce->runner, bounce->message, bounce->kind, i);
	if (count == 0)
		return 0;
	bounce->number = calloc(count, sizeof *bounce->number);
	bounce->recipient = calloc(count, sizeof *bounce->recipient);
	if (bounce->number == NULL || bounce->recipient == NULL)
		return -1;
	for (uint32_t i = 0; i < recipients && bounce->count < count; i++) {
		const struct message_recipient_state *state = &file->state[i];

		if (!is_owed(bounce->runner, bounce->message, bounce->kind, i))
			continue;
		bounce->recipient[bounce->count] = (struct report_recipient){
			.address = file->envelope.recipient[i].address,
			.orcpt = file->envelope.recipient[i].orcpt,
			.outcome = state->outcome,
			.text = state->text == NULL ? "" : state->text,
			.attempt_ms = state->attempt_ms,
		};
		bounce->number[bounce->count++] = i;
	}
	return 0;
}

/*
 * True if the message is a double bounce of ours. Whoever forwards one may give
 * it another reverse-path; its field says it then, or an administrator's broken
 * forward would be reported for ever.
 */
static bool
is_double_bounce(const struct message *message)
{
	static const char field[] = "\n" REPORT_DOUBLE_FIELD "\n";
	const char *sender = message->file.envelope.reverse_path;
	uint64_t octets = message->file.header.content_octets;
	char block[16 * 1024];

	if (has_sender(message))
		return false;
	if (sender[0] != 0)
		return true;
	ssize_t got = pread(message->fd, block,
		octets < sizeof block ? (size_t)octets : sizeof block,
		MESSAGE_HEADER_OCTETS);
	if (got <= 0)
		return false;
	const char *end = memmem(block, (size_t)got, "\n\n", 2);
	size_t length = end == NULL ? (size_t)got : (size_t)(end - block) + 1;
	return memmem(block, length, field, sizeof field - 1) != NULL;
}

/* Decides who gets it. */
static void
address_it(struct bounce *bounce)
{
	const struct runner_settings *settings = &bounce->runner->settings;
	const char *sender = bounce->message->file.envelope.reverse_path;
	size_t length = strlen(sender), base = verp_base(sender, length);

	bounce->is_double = !has_sender(bounce->message);
	if (bounce->is_double)
		snprintf(bounce->to, sizeof bounce->to, "%s@%s",
			settings->doublebounceto, settings->doublebouncehost);
	else
		snprintf(bounce->to, sizeof bounce->to, "%.*s",
			(int)(base > 0 ? base : length), sender);
}

/* --- sending --- */

static void
fill_report(const struct bounce *bounce, struct report *report)
{
	const struct runner_settings *settings = &bounce->runner->settings;
	const struct message *message = bounce->message;
	const struct envelope *about = &message->file.envelope;
	int64_t arrival_s =
		(int64_t)(message->file.header.arrival_us / 1000000);

	*report = (struct report){
		.kind = bounce->kind,
		.is_double = bounce->is_double,
		.me = settings->me,
		.from_local = settings->bouncefrom,
		.from_host = settings->bouncehost,
		.to = bounce->to,
		.about = message->id,
		.envid = about->envid,
		.smtputf8 = about->smtputf8 != 0,
		.ret = (enum envelope_ret)about->ret,
		.whole_max = (uint64_t)settings->bouncemaxbytes,
		.now_s = (int64_t)(runner_now_ms() / 1000),
		.arrival_s = arrival_s,
		.retry_until_s =
			arrival_s + runner_lifetime_s(bounce->runner, message),
		.bouncetext = &settings->bouncetext,
		.recipient = bounce->recipient,
		.recipients = bounce->count,
		.fd = message->fd,
		.offset = MESSAGE_HEADER_OCTETS,
		.octets = message->file.header.content_octets,
	};
}

static int
put(void *context, const void *octets, size_t length)
{
	struct bounce *bounce = context;

	bounce->submission.deadline_ms = deadline_after_ms(SUBMIT_MS);
	return submit_content(&bounce->submission, octets, length);
}

/* Writes the report into the queue. 0, or -1 after a log line. */
static int
send_report(struct bounce *bounce, struct report *report,
	const struct envelope *envelope)
{
	struct submission *submission = &bounce->submission;
	char path[HOME_NAME_MAX];

	home_path(&bounce->runner->home, "socket/submit", path);
	if (submit_open_report(
		    submission, path, 0, deadline_after_ms(SUBMIT_MS)) < 0) {
		log_line("report of msg %s: %s", bounce->message->id,
			submission->text);
		return -1;
	}
	report->id = submission->id;
	bool was_open = true;
	int result = report_write(report, put, bounce);
	if (result == 0)
		result = submit_finish(submission, envelope);
	else
		was_open = submission->fd < 0;
	if (result < 0)
		log_line("report of msg %s: %s", bounce->message->id,
			was_open ? submission->text : strerror(errno));
	submit_abandon(submission);
	return result;
}

static int
submit(struct bounce *bounce)
{
	struct envelope envelope = ENVELOPE_ZERO;
	char null_path[] = "", double_path[] = ENVELOPE_DOUBLE_BOUNCE;
	struct report report;

	fill_report(bounce, &report);
	if (report_prepare(&report) < 0) {
		log_line("report of msg %s: %s", bounce->message->id,
			strerror(errno));
		return -1;
	}
	if (envelope_add_recipient(&envelope, bounce->to, 0, "") < 0)
		return -1;
	envelope.reverse_path = bounce->is_double ? double_path : null_path;
	envelope.body = report.is_8bit ? BODY_8BITMIME : BODY_7BIT;
	envelope.smtputf8 = report.needs_utf8;
	envelope.origin.kind = ORIGIN_SUITE;
	int result = send_report(bounce, &report, &envelope);
	envelope.reverse_path = NULL;
	envelope_free(&envelope);
	return result;
}

/* --- recording --- */

static int
append(struct bounce *bounce, const stralloc *records)
{
	struct message *message = bounce->message;

	if (message_append(message->fd, &message->file, records) == 0)
		return 0;
	log_line("cannot record the report of msg %s: %s", message->id,
		strerror(errno));
	return -1;
}

/* Notes in the message that they have been told, by the report of this id. */
static int
record_told(struct bounce *bounce, const char *id)
{
	bool is_delay = bounce->kind == REPORT_DELAYED;
	stralloc records = STRALLOC_ZERO;
	int result = message_pack_notice(&records,
		is_delay ? NOTICE_DELAY : NOTICE_BOUNCE, runner_now_ms(), id,
		bounce->number, bounce->count);

	if (result == 0)
		result = append(bounce, &records);
	stralloc_free(&records);
	for (uint32_t i = 0; result == 0 && i < bounce->count; i++) {
		struct message_recipient_state *state =
			&bounce->message->file.state[bounce->number[i]];

		if (is_delay)
			state->delay_told = 1;
		else
			state->told = 1;
	}
	return result;
}

/* A double bounce failed: that is told to nobody. */
static int
discard(struct bounce *bounce)
{
	struct message_file *file = &bounce->message->file;
	stralloc records = STRALLOC_ZERO;
	int result = 0;

	log_line("triple bounce: discarding bounce/%llu id %s",
		bounce->message->inode, bounce->message->id);
	for (uint32_t i = 0; result == 0 && i < bounce->count; i++) {
		const struct message_recipient_state *state =
			&file->state[bounce->number[i]];

		result = message_pack_outcome(&records, bounce->number[i],
			OUTCOME_DISCARDED, state->attempts, state->attempt_ms,
			0, bounce->recipient[i].text);
	}
	if (result == 0)
		result = append(bounce, &records);
	stralloc_free(&records);
	for (uint32_t i = 0; result == 0 && i < bounce->count; i++)
		file->state[bounce->number[i]].outcome = OUTCOME_DISCARDED;
	return result;
}

static const char *
name(const struct bounce *bounce)
{
	return bounce->is_double		? "double bounce"
	       : bounce->kind == REPORT_FAILED	? "bounce"
	       : bounce->kind == REPORT_DELAYED ? "delay report"
						: "arrival report";
}

static int
send_one(struct bounce *bounce)
{
	if (collect(bounce) < 0)
		return -1;
	if (bounce->count == 0)
		return 0;
	if (is_double_bounce(bounce->message))
		return discard(bounce) < 0 ? -1 : 1;
	address_it(bounce);
	if (submit(bounce) < 0)
		return -1;
	history_bounce(bounce->message, name(bounce), bounce->submission.id);
	/* If this fails or we are killed here, a second one will go out: better
	 * than none. */
	return record_told(bounce, bounce->submission.id) < 0 ? -1 : 1;
}

/* One report. Returns 1 if it is made, 0 if none is owed, -1 on failure. */
static int
send_kind(struct runner *runner, struct message *message, enum report_kind kind)
{
	struct bounce *bounce = calloc(1, sizeof *bounce);

	if (bounce == NULL)
		return -1;
	bounce->runner = runner;
	bounce->message = message;
	bounce->kind = kind;
	SUBMISSION_CLOSED(&bounce->submission);
	int result = send_one(bounce);
	free(bounce->number);
	free(bounce->recipient);
	free(bounce);
	return result;
}

int
bounce_send(struct runner *runner, struct message *message)
{
	static const enum report_kind KINDS[] = {
		REPORT_FAILED, REPORT_DELAYED, REPORT_ARRIVED};
	int result = 0;

	for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
		int sent;

		do
			sent = send_kind(runner, message, KINDS[i]);
		while (sent > 0);
		if (sent < 0)
			result = -1;
	}
	return result;
}
