#include <string.h>
#include <unistd.h>
#include "lib/log.h"
#include "smtpd/decision.h"
#include "smtpd/tls.h"
#include "smtpd/tlsclients.h"

bool
tls_is_offered(const struct session *session)
{
	const struct peer *peer = &session->peer;

	return session->tls.way != TLS_WAY_NONE && !peer->has_tls &&
	       !peer->has_authenticated && !peer->is_named;
}

int
tls_prepare(struct session *session)
{
	enum tls_service service =
		session->settings.submission ? TLS_SUBMISSION : TLS_SMTP;
	char why[400];

	if (tls_server_ask(&session->tls, service, session->peer.address, why,
		    sizeof why) == 0)
		return 0;
	log_line("client=%s has no TLS: %s", session->peer.address, why);
	return -1;
}

/* One line a session. Its last field alone may have blanks. */
static void
log_facts(const struct session *session, const struct tls_facts *facts,
	size_t line)
{
	static const char *const VERIFIED[] = {"no", "chain", "name"};
	char name[200];

	log_line("client=%s tls=%s cipher=%s resumed=%d servername=%s "
		 "certificate=%s verified=%s relay=%zu identity=%s",
		session->peer.address, session->peer.tls_protocol,
		session->peer.tls_cipher, (int)facts->is_resumed,
		decision_word(name, sizeof name, facts->name),
		facts->fingerprint[0] != 0 ? facts->fingerprint : "-",
		VERIFIED[facts->verified], line,
		facts->channel.identity[0] != 0 ? facts->channel.identity
						: "-");
}

/* One word of what was negotiated. */
static void
take_word(char *into, size_t size, const char *text)
{
	decision_word(into, size, *text != 0 ? text : "unknown");
}

static void
take_facts(struct session *session, const struct tls_facts *facts)
{
	struct peer *peer = &session->peer;

	peer->has_tls = true;
	peer->channel = facts->channel;
	take_word(
		peer->tls_protocol, sizeof peer->tls_protocol, facts->protocol);
	take_word(peer->tls_cipher, sizeof peer->tls_cipher, facts->cipher);
	size_t line = tlsclients_find(&session->settings.tls_clients,
		facts->fingerprint, facts->channel.identity);
	if (line != 0)
		session->policy.may_relay = true;
	log_facts(session, facts, line);
}

/* Nothing that was said in clear holds any more. */
static void
begin_anew(struct session *session)
{
	session_end_transaction(session);
	session->state = SESSION_CONNECTED;
	session->peer.hello[0] = 0;
	session->peer.is_extended = false;
	session->transcript.is_secret = false;
	explicit_bzero(&session->input, sizeof session->input);
	line_start(&session->input, STDIN_FILENO);
	output_start(&session->output, STDOUT_FILENO);
}

int
tls_start(struct session *session)
{
	struct tls_facts facts;
	char why[400];

	if (tls_server_run(&session->tls, &facts, why, sizeof why) < 0) {
		log_line(
			"client=%s TLS failed: %s", session->peer.address, why);
		session->is_lost = true;
		return -1;
	}
	begin_anew(session);
	take_facts(session, &facts);
	return 0;
}

int
tls_start_first(struct session *session)
{
	if (tls_prepare(session) == 0)
		return tls_start(session);
	session->is_lost = true;
	return -1;
}
