#ifndef REMOTE_SCRAM_CLIENT_H
#define REMOTE_SCRAM_CLIENT_H

/*
 * The client's side of SCRAM-SHA-256 (RFC 5802, 7677) without channel binding:
 * messages as octets, no socket, no base64 around them. The name and the password
 * are used as they stand: whoever writes them down prepares them (RFC 8265).
 *
 * The order of calls: scram_client_first, scram_client_final, scram_client_check.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/digest.h"

/* Octets of our part of the nonce, as text, and of the longest whole one. */
#define SCRAM_CLIENT_OWN 24
#define SCRAM_CLIENT_NONCE 256
#define SCRAM_CLIENT_SALT 128
/* Fewer are no protection of the password, more only cost us time. */
#define SCRAM_CLIENT_ROUNDS_MIN 4096
#define SCRAM_CLIENT_ROUNDS_MAX 2000000
/* Room for any message that is written here, with a NUL. */
#define SCRAM_CLIENT_MESSAGE 1024
/* The longest first message of a server that is taken. */
#define SCRAM_CLIENT_SERVER_FIRST 700

struct scram_client {
	char nonce[SCRAM_CLIENT_OWN + 1];
	char first_bare[SCRAM_CLIENT_MESSAGE];
	uint8_t server_signature[DIGEST_SHA256];
};

/*
 * Writes the first message. own_nonce is SCRAM_CLIENT_OWN printable octets that
 * nobody can guess, without a comma. Returns its length, 0 if the name is too
 * long.
 */
size_t scram_client_first(struct scram_client *scram, const char *user,
	const char *own_nonce, char message[SCRAM_CLIENT_MESSAGE]);

/*
 * Reads the server's first message and writes the final one, with the proof.
 * Returns its length; 0 if the server's is none of the protocol, does not have
 * our nonce, or wants fewer or more rounds than the bounds above.
 */
size_t scram_client_final(struct scram_client *scram, const char *password,
	const char *server_first, size_t len,
	char message[SCRAM_CLIENT_MESSAGE]);

/* Whether the server's final message proves that it knows the password too. */
bool scram_client_check(
	const struct scram_client *scram, const char *server_final, size_t len);

#endif
