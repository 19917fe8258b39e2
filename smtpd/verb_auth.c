#include <string.h>
#include <unistd.h>
#include "lib/log.h"
#include "lib/sasl_front.h"
#include "smtpd/stop.h"
#include "smtpd/submission.h"
#include "smtpd/verbs.h"

/*
 * AUTH (RFC 4954): a client says who it is, by a mechanism of SASL that authd
 * carries out. Who has logged in is session->peer.login from then on, and may
 * relay.
 */

/* Longer than authd takes for its slowest answer. */
#define AUTH_WAIT_MS (65 * 1000)
/* So many failed logins end the session. */
#define FAILURES_MAX 5

static int
send_challenge(void *context, const char *text, size_t len)
{
	struct session *session = context;
	struct output *output = &session->output;
	int64_t deadline_ms = session_deadline_ms(session);

	return output_put(output, "334 ", 4, deadline_ms) < 0 ||
			       output_put(output, text, len, deadline_ms) < 0 ||
			       output_put(output, "\r\n", 2, deadline_ms) < 0 ||
			       output_flush(output, deadline_ms) < 0
		       ? -1
		       : 0;
}

static bool
must_stop(void *context, int64_t deadline_ms)
{
	return stop_wait_line(context, deadline_ms);
}

static struct reply
refuse(struct session *session, struct reply reply)
{
	if (++session->auth_failures < FAILURES_MAX)
		return reply;
	reply = reply_make(421, "4.7.0", "too many failed logins");
	reply.close_after = 1;
	return reply;
}

static struct reply
answer(struct session *session, const struct sasl_front *front,
	enum sasl_front_result result)
{
	struct reply reply;

	switch (result) {
	case SASL_FRONT_YES:
		submission_login(session, front->account);
		session->peer.has_authenticated = true;
		session->policy.may_relay = true;
		return reply_make(235, "2.7.0", "welcome");
	case SASL_FRONT_NO:
		return refuse(session,
			reply_make(535, "5.7.8", "wrong name or password"));
	case SASL_FRONT_TEMPORARY:
		if (front->error != 0)
			log_line("%s: %s", front->socket_path,
				strerror(front->error));
		return refuse(
			session, reply_make(454, "4.7.0",
					 "cannot log you in now, try later"));
	case SASL_FRONT_CANCELLED:
		return reply_make(501, "5.7.0", "cancelled");
	case SASL_FRONT_MALFORMED:
		return reply_make(501, "5.5.2", "malformed answer");
	case SASL_FRONT_TOO_LONG:
		return reply_make(500, "5.5.6", "line too long");
	case SASL_FRONT_STOPPED:
		return stop_reply();
	case SASL_FRONT_TIMEOUT:
		reply = reply_make(421, "4.4.2", "timeout");
		reply.close_after = 1;
		return reply;
	case SASL_FRONT_LOST:
		break;
	}
	session->is_lost = true;
	return (struct reply){.code = 421, .close_after = 1};
}

static struct reply
run(struct session *session, enum auth_mechanism mechanism, const char *initial,
	size_t initial_len)
{
	struct auth_begin begin = {.service = AUTH_SERVICE_SMTP,
		.mechanism = mechanism,
		.channel = session->peer.channel};
	char path[HOME_NAME_MAX];
	struct sasl_front front = {
		.socket_path = home_path(&session->home, "socket/auth", path),
		.input = &session->input,
		.challenge = send_challenge,
		.must_stop = must_stop,
		.context = session,
		.line_wait_ms = session->settings.timeout_s * 1000,
		.auth_wait_ms = AUTH_WAIT_MS,
		.fd = -1};

	/* An address that does not fit is none. */
	if (strlen(session->peer.address) < sizeof begin.client)
		memcpy(begin.client, session->peer.address,
			strlen(session->peer.address) + 1);
	enum sasl_front_result result =
		sasl_front_run(&front, &begin, initial, initial_len);
	struct reply reply = answer(session, &front, result);
	if (front.fd >= 0)
		close(front.fd);
	return reply;
}

static struct reply
needs_tls(const struct session *session)
{
	if (session->tls.way == TLS_WAY_NONE)
		log_line("client=%s cannot log in: there is no TLS, for which "
			 "tlsd needs a certificate, and control/authclear "
			 "is not 1",
			session->peer.address);
	return reply_make(
		538, "5.7.11", "logging in needs an encrypted connection");
}

/* Why there can be no login now. Code 0: there can. */
static struct reply
out_of_order(const struct session *session)
{
	char list[AUTH_LIST_MAX];

	if (session->peer.login[0] != 0)
		return reply_make(503, "5.5.1", "you are logged in already");
	session_mechanisms(session, list);
	if (*list == 0 && session->mechanisms != 0)
		return needs_tls(session);
	if (*list == 0)
		return reply_make(502, "5.5.1", "command not implemented");
	if (session->state == SESSION_CONNECTED || !session->peer.is_extended)
		return reply_make(503, "5.5.1", "say EHLO first");
	if (session->state != SESSION_GREETED)
		return reply_make(503, "5.5.1", "not in a transaction");
	return (struct reply){0};
}

struct reply
verb_auth(struct session *session, const char *argument, size_t len)
{
	const char *space = memchr(argument, ' ', len);
	size_t word = space != NULL ? (size_t)(space - argument) : len;
	struct reply refusal = out_of_order(session);

	if (refusal.code != 0)
		return refusal;
	if (len == 0)
		return reply_make(501, "5.5.4", "AUTH needs a mechanism");
	enum auth_mechanism mechanism = auth_mechanism_find(argument, word);
	if (mechanism == 0 || !session_offers(session, mechanism))
		return reply_make(504, "5.5.4", "not a mechanism of this host");
	if (space == NULL)
		return run(session, mechanism, NULL, 0);
	/* Clients send more than one space. */
	while (word < len && argument[word] == ' ')
		word++;
	return run(session, mechanism, argument + word, len - word);
}
