#include "smtpd/decision.h"
#include "smtpd/judge.h"
#include "smtpd/tls.h"
#include "smtpd/verbs.h"

/* HELO and EHLO: who the client says it is. Both end a transaction. */

/* 250, or the refusal: then nobody has said hello. */
static struct reply
greet(struct session *session, const char *argument, size_t len,
	bool is_extended)
{
	session_end_transaction(session);
	session_name(session->peer.hello, argument, len);
	session->peer.is_extended = is_extended;
	session->state = SESSION_GREETED;
	struct verdict verdict = judge_hello(session, argument, len);
	if (verdict.reply.code != 250) {
		session->state = SESSION_CONNECTED;
		decision_log(session, &(struct decision){.at = "HELO",
					      .code = verdict.reply.code,
					      .rule = verdict.rule,
					      .why = verdict.why});
	}
	return verdict.reply;
}

struct reply
verb_helo(struct session *session, const char *argument, size_t len)
{
	return greet(session, argument, len, false);
}

/* RFC 9422. */
static void
add_limits(const struct session *session, struct reply *reply)
{
	long long recipients = (long long)session->settings.recipients_max;
	long long messages = (long long)session->limits.settings.messages_max;

	if (messages > 0)
		reply_add(reply, "LIMITS MAILMAX=%lld RCPTMAX=%lld", messages,
			recipients);
	else
		reply_add(reply, "LIMITS RCPTMAX=%lld", recipients);
}

struct reply
verb_ehlo(struct session *session, const char *argument, size_t len)
{
	struct reply reply = greet(session, argument, len, true);
	char list[AUTH_LIST_MAX];

	if (reply.code != 250)
		return reply;
	reply_add(&reply, "PIPELINING");
	if (session->databytes > 0)
		reply_add(&reply, "SIZE %lld", (long long)session->databytes);
	else
		reply_add(&reply, "SIZE");
	reply_add(&reply, "8BITMIME");
	reply_add(&reply, "SMTPUTF8");
	reply_add(&reply, "CHUNKING");
	add_limits(session, &reply);
	if (tls_is_offered(session))
		reply_add(&reply, "STARTTLS");
	if (session->peer.has_tls)
		reply_add(&reply, "REQUIRETLS");
	reply_add(&reply, "VRFY");
	if (session->policy.may_relay)
		reply_add(&reply, "ETRN");
	reply_add(&reply, "HELP");
	reply_add(&reply, "DSN");
	reply_add(&reply, "ENHANCEDSTATUSCODES");
	session_mechanisms(session, list);
	if (*list != 0)
		reply_add(&reply, "AUTH %s", list);
	if (session->peer.may_xclient)
		reply_add(&reply, "XCLIENT NAME ADDR PORT PROTO HELO LOGIN");
	return reply;
}
