#ifndef LIB_ACCOUNTS_H
#define LIB_ACCOUNTS_H

/*
 * The user database's public half: which virtual accounts exist, who owns their
 * mail, and where it is. A cdb (users/accounts.cdb) made anew and renamed into
 * place by the user-* tools; read by resolve, the warden and authd's name
 * look-up. It holds no secret (those are in users/secrets.cdb, authd's alone).
 *
 * Key: the address in lower case, local@domain; of a domain "@domain", of its
 * catch-all "*@domain". Data: version octet 1, then u32 uid, u32 gid, home (u16
 * length, text, absolute), maildir (u16 length, text, relative to home,
 * "./Maildir/" by default). What has more than that is of version 2: after the
 * same u8 kind, u8 flags, u64 quota in octets, u32 quota in messages (0: none),
 * targets (u16 length, text: addresses, a line feed between two). Every record
 * read is validated, the cdb's pointers against the map included.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/cdbfile.h"

#define ACCOUNT_HOME_MAX 512
#define ACCOUNT_GROUPS_MAX 64
#define ACCOUNT_TARGETS_MAX 2048
#define ACCOUNT_QUOTA_MAX (1ull << 62)

enum account_kind {
	ACCOUNT_MAILBOX = 0, /* keeps mail; with targets: sends it on */
	ACCOUNT_ALIAS = 1,   /* has targets, and nothing is kept or logs in */
	ACCOUNT_DOMAIN = 2,  /* a domain: uid, gid and home for its accounts */
};

/* A mailbox with targets keeps a copy, too. */
#define ACCOUNT_KEEPS_COPY 1
/* A mailbox whose owner cannot log in; mail is taken. */
#define ACCOUNT_NO_LOGIN 2
#define ACCOUNT_FLAGS (ACCOUNT_KEEPS_COPY | ACCOUNT_NO_LOGIN)

struct account {
	char name[256]; /* address in lower case, or system user's name */
	uid_t uid;
	gid_t gid;
	gid_t group[ACCOUNT_GROUPS_MAX]; /* supplementary; none for virtual */
	unsigned groups;
	char home[ACCOUNT_HOME_MAX];	/* absolute */
	char maildir[ACCOUNT_HOME_MAX]; /* relative to home */
	enum account_kind kind;
	unsigned flags;
	uint64_t quota_octets; /* 0: none */
	uint32_t quota_messages;
	char targets[ACCOUNT_TARGETS_MAX]; /* addresses, '\n' between */
};

enum account_result {
	ACCOUNT_FOUND,
	ACCOUNT_NONE,
	ACCOUNT_TROUBLE, /* the database cannot be read now: errno */
};

/*
 * Look a virtual account up by its address (any case) in the database at path.
 * A missing database is an empty one. Aliases are found, domains are not.
 */
enum account_result account_virtual(
	const char *database, const char *address, struct account *account);

/* The same in a database that is open. The kind may be any. */
enum account_result account_find(const struct cdbfile *file,
	const char *address, struct account *account);

/*
 * Look a system user up through NSS. Uid 0 and users without an absolute home are
 * not found. Groups are filled in. Only dynamic programs call this (it is in
 * lib/accounts_system.c).
 */
enum account_result account_system(const char *name, struct account *account);

/* Octets of a packed record, at most. */
#define ACCOUNT_RECORD_MAX (2 * ACCOUNT_HOME_MAX + ACCOUNT_TARGETS_MAX + 40)

/* Pack and unpack one record, for the tools. 0, or -1 with errno. */
int account_pack(const struct account *account, unsigned char *into,
	size_t size, size_t *length);
int account_unpack(const void *octets, size_t length, struct account *account);

#endif
