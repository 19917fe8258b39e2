#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include "lib/deadline.h"
#include "smtpd/decision.h"
#include "smtpd/session.h"
#include "smtpd/submission.h"
#include "smtpd/trace.h"
#include "smtpd/verbs.h"

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
		.is_hidden = session->settings.submission &&
			     session->settings.hide_client,
		.id = session->transaction.submission.id,
		.recipient = envelope->recipients == 1
				     ? envelope->recipient[0].address
				     : NULL,
		.time_s = time(NULL),
		.cipher = session->peer.has_tls ? session->peer.tls_cipher : "",
		.login = session->settings.received_login ? session->peer.login
							  : "",
	};

	return submit(session, field, trace_write(field, sizeof field, &trace));
}

struct reply
content_begin(struct session *session, enum dots_mode mode, const char *at)
{
	struct content *content = &session->transaction.content;
	struct reply refusal;

	*content = (struct content){.at = at, .start_ms = deadline_now_ms()};
	dots_decode_start(&content->decoder, mode);
	dots_count_start(&content->counter, DOTS_SMTP);
	hops_start(&content->hops);
	refusal = submission_begin(session);
	if (refusal.code == 0 && submit_trace(session) < 0)
		refusal = verbs_submission_failed(session, at);
	if (refusal.code != 0)
		session_end_transaction(session);
	return refusal;
}

void
content_fail(struct session *session, const char *rule, struct reply reply)
{
	struct content *content = &session->transaction.content;

	content->failure = reply;
	content->rule = rule;
	submit_abandon(&session->transaction.submission);
}

/* Looks at what the last block has shown. */
static void
check(struct session *session, const char *octets, size_t len)
{
	struct content *content = &session->transaction.content;
	uint64_t limit = (uint64_t)session->databytes;

	if (content->decoder.seen != 0) {
		content_fail(session, "line ends",
			reply_make(554, "5.6.0",
				"bare CR or LF (or NUL) is not allowed"));
		return;
	}
	if (limit > 0) {
		dots_count(&content->counter, octets, len);
		if (content->counter.wire_octets > limit) {
			content_fail(session, "databytes",
				reply_make(552, "5.3.4",
					"the message is too big, at most "
					"%" PRIu64 " octets are taken",
					limit));
			return;
		}
	}
	hops_scan(&content->hops, octets, len);
	if (content->hops.received >
		(uint64_t)session->limits.settings.hops_max)
		content_fail(session, "hopsmax",
			reply_make(554, "5.4.6",
				"too many Received fields: the message goes in "
				"circles"));
}

/* Octets in stored form. */
static void
store(struct session *session, const char *octets, size_t len)
{
	struct content *content = &session->transaction.content;

	content->octets += len;
	if (content->failure.code != 0)
		return;
	check(session, octets, len);
	if (content->failure.code != 0 || len == 0)
		return;
	const char *rule;
	struct reply refusal = submission_content(session, octets, len, &rule);
	if (refusal.code != 0)
		content_fail(session, rule, refusal);
}

bool
content_take(struct session *session, const char *octets, size_t len,
	size_t *consumed)
{
	struct content *content = &session->transaction.content;
	char decoded[LINE_BUFFER_OCTETS + 1];
	enum dots_result result = DOTS_MORE;
	size_t taken, produced;

	*consumed = 0;
	while (*consumed < len && result != DOTS_END) {
		result = dots_decode(&content->decoder, octets + *consumed,
			len - *consumed, &taken, decoded, sizeof decoded,
			&produced);
		*consumed += taken;
		store(session, decoded, produced);
	}
	return result == DOTS_END;
}

int64_t
content_deadline_ms(struct session *session)
{
	struct content *content = &session->transaction.content;

	return limits_content_deadline(session, content->start_ms,
		content->octets, &content->rule_of_time);
}

static void
log_decision(const struct session *session, int code, const char *rule,
	const char *why)
{
	const struct content *content = &session->transaction.content;

	decision_log(session, &(struct decision){.at = content->at,
				      .code = code,
				      .rule = rule,
				      .why = why,
				      .octets = content->octets});
}

struct reply
content_refuse(struct session *session)
{
	const struct content *content = &session->transaction.content;
	struct reply reply = content->failure;

	transcript_content(session, content->octets);
	if (content->rule != NULL)
		log_decision(session, reply.code, content->rule, reply.text);
	session_end_transaction(session);
	return reply;
}

struct reply
content_finish(struct session *session)
{
	struct transaction *transaction = &session->transaction;
	struct submission *submission = &transaction->submission;
	struct reply reply;
	char rest[1];

	if (transaction->content.decoder.mode == DOTS_CHUNK)
		store(session, rest,
			dots_decode_finish(
				&transaction->content.decoder, rest));
	if (transaction->content.failure.code == 0) {
		const char *rule;
		struct reply refusal = submission_end(session, &rule);

		if (refusal.code != 0)
			content_fail(session, rule, refusal);
	}
	if (transaction->content.failure.code != 0)
		return content_refuse(session);
	transcript_content(session, transaction->content.octets);
	submission->deadline_ms = deadline_after_ms(SESSION_SUBMIT_MS);
	if (submit_finish(submission, &transaction->envelope) < 0) {
		reply = verbs_submission_failed(
			session, transaction->content.at);
	} else {
		log_decision(session, 250, NULL, NULL);
		reply = reply_make(
			250, "2.0.0", "Ok: queued as %s", submission->id);
	}
	session_end_transaction(session);
	return reply;
}

struct reply
content_lost(struct session *session, enum line_result result)
{
	struct reply reply = reply_make(421, "4.4.2", "timeout");

	transcript_content(session, session->transaction.content.octets);
	log_decision(session, 0,
		result == LINE_TIMEOUT
			? session->transaction.content.rule_of_time
			: NULL,
		result == LINE_TIMEOUT ? "timeout"
		: result == LINE_ERROR ? strerror(errno)
				       : "the client has closed");
	session_end_transaction(session);
	session->is_lost = result != LINE_TIMEOUT;
	reply.close_after = 1;
	return reply;
}
