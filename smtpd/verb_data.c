#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include "lib/deadline.h"
#include "lib/dots.h"
#include "smtpd/decision.h"
#include "smtpd/hops.h"
#include "smtpd/trace.h"
#include "smtpd/verbs.h"

/*
 * DATA: content goes from the connection to the queue block by block, decoded
 * once. Whatever is wrong with it, it is read to its real end, CRLF.CRLF and
 * nothing else, so that what follows is a command for both sides; only then is
 * it answered.
 */

struct content {
	struct session *session;
	struct dots_decoder decoder;
	struct dots_counter counter; /* wire octets, for databytes */
	struct hops hops;
	int64_t start_ms;
	uint64_t octets;	  /* as stored */
	const char *rule_of_time; /* where the last deadline came from */
	struct reply failure;	  /* code 0: none so far */
	const char *rule;	  /* of the failure; NULL: it is in the log */
};

static int
submit(struct session *session, const char *octets, size_t len)
{
	struct submission *submission = &session->transaction.submission;

	submission->deadline_ms = deadline_after_ms(SESSION_SUBMIT_MS);
	return submit_content(submission, octets, len);
}

static int
submit_trace(struct session *session)
{
	const struct envelope *envelope = &session->transaction.envelope;
	char field[TRACE_MAX];
	const struct trace trace = {
		.hello = session->peer.hello,
		.name = session->peer.name,
		.address = session->peer.address,
		.me = session->settings.me,
		.protocol = envelope->origin.protocol,
		.id = session->transaction.submission.id,
		.recipient = envelope->recipients == 1
				     ? envelope->recipient[0].address
				     : NULL,
		.time_s = time(NULL),
	};

	return submit(session, field, trace_write(field, sizeof field, &trace));
}

/* Takes nothing more to the queue; the content is still read to its end. */
static void
fail(struct content *content, const char *rule, struct reply reply)
{
	content->failure = reply;
	content->rule = rule;
	submit_abandon(&content->session->transaction.submission);
}

/* Looks at what the last block has shown. */
static void
check(struct content *content, const char *octets, size_t len)
{
	uint64_t limit = (uint64_t)content->session->databytes;

	if (content->decoder.seen != 0) {
		fail(content, "line ends",
			reply_make(554, "5.6.0",
				"bare CR or LF (or NUL) is not allowed"));
		return;
	}
	if (limit > 0) {
		dots_count(&content->counter, octets, len);
		if (content->counter.wire_octets > limit) {
			fail(content, "databytes",
				reply_make(552, "5.3.4",
					"the message is too big, at most "
					"%" PRIu64 " octets are taken",
					limit));
			return;
		}
	}
	hops_scan(&content->hops, octets, len);
	if (content->hops.received >
		(uint64_t)content->session->limits.settings.hops_max)
		fail(content, "hopsmax",
			reply_make(554, "5.4.6",
				"too many Received fields: the message goes in "
				"circles"));
}

static void
take(struct content *content, const char *octets, size_t len)
{
	content->octets += len;
	if (content->failure.code != 0)
		return;
	check(content, octets, len);
	if (content->failure.code != 0 || len == 0)
		return;
	if (submit(content->session, octets, len) < 0)
		fail(content, NULL,
			verbs_submission_failed(content->session, "DATA"));
}

/* Reads to the end of the content. LINE_OK, or as line_fill. */
static enum line_result
read_content(struct content *content)
{
	struct session *session = content->session;
	struct line_reader *input = &session->input;
	char decoded[LINE_BUFFER_OCTETS + 1];
	size_t len, consumed, produced;

	for (;;) {
		const char *octets = line_buffered(input, &len);
		enum dots_result result = dots_decode(&content->decoder, octets,
			len, &consumed, decoded, sizeof decoded, &produced);

		line_consume(input, consumed);
		take(content, decoded, produced);
		if (result == DOTS_END)
			return LINE_OK;
		if (!line_is_empty(input))
			continue;
		enum line_result filled = line_fill(input,
			limits_content_deadline(session, content->start_ms,
				content->octets, &content->rule_of_time));
		if (filled != LINE_OK)
			return filled;
	}
}

/* The connection broke, or nothing came: nothing was promised. */
static struct reply
lost(struct content *content, enum line_result result)
{
	struct session *session = content->session;
	struct reply reply;

	transcript_content(session, content->octets);
	decision_log(session,
		&(struct decision){.at = "DATA",
			.rule = result == LINE_TIMEOUT ? content->rule_of_time
						       : NULL,
			.why = result == LINE_TIMEOUT ? "timeout"
			       : result == LINE_ERROR ? strerror(errno)
						      : "the client has closed",
			.octets = content->octets});
	session_end_transaction(session);
	session->is_lost = result != LINE_TIMEOUT;
	reply = reply_make(421, "4.4.2", "timeout");
	reply.close_after = 1;
	return reply;
}

static void
log_decision(const struct content *content, int code, const char *rule,
	const char *why)
{
	decision_log(content->session, &(struct decision){.at = "DATA",
					       .code = code,
					       .rule = rule,
					       .why = why,
					       .octets = content->octets});
}

/* The content has ended: accept it, or say what was wrong. */
static struct reply
finish(struct content *content)
{
	struct session *session = content->session;
	struct transaction *transaction = &session->transaction;
	struct submission *submission = &transaction->submission;

	transcript_content(session, content->octets);
	if (content->failure.code != 0) {
		if (content->rule != NULL)
			log_decision(content, content->failure.code,
				content->rule, content->failure.text);
		return content->failure;
	}
	submission->deadline_ms = deadline_after_ms(SESSION_SUBMIT_MS);
	if (submit_finish(submission, &transaction->envelope) < 0)
		return verbs_submission_failed(session, "DATA");
	log_decision(content, 250, NULL, NULL);
	return reply_make(250, "2.0.0", "Ok: queued as %s", submission->id);
}

struct reply
verb_data(struct session *session, const char *argument, size_t len)
{
	const struct reply go =
		reply_make(354, "", "go ahead, end with a dot alone on a line");
	struct content content = {
		.session = session, .start_ms = deadline_now_ms()};
	struct reply reply;

	(void)argument;
	(void)len;
	if (submit_trace(session) < 0) {
		reply = verbs_submission_failed(session, "DATA");
		session_end_transaction(session);
		return reply;
	}
	if (session_reply(session, &go) < 0 ||
		output_flush(&session->output, session_deadline_ms(session)) <
			0)
		return lost(&content, LINE_ERROR);
	dots_decode_start(&content.decoder, DOTS_DATA);
	dots_count_start(&content.counter, DOTS_SMTP);
	hops_start(&content.hops);
	enum line_result result = read_content(&content);
	if (result != LINE_OK)
		return lost(&content, result);
	reply = finish(&content);
	session_end_transaction(session);
	return reply;
}
