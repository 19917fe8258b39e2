#ifndef LIB_ACCOUNTS_H
#define LIB_ACCOUNTS_H

/*
 * The user database's public half: which virtual accounts exist, who owns their
 * mail, and where it is. A cdb (users/accounts.cdb) made anew and renamed into
 * place by the user-* tools; read by resolve, the warden and authd's name
 * look-up. It holds no secret (those are in users/secrets.cdb, authd's alone).
 *
 * Key: the address in lower case, local@domain. Data: version octet 1, then
 * u32 uid, u32 gid, home (u16 length, text, absolute), maildir (u16 length,
 * text, relative to home, "./Maildir/" by default). Every record read is
 * validated, the cdb's pointers against the map included.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ACCOUNT_HOME_MAX 512
#define ACCOUNT_GROUPS_MAX 64

struct account {
	char name[256]; /* address in lower case, or system user's name */
	uid_t uid;
	gid_t gid;
	gid_t group[ACCOUNT_GROUPS_MAX]; /* supplementary; none for virtual */
	unsigned groups;
	char home[ACCOUNT_HOME_MAX];	/* absolute */
	char maildir[ACCOUNT_HOME_MAX]; /* relative to home */
};

enum account_result {
	ACCOUNT_FOUND,
	ACCOUNT_NONE,
	ACCOUNT_TROUBLE, /* the database cannot be read now: errno */
};

/*
 * Look a virtual account up by its address (any case) in the database at path.
 * A missing database is an empty one.
 */
enum account_result account_virtual(
	const char *database, const char *address, struct account *account);

/*
 * Look a system user up through NSS. Uid 0 and users without an absolute home are
 * not found. Groups are filled in. Only dynamic programs call this (it is in
 * lib/accounts_system.c).
 */
enum account_result account_system(const char *name, struct account *account);

/* Pack and unpack one record, for the tools. 0, or -1 with errno. */
int account_pack(const struct account *account, unsigned char *into,
	size_t size, size_t *length);
int account_unpack(const void *octets, size_t length, struct account *account);

#endif
