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

/*
 * A new file for the place of users/NAME, at first empty, below a temporary name:
 * its descriptor, or -1. users_publish gives it owner (root; private mode: as it
 * is), group, mode and name once it is durable. 0 or -1; the descriptor is closed
 * in both cases. users_drop throws it away. Only under the lock.
 */
int users_create(
	const struct users *users, const char *name, char *why, size_t size);
struct users_owner {
	uid_t uid;
	gid_t gid;
	mode_t mode;
};
int users_publish(const struct users *users, const char *name, int fd,
	const struct users_owner *owner, char *why, size_t size);
void users_drop(const struct users *users, const char *name, int fd);

/* The owner of files that resolve, the warden, queue-runner and authd read:
 * 0640 root:keep-users. 0 or -1. */
int users_public_owner(const struct home *home, struct users_owner *owner,
	char *why, size_t size);

/*
 * Compiles a text into users/NAME by the function, which gets the text of the file
 * at path, an empty descriptor, and room for a sentence, and returns how many
 * entries there are or -1. Takes the lock itself. Returns that number or -1.
 */
long users_compile(const struct home *home, const char *path, const char *name,
	long (*compile)(const char *text, size_t length, int fd, char *why,
		size_t size),
	char *why, size_t size);

/* Whether the account (address in lower case) exists: 1, 0, or -1. */
int users_has(
	const struct users *users, const char *address, char *why, size_t size);

/* --- changes --- */

enum users_database {
	USERS_ACCOUNTS, /* users/accounts.cdb */
	USERS_SECRETS,	/* users/secrets.cdb */
};

/* Records that are to be put in, or to be taken out, all in one change of a
 * database. Of two for one key the later holds. */
struct users_change;
struct users_batch {
	struct users_change *change; /* owned */
	size_t count, room;
};
#define USERS_BATCH_ZERO ((struct users_batch){.count = 0})

/* data NULL: takes the record out. 0, or -1 with errno ENOMEM. */
int users_batch_put(struct users_batch *batch, const char *key,
	const void *data, size_t length);
/* Frees and wipes it. Safe twice. */
void users_batch_free(struct users_batch *batch);

/* Makes the change: a new file, renamed into place. 0 or -1. */
int users_apply(const struct users *users, enum users_database database,
	struct users_batch *batch, char *why, size_t size);

/* Puts a packed account, or a packed secret, into a batch. 0 or -1; the latter with
 * errno. */
int users_pack_account(struct users_batch *batch, const struct account *account,
	char *why, size_t size);
struct secret;
int users_pack_secret(struct users_batch *batch, const char *address,
	const struct secret *secret);

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
