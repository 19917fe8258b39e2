#include "smtpd/decision.h"
#include "smtpd/verbs.h"

/* The commands that need only a few words. */

struct reply
verb_rset(struct session *session, const char *argument, size_t len)
{
	(void)argument;
	(void)len;
	session_end_transaction(session);
	return reply_make(250, "2.0.0", "Ok");
}

struct reply
verb_noop(struct session *session, const char *argument, size_t len)
{
	(void)session;
	(void)argument;
	(void)len;
	return reply_make(250, "2.0.0", "Ok");
}

struct reply
verb_quit(struct session *session, const char *argument, size_t len)
{
	struct reply reply;

	(void)argument;
	(void)len;
	session_end_transaction(session);
	reply = reply_make(221, "2.0.0", "%s", session->settings.me);
	reply.close_after = 1;
	return reply;
}

/* Nobody learns here who exists; RCPT tells those who bring mail. */
struct reply
verb_vrfy(struct session *session, const char *argument, size_t len)
{
	(void)session;
	(void)argument;
	(void)len;
	return reply_make(252, "2.5.0", "send some mail, I will try my best");
}

struct reply
verb_help(struct session *session, const char *argument, size_t len)
{
	struct reply reply;

	(void)session;
	(void)argument;
	(void)len;
	reply = reply_make(214, "2.0.0", "this is keepmail; RFC 5321 applies");
	reply_add(&reply,
		"EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP");
	return reply;
}

struct reply
verb_unimplemented(struct session *session, const char *argument, size_t len)
{
	(void)session;
	(void)argument;
	(void)len;
	return reply_make(502, "5.5.1", "command not implemented");
}

struct reply
verb_foreign(struct session *session, const char *argument, size_t len)
{
	struct reply reply;

	(void)argument;
	(void)len;
	reply = reply_make(421, "4.7.0", "this is a mail server");
	decision_log(session, &(struct decision){.at = "SESSION",
				      .code = reply.code,
				      .rule = "foreign",
				      .why = "the client speaks HTTP"});
	reply.close_after = 1;
	return reply;
}
