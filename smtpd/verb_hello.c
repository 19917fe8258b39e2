#include "smtpd/verbs.h"

/* HELO and EHLO: who the client says it is. Both end a transaction. */

static void
greet(struct session *session, const char *argument, size_t len,
	bool is_extended)
{
	session_end_transaction(session);
	session_name(session->peer.hello, argument, len);
	session->peer.is_extended = is_extended;
	session->state = SESSION_GREETED;
}

struct reply
verb_helo(struct session *session, const char *argument, size_t len)
{
	greet(session, argument, len, false);
	return reply_make(250, "", "%s", session->settings.me);
}

struct reply
verb_ehlo(struct session *session, const char *argument, size_t len)
{
	struct reply reply;

	greet(session, argument, len, true);
	reply = reply_make(250, "", "%s", session->settings.me);
	reply_add(&reply, "PIPELINING");
	if (session->settings.databytes > 0)
		reply_add(&reply, "SIZE %lld",
			(long long)session->settings.databytes);
	else
		reply_add(&reply, "SIZE");
	reply_add(&reply, "8BITMIME");
	reply_add(&reply, "DSN");
	reply_add(&reply, "ENHANCEDSTATUSCODES");
	return reply;
}
