#ifndef TOOLS_SCRAM_H
#define TOOLS_SCRAM_H

/*
 * The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677,
 * 9266): messages as octets, no socket, no database, no base64 around them.
 *
 * An exchange: scram_take_first reads the client's first message, the caller
 * finds the verifier of scram.name (or makes one up: scram_make_up) and calls
 * scram_write_first; scram_take_final checks the proof; scram_write_final has the
 * server prove that it knew the verifier too.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/auth.h"
#include "lib/digest.h"

#define SCRAM_SALT 16
/* What a new verifier gets. RFC 7677 section 4 asks for 4096 at least. */
#define SCRAM_ITERATIONS 65536u
#define SCRAM_ITERATIONS_MIN 4096u
#define SCRAM_ITERATIONS_MAX 10000000u
/* The longest nonce that a client may bring, and the text of our part. */
#define SCRAM_CLIENT_NONCE_MAX 256
#define SCRAM_OUR_NONCE 24
/* Room for any message that the server writes, with a NUL. */
#define SCRAM_MESSAGE_MAX 512
/* The most of the client's first message that is taken, in octets. */
#define SCRAM_FIRST_MAX 1536

/* What the server keeps instead of a password. */
struct scram_verifier {
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT];
	uint8_t stored_key[DIGEST_SHA256];
	uint8_t server_key[DIGEST_SHA256];
};

struct scram {
	bool is_plus;			  /* SCRAM-SHA-256-PLUS */
	char name[AUTH_NAME_MAX];	  /* who logs in, decoded */
	char authorize_as[AUTH_NAME_MAX]; /* "" if not given */
	char nonce[SCRAM_CLIENT_NONCE_MAX + SCRAM_OUR_NONCE + 1];
	/* What the proof is about. */
	char gs2_header[SCRAM_FIRST_MAX + 1];
	char first_bare[SCRAM_FIRST_MAX + 1];
	char first_reply[SCRAM_MESSAGE_MAX];
	const uint8_t *binding; /* NULL if none is used */
	size_t binding_len;
	uint8_t signature[DIGEST_SHA256];
};

enum scram_result {
	SCRAM_OK,
	SCRAM_MALFORMED, /* not a message of the protocol */
	SCRAM_REFUSED,	 /* well-formed, but no: a wrong proof, a channel
			    binding that is not ours, a downgrade */
};

/*
 * Reads the client's first message. channel is what is known of TLS; where it can
 * bind, a client that says it could but thinks we cannot ("y") has been lied to
 * and is refused (RFC 5802 section 6). scram->is_plus must be set.
 */
enum scram_result scram_take_first(struct scram *scram,
	const struct auth_channel *channel, const void *octets, size_t len);

/*
 * Writes the server's first message into scram->first_reply, with our part of the
 * nonce (SCRAM_OUR_NONCE printable octets, no comma). Returns its length.
 */
size_t scram_write_first(struct scram *scram,
	const struct scram_verifier *verifier, const char *our_nonce);

/* Reads the client's final message and checks everything in it. */
enum scram_result scram_take_final(struct scram *scram,
	const struct scram_verifier *verifier, const void *octets, size_t len);

/* Writes the server's final message, with a NUL. Returns its length. */
size_t
scram_write_final(const struct scram *scram, char message[SCRAM_MESSAGE_MAX]);

/* --- keys (tools/scram_keys.c) --- */

/* Makes the verifier of a password. Takes as long as the iterations do. */
void scram_derive(struct scram_verifier *verifier, const char *password,
	const uint8_t salt[SCRAM_SALT], uint32_t iterations);

/*
 * Makes up the verifier of somebody who has none: always the same salt for one
 * name and secret, which no proof fits.
 */
void scram_make_up(struct scram_verifier *verifier,
	const uint8_t secret[DIGEST_SHA256], const char *name);

#endif
