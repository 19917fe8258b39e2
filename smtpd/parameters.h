#ifndef SMTPD_PARAMETERS_H
#define SMTPD_PARAMETERS_H

/*
 * The parameters of MAIL and RCPT (RFC 5321 section 4.1.2):
 *
 *   parameters = *( 1*SP keyword [ "=" value ] ) *SP
 *   keyword    = ( ALPHA / DIGIT ) *( ALPHA / DIGIT / "-" )
 *   value      = 1*( 33..126 except "=", and UTF-8 in ORCPT: RFC 6533 section 3 )
 *
 * All of them are read and checked before any has an effect.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/envelope.h"

/* The most digits in SIZE= (RFC 1870 section 3). */
#define PARAMETERS_SIZE_DIGITS 20

struct parameters {
	bool has_size, has_body, has_ret, has_notify;
	bool smtputf8, requiretls; /* given */
	/* AUTH (RFC 4954 section 5) was well-formed. Its value is not kept: no
	 * client is trusted to say who wrote a message (as if "<>"). */
	bool has_auth;
	uint64_t size;	/* octets; UINT64_MAX for anything greater */
	uint8_t body;	/* enum envelope_body */
	uint8_t ret;	/* enum envelope_ret */
	uint8_t notify; /* enum envelope_notify, ored */
	/* Values in xtext, as they came: part of the text, not terminated; NULL
	 * if not given. orcpt is for parameters_write_orcpt. */
	const char *envid, *orcpt;
	size_t envid_len, orcpt_len;
	/* What is wrong, after a failure: part of the text, not terminated. */
	const char *bad;
	size_t bad_len;
};

enum parameters_result {
	PARAMETERS_OK,
	PARAMETERS_SYNTAX,    /* not of the form above, or a bad value */
	PARAMETERS_DUPLICATE, /* one was given twice */
	PARAMETERS_UNKNOWN,   /* one that was never offered */
};

/* Which parameters a command has. */
enum parameters_command {
	/* SIZE, BODY, AUTH; RET, ENVID (RFC 3461); SMTPUTF8 (RFC 6531) */
	PARAMETERS_MAIL,
	PARAMETERS_MAIL_TLS, /* REQUIRETLS as well (RFC 8689) */
	PARAMETERS_RCPT,     /* NOTIFY, ORCPT (RFC 3461) */
};

/*
 * Reads what follows the path: text[0..len). On PARAMETERS_OK *parameters holds
 * them; otherwise bad and bad_len only.
 */
enum parameters_result parameters_scan(enum parameters_command command,
	const char *text, size_t len, struct parameters *parameters);

/*
 * Writes an ORCPT in ASCII, for envelopes: characters beyond it, which only the
 * type utf-8 may have, as "\x{E9}" (utf-8-addr-xtext, RFC 6533 section 3). Returns
 * its length without the NUL, or 0 if it is none or too long.
 */
size_t parameters_write_orcpt(
	char into[ENVELOPE_ORCPT_MAX + 1], const char *text, size_t len);

#endif
