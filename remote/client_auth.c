/*
 * AUTH: RFC 4954, with SCRAM-SHA-256 (RFC 7677), CRAM-MD5 (RFC 2195), PLAIN (RFC
 * 4616) and LOGIN, which has no document.
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include "lib/base64.h"
#include "lib/digest.h"
#include "remote/client.h"
#include "remote/client_wire.h"
#include "remote/scram_client.h"

#define PLAIN_MAX (2 * SMARTHOSTS_TEXT_MAX + 2)
#define RESPONSE_MAX SCRAM_CLIENT_MESSAGE
#define LINE_MAX_OF_RESPONSE (BASE64_TEXT(RESPONSE_MAX) + 1)

/* What a mechanism's steps end with, besides the class of the server's reply. */
#define STEP_LOST (-1)
#define STEP_NONSENSE (-2) /* a challenge that is none: text is made */

struct exchange {
	struct client *client;
	const struct login *login;
	struct scram_client scram;
	char line[LINE_MAX_OF_RESPONSE];
	char challenge[SCRAM_CLIENT_MESSAGE];
	size_t challenge_len;
	const char *nonsense;
};

/* --- one step --- */

/* Sends a response, behind a command or alone, and reads the reply: its class,
 * or STEP_LOST. */
static int
respond(struct exchange *exchange, const char *command, const void *octets,
	size_t len)
{
	struct client *client = exchange->client;

	exchange->line[0] = 0;
	if (len > 0 && base64_write(exchange->line, sizeof exchange->line,
			       octets, len) == 0) {
		client_break(client, "a response that cannot be sent");
		return STEP_LOST;
	}
	if (client_put(client, "%s%s%s", command,
		    command[0] != 0 && len > 0 ? " " : "",
		    exchange->line) == -1)
		return STEP_LOST;
	return client_reply(client, client->timeouts.mail_ms);
}

static int
nonsense(struct exchange *exchange, const char *what)
{
	exchange->nonsense = what;
	return STEP_NONSENSE;
}

/* Takes the challenge of a reply 334. 0, or STEP_NONSENSE. */
static int
take_challenge(struct exchange *exchange)
{
	const struct reply *reply = &exchange->client->reply;
	ssize_t len = base64_read(exchange->challenge,
		sizeof exchange->challenge - 1, reply->text, reply->text_len);

	if (len < 0)
		return nonsense(exchange, "its challenge is not base64");
	exchange->challenge_len = (size_t)len;
	exchange->challenge[len] = 0;
	return 0;
}

/* --- the mechanisms: the class of the last reply, or a STEP_… --- */

static int
do_plain(struct exchange *exchange)
{
	const struct login *login = exchange->login;
	size_t user_len = strlen(login->user);
	size_t password_len = strlen(login->password);
	char text[PLAIN_MAX];

	text[0] = 0;
	memcpy(text + 1, login->user, user_len + 1);
	memcpy(text + 2 + user_len, login->password, password_len);
	int class = respond(
		exchange, "AUTH PLAIN", text, 2 + user_len + password_len);
	explicit_bzero(text, sizeof text);
	return class;
}

static int
do_login(struct exchange *exchange)
{
	const struct login *login = exchange->login;
	int class = respond(exchange, "AUTH LOGIN", NULL, 0);

	/* what it asks is always the same, in whatever words */
	if (class == 3)
		class = respond(exchange, "", login->user, strlen(login->user));
	if (class == 3)
		class = respond(
			exchange, "", login->password, strlen(login->password));
	return class;
}

static int
do_cram_md5(struct exchange *exchange)
{
	const struct login *login = exchange->login;
	char text[SMARTHOSTS_TEXT_MAX + 2 * DIGEST_MD5 + 2];
	char digits[2 * DIGEST_MD5 + 1];
	uint8_t digest[DIGEST_MD5];
	int class = respond(exchange, "AUTH CRAM-MD5", NULL, 0);

	if (class != 3)
		return class;
	if (take_challenge(exchange) < 0)
		return STEP_NONSENSE;
	digest_hmac_md5(digest, login->password, strlen(login->password),
		exchange->challenge, exchange->challenge_len);
	digest_hex(digits, digest, sizeof digest);
	snprintf(text, sizeof text, "%s %s", login->user, digits);
	return respond(exchange, "", text, strlen(text));
}

static int
do_scram(struct exchange *exchange)
{
	const struct login *login = exchange->login;
	struct scram_client *scram = &exchange->scram;
	char nonce[SCRAM_CLIENT_OWN + 1], message[SCRAM_CLIENT_MESSAGE];
	uint8_t number[SCRAM_CLIENT_OWN / 4 * 3];

	if (getrandom(number, sizeof number, 0) != sizeof number)
		return nonsense(exchange, "no random numbers here");
	base64_write(nonce, sizeof nonce, number, sizeof number);
	size_t len = scram_client_first(scram, login->user, nonce, message);
	int class = respond(exchange, "AUTH SCRAM-SHA-256", message, len);
	if (class != 3)
		return class;
	if (take_challenge(exchange) < 0)
		return STEP_NONSENSE;
	len = scram_client_final(scram, login->password, exchange->challenge,
		exchange->challenge_len, message);
	if (len == 0)
		return nonsense(exchange,
			"its challenge is not of SCRAM-SHA-256, or wants too "
			"few or too many rounds");
	class = respond(exchange, "", message, len);
	if (class == 2)
		return nonsense(exchange,
			"it does not prove that it knows the password");
	if (class != 3)
		return class;
	if (take_challenge(exchange) < 0)
		return STEP_NONSENSE;
	if (!scram_client_check(
		    scram, exchange->challenge, exchange->challenge_len))
		return nonsense(exchange,
			"it does not prove that it knows the password");
	return respond(exchange, "", NULL, 0);
}

static const struct mechanism {
	enum client_mechanism bit;
	bool tells_password; /* to whoever listens */
	const char *name;
	int (*run)(struct exchange *exchange);
} table[] = {
	{CLIENT_SCRAM_SHA_256, false, "SCRAM-SHA-256", do_scram},
	{CLIENT_CRAM_MD5, false, "CRAM-MD5", do_cram_md5},
	{CLIENT_PLAIN, true, "PLAIN", do_plain},
	{CLIENT_LOGIN, true, "LOGIN", do_login},
};

#define MECHANISMS (sizeof table / sizeof table[0])

/* --- the result --- */

/* Whether a text has the secret in it, plain or as base64 has it from its first
 * octet on. */
static bool
shows(const char *text, const char *secret)
{
	char encoded[BASE64_TEXT(SMARTHOSTS_TEXT_MAX) + 1];
	size_t len = strlen(secret);

	/* the last digits depend on what follows */
	base64_write(encoded, sizeof encoded, secret, len - len % 3);
	bool found = strstr(text, secret) != NULL ||
		     (encoded[0] != 0 && strstr(text, encoded) != NULL);
	explicit_bzero(encoded, sizeof encoded);
	return found;
}

/* Makes client->text from the reply, unless that repeats what it must not. */
static void
tell_rejected(struct exchange *exchange, const char *mechanism)
{
	struct client *client = exchange->client;
	char summary[OUTCOME_TEXT_MAX + 1];

	reply_summary(&client->reply, summary, sizeof summary);
	if (shows(summary, exchange->login->password) ||
		(exchange->line[0] != 0 &&
			strstr(summary, exchange->line) != NULL))
		snprintf(summary, sizeof summary,
			"%d (its text repeats what was sent)",
			client->reply.code);
	client_text(client, client->text,
		"4.7.8 the login \"%s\" is refused (%s): %s",
		exchange->login->name, mechanism, summary);
}

static enum client_result
judge(struct exchange *exchange, int class, const char *mechanism)
{
	struct client *client = exchange->client;

	client->outcome = OUTCOME_DEFERRED;
	switch (class) {
	case 2:
		return CLIENT_OK;
	case STEP_LOST:
		client_text(client, client->text,
			"4.4.2 connection lost at AUTH: %s", client->trouble);
		return CLIENT_NEXT_HOST;
	case STEP_NONSENSE:
	case 3:
		client_text(client, client->text,
			"4.7.8 no login \"%s\" (%s): %s", exchange->login->name,
			mechanism,
			exchange->nonsense != NULL
				? exchange->nonsense
				: "the server asks on and on");
		client_break(client, "AUTH ended in the middle");
		return CLIENT_CLOSE;
	default:
		tell_rejected(exchange, mechanism);
		return class == 4 ? CLIENT_NEXT_HOST : CLIENT_CLOSE;
	}
}

/* There is no mechanism to try (any more). */
static enum client_result
no_mechanism(struct client *client, const struct login *login, bool is_clear)
{
	client->outcome = OUTCOME_DEFERRED;
	if (client->mechanisms == 0)
		client_text(client, client->text,
			"4.7.4 no login \"%s\": the server offers no AUTH that "
			"is known here",
			login->name);
	else if (is_clear)
		client_text(client, client->text,
			"4.7.4 no login \"%s\": the server offers only PLAIN "
			"or LOGIN, and the connection is not encrypted",
			login->name);
	else
		client_text(client, client->text,
			"4.7.4 no login \"%s\": the server does not take the "
			"mechanisms that it offers",
			login->name);
	return CLIENT_CLOSE;
}

enum client_result
client_log_in(struct client *client, const struct login *login, int allow_clear)
{
	struct exchange exchange = {.client = client, .login = login};
	bool is_clear = !client->is_encrypted && !allow_clear;
	enum client_result result;
	bool was_tried = false;

	for (size_t i = 0; i < MECHANISMS; i++) {
		if (!(client->mechanisms & table[i].bit) ||
			(table[i].tells_password && is_clear))
			continue;
		int class = table[i].run(&exchange);
		/* 504: offered, but not known after all (RFC 4954 section 4) */
		was_tried = true;
		if (class == 5 && client->reply.code == 504)
			continue;
		result = judge(&exchange, class, table[i].name);
		goto done;
	}
	result = no_mechanism(client, login, is_clear && !was_tried);
done:
	/* the lines that were sent lie in the buffer still */
	explicit_bzero(client->out.buffer, sizeof client->out.buffer);
	explicit_bzero(&exchange, sizeof exchange);
	return result;
}
