#ifndef TOOLS_SECRETS_H
#define TOOLS_SECRETS_H

/*
 * The user database's secret half, users/secrets.cdb: read by authd alone,
 * written by the user-* tools. Key: the address in lower case. Data: version
 * octet 2; the password's hash as crypt(5) writes it (yescrypt), a text; u8 1 and
 * a SCRAM-SHA-256 verifier (u32 iterations, salt, stored key, server key), or u8
 * 0; the password itself, a text, "" unless it was asked for (CRAM-MD5 and APOP
 * cannot do without). Numbers and texts as in lib/pack.h. Records of version 1
 * are the octet 1 and the hash.
 *
 * The key "seed" holds DIGEST_SHA256 random octets, from which salts of people
 * who do not exist are made.
 */

#include <stdbool.h>
#include <stddef.h>
#include <skalibs/stralloc.h>
#include "tools/scram.h"

/* The longest hash that is kept, with its NUL. */
#define SECRETS_HASH_MAX 384
/* The longest password, with its NUL. */
#define SECRETS_PASSWORD_MAX 512
#define SECRETS_SEED "seed"

struct secret {
	char hash[SECRETS_HASH_MAX];
	bool has_verifier;
	struct scram_verifier verifier;
	char password[SECRETS_PASSWORD_MAX]; /* "" if it is not kept */
};

/*
 * Finds the secret of an address (already in lower case) in the database. Returns
 * 1 with it, 0 if there is none or no database, or -1 with errno (EBADMSG:
 * damaged).
 */
int
secrets_find(const char *database, const char *address, struct secret *secret);

/* Finds the seed. Returns as secrets_find. */
int secrets_seed(const char *database, uint8_t seed[DIGEST_SHA256]);

/*
 * Makes the secret of a password. Returns 0, or -1 with errno. Takes some tenths
 * of a second.
 */
int
secrets_make(const char *password, bool keeps_password, struct secret *secret);

/* Appends a record. 0, or -1 with errno. */
int secrets_pack(const struct secret *secret, stralloc *into);
/* Reads a record. 0, or -1 with errno EBADMSG. */
int secrets_unpack(const void *octets, size_t len, struct secret *secret);

/*
 * Makes a yescrypt hash of a password with a new salt. Returns 0, or -1 with
 * errno. Takes some tens of milliseconds and megabytes, on purpose.
 */
int secrets_hash(const char *password, char hash[SECRETS_HASH_MAX]);

/*
 * Whether the password belongs to the hash. With the hash NULL the answer is no,
 * after the same work as for a hash of secrets_hash, so that the time does not
 * tell who exists. A hash that is locked ("!…", "*…") or empty is never right;
 * neither is an empty password. Leaves no copy of either behind.
 */
bool secrets_match(const char *hash, const char *password);

#endif
