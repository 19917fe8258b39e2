#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/date.h"
#include "lib/escape.h"
#include "lib/utf8.h"
#include "lib/xtext.h"
#include "queue/report.h"

/* Lines of fields are folded to this length where they have a blank. */
#define FOLD_AT 76

struct writer {
	const struct report *report;
	report_put *put;
	void *context;
};

static int say(const struct writer *writer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int
say(const struct writer *writer, const char *format, ...)
{
	char text[4096];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	return writer->put(writer->context, text, strlen(text));
}

/* A field, folded before words. */
static int
say_field(const struct writer *writer, const char *name, const char *value)
{
	size_t column = strlen(name) + 1;

	if (say(writer, "%s:", name) < 0)
		return -1;
	while (*(value += strspn(value, " ")) != 0) {
		size_t length = strcspn(value, " ");
		bool folds = column + 1 + length > FOLD_AT &&
			     column > strlen(name) + 1;

		if (say(writer, "%s %.*s", folds ? "\n" : "", (int)length,
			    value) < 0)
			return -1;
		column = (folds ? 0 : column) + 1 + length;
		value += length;
	}
	return say(writer, "\n");
}

/* --- its header --- */

static const char *
subject(const struct report *report)
{
	if (report->is_double)
		return "A bounce could not be delivered";
	return report->kind == REPORT_FAILED
		       ? "Your message could not be delivered"
	       : report->kind == REPORT_DELAYED ? "Your message is delayed"
						: "Your message has arrived";
}

static int
say_header(const struct writer *writer)
{
	const struct report *report = writer->report;
	char date[DATE_OCTETS + 1];

	date_write(date, report->now_s);
	return say(writer,
		"Date: %s\n"
		"From: Mail delivery <%s@%s>\n"
		"To: <%s>\n"
		"Message-ID: <%s@%s>\n"
		"Subject: %s\n"
		"Auto-Submitted: auto-replied\n%s"
		"MIME-Version: 1.0\n"
		"Content-Type: multipart/report; "
		"report-type=delivery-status;\n\tboundary=\"%s\"\n%s\n",
		date, report->from_local, report->from_host, report->to,
		report->id, report->me, subject(report),
		report->is_double ? REPORT_DOUBLE_FIELD "\n" : "",
		report->boundary,
		report->is_8bit ? "Content-Transfer-Encoding: 8bit\n" : "");
}

/* --- the words for people --- */

/* The administrator's lines. A gap in the file's line numbers is an empty line;
 * a line never looks like the start of another paragraph's. */
static int
say_bouncetext(const struct writer *writer)
{
	const struct setting_list *more = writer->report->bouncetext;
	char masked[900];

	for (size_t i = 0; more != NULL && i < more->count; i++) {
		const char *line = more->line[i];

		if (i > 0 && more->number[i] > more->number[i - 1] + 1 &&
			say(writer, "\n") < 0)
			return -1;
		if (strlen(line) >= sizeof masked ||
			!report_line_is_utf8(line)) {
			escape_line(masked, sizeof masked, line, strlen(line),
				ESCAPE_MASK);
			line = masked;
		}
		if (say(writer, "%s%s\n",
			    *line == '<' || *line == '-' ? " " : "", line) < 0)
			return -1;
	}
	return more != NULL && more->count > 0 ? say(writer, "\n") : 0;
}

static int
say_what_happened(const struct writer *writer)
{
	const struct report *report = writer->report;
	const char *what =
		report->is_double ? "A report of non-delivery" : "Your message";
	char date[DATE_OCTETS + 1], until[DATE_OCTETS + 1];

	date_write(date, report->arrival_s);
	date_write(until, report->retry_until_s);
	switch (report->kind) {
	case REPORT_FAILED:
		return say(writer,
			"%s of %s\ncould not be delivered to the recipients "
			"below, and no further\nattempt is made.\n",
			what, date);
	case REPORT_DELAYED:
		return say(writer,
			"%s of %s\ncould not be delivered yet to the "
			"recipients below. It is tried again\nuntil %s; there "
			"is no need to send it again.\n",
			what, date, until);
	case REPORT_ARRIVED:
		break;
	}
	return say(writer,
		"%s of %s\nhas arrived for the recipients below, as far as is "
		"said there.\n",
		what, date);
}

static const char *
arrival_words(enum outcome outcome)
{
	return outcome == OUTCOME_DELIVERED ? "It lies in the mailbox."
	       : outcome == OUTCOME_RELAYED
		       ? "It was handed to a server that sends no reports, so "
			 "nothing more can be said."
		       : "It was forwarded, or given to a program.";
}

static int
say_words(const struct writer *writer)
{
	const struct report *report = writer->report;
	char text[OUTCOME_TEXT_MAX + 1];

	if (say(writer,
		    "--%s\nContent-Type: text/plain; charset=%s\n%s\n"
		    "This is the mail system at %s.\n\n",
		    report->boundary, report->words_8bit ? "utf-8" : "us-ascii",
		    report->words_8bit ? "Content-Transfer-Encoding: 8bit\n"
				       : "",
		    report->me) < 0 ||
		say_bouncetext(writer) < 0 || say_what_happened(writer) < 0)
		return -1;
	for (size_t i = 0; i < report->recipients; i++) {
		const struct report_recipient *recipient =
			&report->recipient[i];

		escape_line(text, sizeof text, recipient->text,
			strlen(recipient->text), ESCAPE_MASK);
		if (say(writer, "\n<%s>:\n%s\n", recipient->address,
			    report->kind == REPORT_ARRIVED
				    ? arrival_words(recipient->outcome)
				    : text) < 0)
			return -1;
	}
	return say(writer, "\n--- The %s follows after the details.\n\n",
		report->returns_whole ? "message itself"
				      : "header of the message");
}

/* --- the delivery status for programs --- */

static int
say_message_fields(const struct writer *writer)
{
	const struct report *report = writer->report;
	char date[DATE_OCTETS + 1], envid[ENVELOPE_ENVID_MAX + 1];

	date_write(date, report->arrival_s);
	if (say(writer,
		    "--%s\nContent-Type: message/%sdelivery-status\n%s\n"
		    "Reporting-MTA: dns; %s\n",
		    report->boundary, report->status_8bit ? "global-" : "",
		    report->status_8bit ? "Content-Transfer-Encoding: 8bit\n"
					: "",
		    report->me) < 0)
		return -1;
	if (xtext_decode(envid, sizeof envid, report->envid,
		    strlen(report->envid)) > 0 &&
		say(writer, "Original-Envelope-Id: %s\n", envid) < 0)
		return -1;
	return say(writer, "Arrival-Date: %s\nX-Queue-Id: %s\n", date,
		report->about);
}

static int
say_addresses(
	const struct writer *writer, const struct report_recipient *recipient)
{
	char original[ENVELOPE_ORCPT_MAX + 1];
	size_t length = strlen(recipient->orcpt);
	size_t type = xtext_orcpt_type(recipient->orcpt, length);

	if (type > 0 &&
		xtext_decode(original, sizeof original,
			recipient->orcpt + type + 1, length - type - 1) > 0 &&
		say(writer, "Original-Recipient: %.*s; %s\n", (int)type,
			recipient->orcpt, original) < 0)
		return -1;
	return say(writer, "Final-Recipient: %s; %s\n",
		report_has_8bit(recipient->address) ? "utf-8" : "rfc822",
		recipient->address);
}

static const char *
action(const struct report *report, const struct report_recipient *recipient)
{
	if (report->kind != REPORT_ARRIVED)
		return report->kind == REPORT_FAILED ? "failed" : "delayed";
	return recipient->outcome == OUTCOME_DELIVERED ? "delivered"
	       : recipient->outcome == OUTCOME_RELAYED ? "relayed"
						       : "expanded";
}

/* Who said what. */
static int
say_diagnostic(const struct writer *writer,
	const struct report_recipient *recipient,
	const struct report_verdict *verdict)
{
	char value[sizeof verdict->words + 32];

	if ((verdict->host[0] != 0 &&
		    say(writer, "Remote-MTA: dns; %s\n", verdict->host) < 0) ||
		(verdict->host[0] == 0 && verdict->address[0] != 0 &&
			say(writer, "Remote-MTA: dns; [%s]\n",
				verdict->address) < 0))
		return -1;
	if (recipient->text[0] == 0 ||
		(writer->report->kind == REPORT_ARRIVED && !verdict->is_smtp))
		return 0;
	snprintf(value, sizeof value, "%s; %s",
		verdict->is_smtp ? "smtp" : "x-keepmail", verdict->words);
	return say_field(writer, "Diagnostic-Code", value);
}

static int
say_recipient(
	const struct writer *writer, const struct report_recipient *recipient)
{
	const struct report *report = writer->report;
	struct report_verdict verdict;
	char date[DATE_OCTETS + 1];

	report_judge(recipient->text,
		report->kind == REPORT_FAILED	 ? '5'
		: report->kind == REPORT_DELAYED ? '4'
						 : '2',
		&verdict);
	if (say(writer, "\n") < 0 || say_addresses(writer, recipient) < 0 ||
		say(writer, "Action: %s\nStatus: %s\n",
			action(report, recipient), verdict.status) < 0 ||
		say_diagnostic(writer, recipient, &verdict) < 0)
		return -1;
	date_write(date, (int64_t)(recipient->attempt_ms / 1000));
	if (recipient->attempt_ms != 0 &&
		say(writer, "Last-Attempt-Date: %s\n", date) < 0)
		return -1;
	date_write(date, report->retry_until_s);
	return report->kind == REPORT_DELAYED
		       ? say(writer, "Will-Retry-Until: %s\n", date)
		       : 0;
}

/* --- what it is about --- */

static const char *
returned_type(const struct report *report)
{
	bool is_global = report->smtputf8 && report->returns_8bit;

	if (report->returns_whole)
		return is_global ? "message/global" : "message/rfc822";
	return is_global ? "message/global-headers" : "text/rfc822-headers";
}

static int
say_original(const struct writer *writer)
{
	const struct report *report = writer->report;
	char *block = malloc(REPORT_BLOCK_OCTETS);
	int result = -1;

	if (block == NULL)
		return -1;
	if (say(writer, "\n--%s\nContent-Type: %s\n%s\n", report->boundary,
		    returned_type(report),
		    report->returns_8bit ? "Content-Transfer-Encoding: 8bit\n"
					 : "") < 0)
		goto done;
	for (uint64_t at = 0; at < report->return_octets;) {
		ssize_t got =
			report_read(report, at, report->return_octets, block);

		if (got < 0 ||
			writer->put(writer->context, block, (size_t)got) < 0)
			goto done;
		at += (uint64_t)got;
	}
	result = say(writer, "\n--%s--\n", report->boundary);
done:;
	int saved = errno;
	free(block);
	errno = saved;
	return result;
}

int
report_write(const struct report *report, report_put *put, void *context)
{
	const struct writer writer = {report, put, context};

	if (say_header(&writer) < 0 || say_words(&writer) < 0 ||
		say_message_fields(&writer) < 0)
		return -1;
	for (size_t i = 0; i < report->recipients; i++)
		if (say_recipient(&writer, &report->recipient[i]) < 0)
			return -1;
	return say_original(&writer);
}
