#include <string.h>
#include <time.h>
#include "lib/deadline.h"
#include "smtpd/senders.h"
#include "smtpd/submission.h"
#include "smtpd/verbs.h"

/* To the queue. */
static struct reply
put(struct session *session, const char *octets, size_t len)
{
	struct submission *submission = &session->transaction.submission;

	submission->deadline_ms = deadline_after_ms(SESSION_SUBMIT_MS);
	if (len == 0 || submit_content(submission, octets, len) == 0)
		return (struct reply){0};
	return verbs_submission_failed(
		session, session->transaction.content.at);
}

/* The header is whole: looks at it, and lets it go. */
static struct reply
release_header(struct session *session, const char **rule)
{
	struct header *header = &session->transaction.header;
	const char *why = NULL;
	char additions[HEADER_ADDITIONS_MAX];

	if (submission_has_owner(session)) {
		why = "the header has a line that is none";
		if (header_is_sound(header))
			why = senders_header(&session->settings.senderlogins,
				&session->policy.locals, session->peer.login,
				header->block, header->len);
	}
	if (why != NULL) {
		*rule = "senderlogin";
		return reply_make(554, "5.7.1", "%s", why);
	}
	struct reply reply = put(session, additions,
		header_additions(header, session->transaction.submission.id,
			session->settings.me, time(NULL), additions));
	if (reply.code == 0)
		reply = put(session, header->block, header->len);
	header_end(header);
	header->is_whole = true;
	return reply;
}

struct reply
submission_content(struct session *session, const char *octets, size_t len,
	const char **rule)
{
	struct header *header = &session->transaction.header;
	size_t taken;

	*rule = NULL;
	if (!session->settings.submission || header->is_whole)
		return put(session, octets, len);
	switch (header_take(header, octets, len, &taken)) {
	case HEADER_MORE:
		return (struct reply){0};
	case HEADER_TOO_LONG:
		*rule = "submission";
		return reply_make(554, "5.6.0", "the header is too long");
	case HEADER_NO_MEMORY:
		*rule = "memory";
		return reply_make(451, "4.3.0", "out of memory");
	default:
		break;
	}
	struct reply reply = release_header(session, rule);
	if (reply.code == 0)
		reply = put(session, octets + taken, len - taken);
	return reply;
}

struct reply
submission_end(struct session *session, const char **rule)
{
	*rule = NULL;
	if (!session->settings.submission ||
		session->transaction.header.is_whole)
		return (struct reply){0};
	return release_header(session, rule);
}
