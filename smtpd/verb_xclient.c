#include <string.h>
#include "lib/escape.h"
#include "lib/log.h"
#include "smtpd/peer.h"
#include "smtpd/decision.h"
#include "smtpd/judge.h"
#include "smtpd/submission.h"
#include "smtpd/verbs.h"
#include "smtpd/xclient.h"

/*
 * XCLIENT: a listed peer says who the client is. The session begins anew, with
 * the greeting; with HELO it has been greeted already.
 */

/* A client without a text that is known has what stands for that. */
static void
known_as(char into[SESSION_NAME_MAX + 1], const char *text, const char *unknown)
{
	if (strcmp(text, "unknown") == 0 || *text == 0)
		text = unknown;
	escape_line(
		into, SESSION_NAME_MAX + 1, text, strlen(text), ESCAPE_MASK);
}

static struct reply
become(struct session *session, const struct xclient *xclient)
{
	struct peer *peer = &session->peer;
	const struct peer before = *peer;
	char address[SESSION_NAME_MAX + 1], name[SESSION_NAME_MAX + 1];

	known_as(address,
		xclient->has_address ? xclient->address : before.address,
		"unknown");
	/* The name belongs to its address. */
	known_as(name,
		xclient->has_name      ? xclient->name
		: xclient->has_address ? ""
				       : before.name,
		"");
	peer->is_named = true;
	struct reply reply = peer_change(session, address, name);
	transcript_client(session);
	if (reply.code == 220)
		reply = limits_client(session, reply);
	log_line("client=%s by XCLIENT from %s", peer->address, before.address);
	char login[SESSION_NAME_MAX + 1];
	known_as(login, xclient->has_login ? xclient->login : before.login, "");
	submission_login(session, login);
	return reply;
}

static struct reply
greeted(struct session *session, const struct xclient *xclient,
	struct reply greeting)
{
	struct peer *peer = &session->peer;
	struct verdict verdict =
		judge_hello(session, xclient->hello, strlen(xclient->hello));

	if (verdict.reply.code != 250) {
		decision_log(session, &(struct decision){.at = "XCLIENT",
					      .code = verdict.reply.code,
					      .rule = verdict.rule,
					      .why = verdict.why,
					      .hello = xclient->hello});
		return verdict.reply;
	}
	session_name(peer->hello, xclient->hello, strlen(xclient->hello));
	peer->is_extended = xclient->has_protocol && xclient->is_extended;
	session->state = SESSION_GREETED;
	return greeting;
}

struct reply
verb_xclient(struct session *session, const char *argument, size_t len)
{
	struct xclient xclient;
	const char *why;

	if (!session->peer.may_xclient)
		return reply_make(550, "5.7.1", "you may not say who you are");
	if (xclient_scan(&xclient, argument, len, &why) < 0)
		return reply_make(501, "5.5.4", "%s", why);
	struct reply reply = become(session, &xclient);
	if (reply.code == 220 && xclient.has_hello && *xclient.hello != 0)
		return greeted(session, &xclient, reply);
	return reply;
}
