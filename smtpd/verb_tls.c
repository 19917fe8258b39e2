#include "lib/deadline.h"
#include "smtpd/tls.h"
#include "smtpd/verbs.h"

/*
 * STARTTLS (RFC 3207). What the client has sent before the handshake is dropped,
 * unread: somebody on the way may have put it there.
 */

/* So many full buffers at most: who sends more has no handshake in mind. */
#define DROPS_MAX 16

static void
drop_input(struct session *session)
{
	for (int i = 0; i < DROPS_MAX; i++) {
		line_discard(&session->input);
		if (line_fill(&session->input, deadline_now_ms()) != LINE_OK)
			break;
	}
	line_discard(&session->input);
}

/* Why there can be no TLS now. Code 0: there can. */
static struct reply
out_of_order(const struct session *session)
{
	if (session->peer.has_tls)
		return reply_make(503, "5.5.1", "TLS is on already");
	if (session->tls.way == TLS_WAY_NONE)
		return reply_make(502, "5.5.1", "command not implemented");
	if ((session->state & SESSION_OPEN) != 0)
		return reply_make(503, "5.5.1", "not in a transaction");
	if (session->peer.has_authenticated)
		return reply_make(503, "5.5.1", "not after AUTH");
	if (session->peer.is_named)
		return reply_make(503, "5.5.1", "not after XCLIENT");
	return (struct reply){0};
}

struct reply
verb_starttls(struct session *session, const char *argument, size_t len)
{
	struct reply refusal = out_of_order(session);

	(void)argument;
	if (refusal.code != 0)
		return refusal;
	if (len > 0)
		return reply_make(501, "5.5.4", "STARTTLS takes no argument");
	if (tls_prepare(session) < 0)
		return reply_make(
			454, "4.7.0", "TLS is not available now, try later");
	drop_input(session);
	struct reply ready = reply_make(220, "2.0.0", "go ahead");
	if (session_reply(session, &ready) < 0) {
		tls_server_close(&session->tls);
		session->is_lost = true;
	} else {
		tls_start(session);
	}
	/* Lost or not, nothing more is to be said. */
	return (struct reply){0};
}
