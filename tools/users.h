#ifndef TOOLS_USERS_H
#define TOOLS_USERS_H

/*
 * Changing the user database: users/accounts.cdb (lib/accounts.h, 0640
 * root:keep-users) and users/secrets.cdb (tools/secrets.h, 0600 of _keep-auth).
 * One tool at a time, by a lock on users/.lock; each change writes a whole new
 * file beside the old one, syncs it and renames it into place, so readers and
 * power cuts see the old database or the new one. In private mode no owner is
 * changed.
 *
 * What fails leaves a sentence in why.
 */

#include <stddef.h>
#include <sys/types.h>
#include "lib/accounts.h"
#include "lib/home.h"

/* The longest password, in octets: as authd's question has room for. */
#define USERS_PASSWORD_MAX 511

struct users {
	const struct home *home;
	int folder; /* users/ */
	int lock;
};

/*
 * Opens the database for change and waits for the lock, half a minute at most.
 * Returns 0 or -1.
 */
int users_open(
	struct users *users, const struct home *home, char *why, size_t size);
void users_close(struct users *users);

/* Whether the account (address in lower case) exists: 1, 0, or -1. */
int users_has(
	const struct users *users, const char *address, char *why, size_t size);

/* Whether the password itself is kept, for CRAM-MD5 and APOP. */
enum users_keeping {
	USERS_KEEP_HASHES,   /* hashes alone */
	USERS_KEEP_PASSWORD, /* the password too */
	USERS_KEEP_AS_IS,    /* as it was for the password before this one */
};

/* Puts a password in, or in place of the old one. 0 or -1. */
int users_put_password(const struct users *users, const char *address,
	const char *password, enum users_keeping keeping, char *why,
	size_t size);

/* Puts an account in, or in place of the old one. 0 or -1. */
int users_put_account(const struct users *users, const struct account *account,
	char *why, size_t size);

/*
 * Reads a password: the first line of a descriptor, without its line end. It must
 * not be empty, too long, or hold a NUL. Returns 0 or -1.
 */
int users_read_password(
	int fd, char password[USERS_PASSWORD_MAX + 1], char *why, size_t size);

/*
 * Reads an address as an account's name: a mailbox at a domain of letters,
 * digits, "-", "_" and "." alone, its local part without "/" and not beginning
 * with "." (both name folders). Writes it in lower case, in its parts and whole.
 * Returns 0 or -1.
 */
struct users_name {
	char address[256];
	char local[256];
	char domain[256];
};
int users_read_name(
	const char *text, struct users_name *name, char *why, size_t size);

#endif
