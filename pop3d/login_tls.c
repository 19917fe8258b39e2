#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/escape.h"
#include "lib/log.h"
#include "pop3d/login.h"

/*
 * TLS with the client: STLS (RFC 2595 section 4), or before the greeting where
 * KEEPMAIL_TLS is "first" (RFC 8314 section 3.3).
 */

/* So many full buffers at most: who sends more has no handshake in mind. */
#define DROPS_MAX 16

static int
prepare(struct login *login)
{
	char why[400];

	if (tls_server_ask(
		    &login->tls, TLS_POP3, login->client, why, sizeof why) == 0)
		return 0;
	log_line("client=%s has no TLS: %s", login->client, why);
	return -1;
}

/* One line a session. Its last field alone may have blanks. */
static void
log_facts(struct login *login, const struct tls_facts *facts)
{
	char text[TLS_DESCRIPTION_MAX], name[TLS_NAME_MAX];

	tls_describe(facts, text);
	memcpy(name, facts->name, sizeof name);
	for (char *at = name; *at != 0; at++)
		if (*at == ' ')
			*at = '?';
	char *cipher = strchr(text, ' ');
	*cipher++ = 0;
	/* For the session's line. */
	snprintf(login->handover.tls, sizeof login->handover.tls, "%.15s/%.60s",
		text, cipher);
	log_line("client=%s tls=%s cipher=%s resumed=%d servername=%s "
		 "certificate=%s identity=%s",
		login->client, text, cipher, (int)facts->is_resumed,
		name[0] != 0 ? name : "-",
		facts->fingerprint[0] != 0 ? facts->fingerprint : "-",
		facts->channel.identity[0] != 0 ? facts->channel.identity
						: "-");
}

/* After it the session is as at its beginning. */
static int
start(struct login *login)
{
	struct tls_facts facts;
	char why[400];

	if (tls_server_run(&login->tls, &facts, why, sizeof why) < 0) {
		log_line("client=%s TLS failed: %s", login->client, why);
		return -1;
	}
	log_facts(login, &facts);
	login->has_tls = true;
	login->channel = facts.channel;
	login->name[0] = 0;
	login->handover.takes_utf8 = 0;
	explicit_bzero(&login->in, sizeof login->in);
	line_start(&login->in, STDIN_FILENO);
	output_start(&login->out, STDOUT_FILENO);
	return 0;
}

int
login_tls_first(struct login *login)
{
	return prepare(login) < 0 ? -1 : start(login);
}

bool
login_offers_tls(const struct login *login)
{
	return login->tls.way != TLS_WAY_NONE && !login->has_tls;
}

/* What somebody on the way may have put behind the command. */
static void
drop_input(struct login *login)
{
	for (int i = 0; i < DROPS_MAX; i++) {
		line_discard(&login->in);
		if (line_fill(&login->in, deadline_now_ms()) != LINE_OK)
			break;
	}
	line_discard(&login->in);
}

enum next
login_stls(struct login *login, size_t length)
{
	if (login->has_tls)
		return login_error(login, "-ERR TLS is on already");
	if (login->tls.way == TLS_WAY_NONE)
		return login_error(login, "-ERR there is no TLS here");
	if (length > 0)
		return login_error(login, "-ERR STLS takes no argument");
	if (prepare(login) < 0)
		return login_error(login,
			"-ERR [SYS/TEMP] TLS is not available now, try later");
	drop_input(login);
	if (login_reply(login, "+OK go ahead") == NEXT_CLOSE ||
		output_flush(&login->out,
			deadline_after_ms(LOGIN_REPLY_WAIT_MS)) < 0) {
		tls_server_close(&login->tls);
		return NEXT_GONE;
	}
	return start(login) < 0 ? NEXT_GONE : NEXT_COMMAND;
}

/* --- what may be said in clear --- */

bool
login_may_say_password(const struct login *login)
{
	return login->has_tls || login->is_clear_allowed;
}

uint32_t
login_mechanisms(const struct login *login)
{
	uint32_t clear = 1u << AUTH_PLAIN | 1u << AUTH_LOGIN;

	return login_may_say_password(login) ? login->mechanisms
					     : login->mechanisms & ~clear;
}

enum next
login_needs_tls(struct login *login)
{
	if (login->tls.way == TLS_WAY_NONE)
		log_line("client=%s cannot log in: there is no TLS, for which "
			 "tlsd needs a certificate, and "
			 "control/authclearpop3 is not 1",
			login->client);
	return login_error(login,
		"-ERR passwords need TLS: say STLS first, or use port "
		"995");
}
