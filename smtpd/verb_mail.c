#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "lib/deadline.h"
#include "smtpd/decision.h"
#include "smtpd/judge.h"
#include "smtpd/parameters.h"
#include "smtpd/trace.h"
#include "smtpd/verbs.h"

/*
 * MAIL FROM:<reverse-path> [parameters] opens a transaction. All of it is read
 * and checked first; only then is the queue asked whether it takes a message.
 */

struct mail {
	struct path path;
	char sender[ADDRESS_TEXT_MAX + 1];
	struct parameters parameters;
};

static struct reply
parameters_refused(enum parameters_result result, const struct mail *mail)
{
	int len = (int)(mail->parameters.bad_len > 100
				? 100
				: mail->parameters.bad_len);
	const char *bad = mail->parameters.bad;

	if (result == PARAMETERS_UNKNOWN)
		return reply_make(
			555, "5.5.4", "unknown parameter %.*s", len, bad);
	if (result == PARAMETERS_DUPLICATE)
		return reply_make(
			501, "5.5.4", "%.*s is given twice", len, bad);
	return reply_make(501, "5.5.4", "malformed parameter %.*s", len, bad);
}

/* Reads the argument into *mail. A reply with code 0 means that it is fine. */
static struct reply
read_argument(const struct session *session, const char *argument, size_t len,
	struct mail *mail)
{
	char mechanisms[AUTH_LIST_MAX];
	enum parameters_command command =
		session->peer.has_tls ? PARAMETERS_MAIL_TLS : PARAMETERS_MAIL;
	size_t at = strlen("FROM:");

	if (len < at || strncasecmp(argument, "FROM:", at) != 0)
		return reply_make(501, "5.5.2", "expected MAIL FROM:<address>");
	/* RFC 5321 section 3.3 forbids the space; clients send it. */
	while (at < len && argument[at] == ' ')
		at++;
	size_t taken = address_path_scan(argument + at, len - at,
		ADDRESS_NULL | ADDRESS_UTF8, &mail->path);
	if (taken == 0)
		return reply_make(501, "5.1.7", "malformed sender address");
	at += taken;
	enum parameters_result result = parameters_scan(
		command, argument + at, len - at, &mail->parameters);
	if (result != PARAMETERS_OK)
		return parameters_refused(result, mail);
	session_mechanisms(session, mechanisms);
	if (mail->parameters.has_auth && *mechanisms == 0 &&
		session->peer.login[0] == 0)
		return reply_make(555, "5.5.4", "unknown parameter AUTH");
	address_write(mail->sender, sizeof mail->sender, &mail->path);
	/* Whether it may be so is known only after the parameters. */
	if (!mail->parameters.smtputf8 && verbs_need_utf8(&mail->path))
		return verbs_utf8_refused();
	return (struct reply){0};
}

/* "TLSv1.3 TLS_AES_128_GCM_SHA256", or nothing. NULL without memory. */
static char *
describe_tls(const struct peer *peer)
{
	char text[sizeof peer->tls_protocol + sizeof peer->tls_cipher + 1] = "";

	if (peer->has_tls)
		snprintf(text, sizeof text, "%s %s", peer->tls_protocol,
			peer->tls_cipher);
	return strdup(text);
}

/* The parts of the envelope that are known now. 0, or -1 without memory. */
static int
fill_envelope(struct session *session, const struct mail *mail)
{
	struct envelope *envelope = &session->transaction.envelope;
	const struct peer *peer = &session->peer;
	struct origin *origin = &envelope->origin;

	*envelope = ENVELOPE_ZERO;
	envelope->body = mail->parameters.body;
	envelope->smtputf8 = mail->parameters.smtputf8;
	envelope->requiretls = mail->parameters.requiretls;
	envelope->reverse_path = strdup(mail->sender);
	envelope->ret = mail->parameters.ret;
	envelope->envid = mail->parameters.envid == NULL
				  ? strdup("")
				  : strndup(mail->parameters.envid,
					    mail->parameters.envid_len);
	origin->kind = ORIGIN_NETWORK;
	origin->client_address = strdup(peer->address);
	origin->client_name = strdup(peer->name);
	origin->hello = strdup(peer->hello);
	origin->protocol = strdup(trace_protocol(peer->is_extended,
		mail->parameters.smtputf8, peer->has_tls, peer->login[0] != 0));
	origin->authenticated = strdup(peer->login);
	origin->tls = describe_tls(peer);
	if (envelope->reverse_path != NULL && envelope->envid != NULL &&
		origin->client_address != NULL && origin->client_name != NULL &&
		origin->hello != NULL && origin->protocol != NULL &&
		origin->authenticated != NULL && origin->tls != NULL)
		return 0;
	envelope_free(envelope);
	return -1;
}

struct reply
verb_mail(struct session *session, const char *argument, size_t len)
{
	struct transaction *transaction = &session->transaction;
	char path[HOME_NAME_MAX];
	struct mail mail;
	struct reply refusal = read_argument(session, argument, len, &mail);

	if (refusal.code != 0) {
		decision_log(session, &(struct decision){.at = "MAIL",
					      .code = refusal.code,
					      .rule = "syntax",
					      .why = refusal.text});
		return refusal;
	}
	struct verdict verdict =
		judge_sender(session, &mail.path, mail.parameters.size);
	if (verdict.reply.code != 250) {
		decision_log(session, &(struct decision){.at = "MAIL",
					      .code = verdict.reply.code,
					      .rule = verdict.rule,
					      .why = verdict.why,
					      .from = mail.sender});
		return verdict.reply;
	}
	address_write(mail.sender, sizeof mail.sender, &mail.path);
	refusal = limits_message(session, mail.sender);
	if (refusal.code != 0)
		return refusal;
	if (fill_envelope(session, &mail) < 0)
		return reply_make(451, "4.3.0", "out of memory");
	if (submit_open_traced(&transaction->submission,
		    home_path(&session->home, session->submit_socket, path),
		    mail.parameters.size,
		    deadline_after_ms(SESSION_OPEN_MS)) < 0) {
		refusal = verbs_submission_failed(session, "MAIL");
		session_end_transaction(session);
		return refusal;
	}
	session->state = SESSION_MAIL;
	return verdict.reply;
}
