#ifndef TOOLS_SECRETS_H
#define TOOLS_SECRETS_H

/*
 * The user database's secret half, users/secrets.cdb: read by authd alone,
 * written by the user-* tools. Key: the address in lower case. Data: version
 * octet 1, then the password's hash as crypt(5) writes it (yescrypt).
 */

#include <stdbool.h>
#include <stddef.h>

/* The longest hash that is kept, with its NUL. */
#define SECRETS_HASH_MAX 384
#define SECRETS_VERSION 1

/*
 * Finds the hash of an address (already in lower case) in the database. Returns
 * 1 with the hash as a text, 0 if there is none or no database, or -1 with errno
 * (EBADMSG: damaged).
 */
int secrets_find(
	const char *database, const char *address, char hash[SECRETS_HASH_MAX]);

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
