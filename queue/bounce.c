#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/date.h"
#include "lib/deadline.h"
#include "lib/log.h"
#include "queue/runner.h"
#include "queue/submit.h"

/*
 * Reports of non-delivery (RFC 3464 in the frame of RFC 6522): mail like any
 * other, submitted and durable before the message that it is about counts as
 * told.
 */

/* How long queue-inject may take, in milliseconds. */
#define SUBMIT_MS 30000
/* A message of at most so many octets goes back whole, unless RET=HDRS. */
#define RETURN_WHOLE_MAX (64 * 1024)
/* So much of a larger one's header goes back. */
#define RETURN_HEADER_MAX (16 * 1024)
/* Recipients in one report: it must be of a size that can be sent in time. */
#define REPORT_RECIPIENTS_MAX 500

/*
 * The field by which a double bounce is known again, whoever forwards it: what
 * is about it is told to nobody, or an administrator's broken forward would be
 * reported for ever.
 */
#define DOUBLE_FIELD "X-Keepmail-Report: double bounce"

struct bounce {
	struct runner *runner;
	struct message *message;
	uint32_t *failed; /* owned: recipients that it covers */
	uint32_t count;
	bool is_double; /* to the administrator, about a bounce */
	char to[ADDRESS_TEXT_MAX + 1];
	struct submission submission;
};

static int put(struct bounce *bounce, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int
put(struct bounce *bounce, const char *format, ...)
{
	char text[4096];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	return submit_content(&bounce->submission, text, strlen(text));
}

/* --- who is told --- */

static bool
is_owed(const struct message *message, uint32_t i)
{
	uint8_t notify = message->file.envelope.recipient[i].notify;

	/* RFC 3461 section 4.1: failures are told unless others were asked for */
	return message->file.state[i].outcome == OUTCOME_FAILED &&
	       !message->file.state[i].told &&
	       (notify == 0 || (notify & NOTIFY_FAILURE));
}

/* Collects the failed, as many as go into one report. Returns how many, or -1 with ENOMEM. */
static int
collect(struct bounce *bounce)
{
	const struct message *message = bounce->message;
	uint32_t recipients = message->file.envelope.recipients;

	for (uint32_t i = 0;
		i < recipients && bounce->count < REPORT_RECIPIENTS_MAX; i++)
		if (is_owed(message, i))
			bounce->count++;
	if (bounce->count == 0)
		return 0;
	bounce->failed = calloc(bounce->count, sizeof *bounce->failed);
	if (bounce->failed == NULL)
		return -1;
	uint32_t most = bounce->count;
	bounce->count = 0;
	for (uint32_t i = 0; i < recipients && bounce->count < most; i++)
		if (is_owed(message, i))
			bounce->failed[bounce->count++] = i;
	return (int)bounce->count;
}

/* True if the message is a double bounce of ours, forwarded or not. */
static bool
is_double_bounce(const struct message *message)
{
	static const char field[] = "\n" DOUBLE_FIELD "\n";
	uint64_t octets = message->file.header.content_octets;
	char block[RETURN_HEADER_MAX];
	ssize_t got = pread(message->fd, block,
		octets < sizeof block ? (size_t)octets : sizeof block,
		MESSAGE_HEADER_OCTETS);

	if (got <= 0)
		return false;
	const char *end = memmem(block, (size_t)got, "\n\n", 2);
	size_t length = end == NULL ? (size_t)got : (size_t)(end - block) + 1;
	return memmem(block, length, field, sizeof field - 1) != NULL;
}

/* Decides who gets it. False: nobody, it has gone round often enough. */
static bool
address_it(struct bounce *bounce)
{
	const struct runner_settings *settings = &bounce->runner->settings;
	const struct envelope *envelope = &bounce->message->file.envelope;

	if (envelope->reverse_path[0] != 0) {
		snprintf(bounce->to, sizeof bounce->to, "%s",
			envelope->reverse_path);
		return true;
	}
	bounce->is_double = true;
	snprintf(bounce->to, sizeof bounce->to, "%s@%s",
		settings->doublebounceto, settings->doublebouncehost);
	return strcasecmp(envelope->recipient[bounce->failed[0]].address,
		       bounce->to) != 0 &&
	       !is_double_bounce(bounce->message);
}

/* --- what it says --- */

/* The enhanced status code in a reply text (RFC 3463), or 5.0.0. */
static void
find_status(const char *text, char status[12])
{
	unsigned subject, detail;
	int length;

	snprintf(status, 12, "5.0.0");
	for (const char *at = text; (at = strstr(at, "5.")) != NULL; at++) {
		if (at > text && at[-1] != ' ' && at[-1] != '-')
			continue;
		if (sscanf(at, "5.%3u.%3u%n", &subject, &detail, &length) ==
				2 &&
			(at[length] == ' ' || at[length] == 0)) {
			snprintf(status, 12, "5.%u.%u", subject, detail);
			return;
		}
	}
}

static int
put_header(struct bounce *bounce)
{
	const struct runner_settings *settings = &bounce->runner->settings;
	const char *id = bounce->submission.id;
	char date[DATE_OCTETS + 1];

	date_write(date, (int64_t)(runner_now_ms() / 1000));
	return put(bounce,
		"Date: %s\n"
		"From: Mail delivery <%s@%s>\n"
		"To: <%s>\n"
		"Message-ID: <%s@%s>\n"
		"Subject: %s\n"
		"Auto-Submitted: auto-replied\n%s"
		"MIME-Version: 1.0\n"
		"Content-Type: multipart/report; "
		"report-type=delivery-status;\n\tboundary=\"=_%s\"\n\n",
		date, settings->bouncefrom, settings->bouncehost, bounce->to,
		id, settings->me,
		bounce->is_double ? "A bounce could not be delivered"
				  : "Your message could not be delivered",
		bounce->is_double ? DOUBLE_FIELD "\n" : "", id);
}

static int
put_words(struct bounce *bounce)
{
	const struct message_file *file = &bounce->message->file;
	char date[DATE_OCTETS + 1];

	date_write(date, (int64_t)(file->header.arrival_us / 1000000));
	if (put(bounce,
		    "--=_%s\nContent-Type: text/plain; charset=utf-8\n"
		    "Content-Transfer-Encoding: 8bit\n\n"
		    "This is the mail system at %s.\n\n"
		    "%s of %s could not be delivered to\n"
		    "the recipients below, and no further attempt is made.\n",
		    bounce->submission.id, bounce->runner->settings.me,
		    bounce->is_double ? "A report of non-delivery"
				      : "Your message",
		    date) < 0)
		return -1;
	for (uint32_t i = 0; i < bounce->count; i++) {
		uint32_t number = bounce->failed[i];

		if (put(bounce, "\n<%s>:\n%s\n",
			    file->envelope.recipient[number].address,
			    file->state[number].text) < 0)
			return -1;
	}
	return put(bounce, "\n");
}

static int
put_status(struct bounce *bounce)
{
	const struct message_file *file = &bounce->message->file;
	char date[DATE_OCTETS + 1], status[12];

	date_write(date, (int64_t)(file->header.arrival_us / 1000000));
	if (put(bounce,
		    "--=_%s\nContent-Type: message/delivery-status\n\n"
		    "Reporting-MTA: dns; %s\n",
		    bounce->submission.id, bounce->runner->settings.me) < 0 ||
		(file->envelope.envid[0] != 0 &&
			put(bounce, "Original-Envelope-Id: %s\n",
				file->envelope.envid) < 0) ||
		put(bounce, "Arrival-Date: %s\n", date) < 0)
		return -1;
	for (uint32_t i = 0; i < bounce->count; i++) {
		const struct recipient *recipient =
			&file->envelope.recipient[bounce->failed[i]];
		const char *text = file->state[bounce->failed[i]].text;
		bool is_reply = text[0] >= '2' && text[0] <= '5' &&
				text[1] >= '0' && text[1] <= '9';

		find_status(text, status);
		if (put(bounce, "\n") < 0 ||
			(recipient->orcpt[0] != 0 &&
				put(bounce, "Original-Recipient: %s\n",
					recipient->orcpt) < 0) ||
			put(bounce,
				"Final-Recipient: rfc822; %s\n"
				"Action: failed\nStatus: %s\n"
				"Diagnostic-Code: %s; %s\n",
				recipient->address, status,
				is_reply ? "smtp" : "x-keepmail", text) < 0)
			return -1;
	}
	return put(bounce, "\n");
}

/* The last octet of the header's text in block: after its empty line, or all. */
static size_t
header_length(const char *block, size_t length)
{
	const char *end = memmem(block, length, "\n\n", 2);

	return end == NULL ? length : (size_t)(end - block) + 1;
}

static int
put_original(struct bounce *bounce)
{
	const struct message_file *file = &bounce->message->file;
	uint64_t octets = file->header.content_octets, at = 0;
	bool is_whole =
		octets <= RETURN_WHOLE_MAX && file->envelope.ret != RET_HDRS;
	char block[RETURN_HEADER_MAX];

	if (put(bounce, "--=_%s\nContent-Type: %s\n%s\n", bounce->submission.id,
		    is_whole ? "message/rfc822" : "text/rfc822-headers",
		    file->envelope.body == BODY_8BITMIME
			    ? "Content-Transfer-Encoding: 8bit\n"
			    : "") < 0)
		return -1;
	while (at < octets) {
		size_t want =
			octets - at < sizeof block ? octets - at : sizeof block;
		ssize_t got = pread(bounce->message->fd, block, want,
			(off_t)(MESSAGE_HEADER_OCTETS + at));

		if (got <= 0) {
			if (got < 0 && errno == EINTR)
				continue;
			submit_abandon(&bounce->submission);
			bounce->submission.code = SUBMIT_READ;
			snprintf(bounce->submission.text,
				sizeof bounce->submission.text,
				"the message cannot be read");
			return -1;
		}
		size_t length = is_whole ? (size_t)got
					 : header_length(block, (size_t)got);
		if (submit_content(&bounce->submission, block, length) < 0)
			return -1;
		at += (uint64_t)got;
		if (!is_whole)
			break;
	}
	return put(bounce, "\n--=_%s--\n", bounce->submission.id);
}

/* --- sending and recording --- */

static int
submit(struct bounce *bounce)
{
	const struct envelope *about = &bounce->message->file.envelope;
	struct envelope envelope = ENVELOPE_ZERO;
	char path[HOME_NAME_MAX], none[] = "";
	int result = -1;

	envelope.reverse_path = none;
	envelope.body = about->body;
	envelope.smtputf8 = about->smtputf8;
	envelope.origin.kind = ORIGIN_SUITE;
	home_path(&bounce->runner->home, "socket/submit", path);
	if (envelope_add_recipient(&envelope, bounce->to, 0, "") < 0)
		return -1;
	if (submit_open_traced(&bounce->submission, path, 0,
		    deadline_after_ms(SUBMIT_MS)) == 0 &&
		put_header(bounce) == 0 && put_words(bounce) == 0 &&
		put_status(bounce) == 0 && put_original(bounce) == 0)
		result = submit_finish(&bounce->submission, &envelope);
	if (result < 0)
		log_line("bounce of msg %s: %s", bounce->message->id,
			bounce->submission.text);
	submit_abandon(&bounce->submission);
	free(envelope.recipient[0].address);
	free(envelope.recipient[0].orcpt);
	free(envelope.recipient);
	return result;
}

/* Notes in the message that they have been told, by the bounce of this id. */
static int
record(struct bounce *bounce, const char *id)
{
	struct message *message = bounce->message;
	stralloc records = STRALLOC_ZERO;
	int result = message_pack_notice(&records, NOTICE_BOUNCE,
		runner_now_ms(), id, bounce->failed, bounce->count);

	if (result == 0)
		result = message_append(message->fd, &message->file, &records);
	stralloc_free(&records);
	if (result < 0) {
		log_line("cannot record the bounce of msg %s: %s", message->id,
			strerror(errno));
		return -1;
	}
	for (uint32_t i = 0; i < bounce->count; i++)
		message->file.state[bounce->failed[i]].told = 1;
	return 0;
}

/* One report. Returns 1 if it is made, 0 if none is owed, -1 on failure. */
static int
send_one(struct runner *runner, struct message *message)
{
	struct bounce *bounce = calloc(1, sizeof *bounce);
	int result = -1;

	if (bounce == NULL)
		return -1;
	bounce->runner = runner;
	bounce->message = message;
	SUBMISSION_CLOSED(&bounce->submission);
	int failed = collect(bounce);
	if (failed == 0) {
		result = 0;
	} else if (failed > 0 && !address_it(bounce)) {
		log_line("triple bounce: discarding msg %s", message->id);
		result = record(bounce, "");
	} else if (failed > 0 && submit(bounce) == 0) {
		log_line("%sbounce msg %s qp %s",
			bounce->is_double ? "double " : "", message->id,
			bounce->submission.id);
		/* If this fails or we are killed here, a second bounce will
		 * go out: better than none. */
		result = record(bounce, bounce->submission.id);
	}
	free(bounce->failed);
	free(bounce);
	return result < 0 ? -1 : failed > 0;
}

int
bounce_send(struct runner *runner, struct message *message)
{
	int sent;

	do
		sent = send_one(runner, message);
	while (sent > 0);
	return sent;
}
