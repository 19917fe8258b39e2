#ifndef LOCAL_ALIASES_H
#define LOCAL_ALIASES_H

/*
 * A file of aliases in the format of aliases(5), and users/aliases.cdb, which
 * newaliases makes of it.
 *
 *   name: target, target      and on, in lines that begin with white space
 *   # a comment
 *
 * A name is a local part, in double quotes if need be. A target is an address, with or without a
 * domain, or ":include:/path", a file of addresses that is read when mail comes.
 * Programs and files are refused: alias/.qmail-NAME has them, with the safety of
 * .qmail files. A name must not stand twice or be its own target.
 *
 * In the cdb: key, the name in lower case; data, version octet 1 and the targets,
 * a line feed between two.
 */

#include <stddef.h>
#include "lib/accounts.h"
#include "lib/address.h"

/* Octets of one alias with its targets, continuation lines included. */
#define ALIASES_ENTRY_MAX 65536

struct alias {
	char name[ADDRESS_LOCAL_MAX + 1]; /* in lower case */
	char targets[ACCOUNT_TARGETS_MAX];
};

/* Finds the targets of a local part (in lower case). ACCOUNT_TROUBLE: errno. */
enum account_result aliases_find(const struct cdbfile *file, const char *local,
	char targets[ACCOUNT_TARGETS_MAX]);

/*
 * Takes one logical line, continuation lines and all, apart. Returns 1 with the
 * alias, 0 for a comment or nothing, -1 with a sentence in why.
 */
int aliases_scan(const char *text, size_t length, struct alias *alias,
	char *why, size_t size);

/*
 * Compiles a whole file into a cdb on the descriptor, from its start. Returns
 * the number of aliases, or -1 with a sentence in why.
 */
long aliases_compile(
	const char *text, size_t length, int fd, char *why, size_t size);

/* Whether text is a target: an address, or ":include:/…". */
int aliases_is_target(const char *text, size_t length);

#endif
