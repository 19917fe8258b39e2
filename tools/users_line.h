#ifndef TOOLS_USERS_LINE_H
#define TOOLS_USERS_LINE_H

/*
 * One record of the user database as a line of text, as user-export writes and
 * user-import reads it: fields with a TAB between two.
 *
 *   domain TAB NAME       [owner=UID:GID] [home=PATH]
 *   user   TAB ADDRESS    [owner=] [home=] [maildir=] [quota=OCTETS]
 *                         [messages=NUMBER] [to=ADDRESS ...] [copy] [nologin]
 *                         [hash=CRYPT] [scram=ITERATIONS:SALT:KEY:KEY]
 *                         [plain=PASSWORD] or [password=PASSWORD]
 *   alias  TAB ADDRESS    to=ADDRESS [to=ADDRESS ...] [owner=]
 *
 * hash, scram and plain are what is stored; password is made into them. Without
 * owner and home a record gets its domain's.
 */

#include <stdbool.h>
#include <stddef.h>
#include "lib/accounts.h"
#include "tools/secrets.h"

/* Octets of a line, with a NUL. */
#define USERS_LINE_MAX 8192

struct users_line {
	struct account account; /* name: the key; uid 0, home "": not given */
	bool has_secret;	/* secret is filled in */
	struct secret secret;
	char password[SECRETS_PASSWORD_MAX]; /* to be made a secret of; or "" */
};

/*
 * Reads a line (ended, without its line feed). Returns 1; 0 for an empty line or a
 * comment ("#"); -1 with a sentence in why. The caller wipes what it read.
 */
int users_line_scan(
	const char *text, struct users_line *line, char *why, size_t size);

/* Writes a record; secret may be NULL. Returns 0, or -1: no room. */
int users_line_write(char *into, size_t size, const struct account *account,
	const struct secret *secret);

/* Adds a target (an address with its domain) to an account. 0, or -1 with why. */
int users_add_target(
	struct account *account, const char *target, char *why, size_t size);

/* A size as people write it: octets, or with K, M, G or T behind. 0 or -1. */
int users_scan_size(const char *text, uint64_t *octets);

#endif
