#ifndef LOCAL_ASSIGN_H
#define LOCAL_ASSIGN_H

/*
 * users/assign in qmail's format, and users/cdb, which users-compile makes of
 * it: the same octets that qmail-newu writes.
 *
 *   =local:user:uid:gid:home:dash:ext:      this local part alone
 *   +prefix:user:uid:gid:home:dash:pre:     all that begin so; what follows the
 *                                           prefix is added to pre
 *   .                                       the end; it must be there
 *
 * In the cdb, the key "!local" and a NUL has an exact entry, "!prefix" without one
 * a wildcard, and the empty key each last octet of a prefix once. Data: user, uid,
 * gid, home, dash and ext, a NUL after each. Case does not matter. The longest
 * prefix holds.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "lib/accounts.h"
#include "lib/address.h"

/* The longest line of users/assign, in octets. */
#define ASSIGN_LINE_MAX 2048

struct assign {
	char user[64];
	uid_t uid;
	gid_t gid;
	char home[ACCOUNT_HOME_MAX];
	char dash[4];
	char extension[ADDRESS_LOCAL_MAX + 1];
	bool is_wildcard;
	size_t matched; /* octets of the local part that the entry names */
};

/*
 * Finds the entry of a local part (in lower case). ACCOUNT_TROUBLE with errno
 * EBADMSG: the entry is not sound.
 */
enum account_result assign_find(
	const struct cdbfile *file, const char *local, struct assign *assign);

enum assign_line {
	ASSIGN_ENTRY,
	ASSIGN_NOTHING, /* an empty line */
	ASSIGN_END,	/* begins with "." */
	ASSIGN_BAD,	/* why */
};

/*
 * Takes a line (without its line feed) apart. ASSIGN_ENTRY with the entry, whose
 * name (in lower case) gets into name, of ADDRESS_LOCAL_MAX + 1 octets.
 */
enum assign_line assign_line_scan(const char *line, size_t length,
	struct assign *assign, char *name, char *why, size_t size);

/*
 * Compiles a whole users/assign into a cdb on the descriptor, from its start.
 * Returns the number of entries, or -1 with a sentence in why.
 */
long
assign_compile(const char *text, size_t length, int fd, char *why, size_t size);

#endif
