#ifndef TOOLS_SASL_H
#define TOOLS_SASL_H

/*
 * The server's side of the mechanisms PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC
 * 2195), SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (tools/scram.h), EXTERNAL (RFC
 * 4422) and POP3's APOP (RFC 1939): what the client says goes in, a challenge or
 * a verdict comes out. Nothing here waits, or speaks with anybody.
 *
 * sasl_take until it says SASL_READY, then sasl_check once. A right SCRAM proof is
 * answered by one more challenge (sasl_farewell), to which the client says
 * nothing.
 */

#include "tools/auth_check.h"
#include "tools/scram.h"

#define SASL_CRAM_MAX 400

struct sasl {
	const struct auth_place *place;
	const struct auth_begin *begin;
	unsigned responses; /* taken so far */
	/* Who wants to log in, as the client says; "" as long as nobody knows.
	 * Holds no NUL, but perhaps other control characters. */
	char name[AUTH_NAME_MAX];
	char password[SECRETS_PASSWORD_MAX];
	bool cannot_be; /* refused already, whatever else is right */
	char challenge[SASL_CRAM_MAX];
	char digest[2 * DIGEST_MD5 + 1];
	enum auth_verdict exists;
	struct secret secret;
	struct scram scram;
	uint8_t final[AUTH_OCTETS_MAX]; /* SCRAM's last message */
	size_t final_len;
	char key[ACCOUNT_KEY_MAX]; /* after AUTH_YES, as auth_check's */
	const char *reason;	   /* for the log, or NULL */
};

enum sasl_next {
	SASL_CHALLENGE, /* *reply is to be sent */
	SASL_READY,	/* sasl_check */
	SASL_MALFORMED,
	SASL_TEMPORARY,
};

/* Begins an exchange; *sasl is zeroed. Both live as long as it does. */
void sasl_start(struct sasl *sasl, const struct auth_place *place,
	const struct auth_begin *begin);

/*
 * Takes a response; octets NULL: the exchange begins without one. Fills reply
 * (magic, kind and all) after SASL_CHALLENGE.
 */
enum sasl_next sasl_take(struct sasl *sasl, const void *octets, size_t len,
	struct auth_message *reply);

/* Decides. May take the time of a password's hash, or of the program's. */
enum auth_verdict sasl_check(struct sasl *sasl);

/* After AUTH_YES: whether one more challenge is to be sent, which is in *reply;
 * the client answers it with nothing. */
bool sasl_farewell(const struct sasl *sasl, struct auth_message *reply);

/* Forgets all of it. */
void sasl_end(struct sasl *sasl);

#endif
