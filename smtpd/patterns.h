#ifndef SMTPD_PATTERNS_H
#define SMTPD_PATTERNS_H

/*
 * Lists of what is not wanted, as in control/badmailfrom, badrcptto and badhelo.
 * A line is a pattern; case does not matter:
 *
 *   user@example.org   this address
 *   user@              this local part in every domain
 *   @example.org       every address in this domain (not in those below it)
 *   @.example.org      every address in the domains below it; "@*." is the same
 *
 * and of a list of names (badhelo):
 *
 *   example.org        this name; also an address literal, "[192.0.2.1]"
 *   .example.org       the names below it; "*." is the same
 *
 * A "!" before a pattern makes an exception: what it matches is wanted, whatever
 * other lines say and in whatever order they stand. The null sender matches
 * nothing: refusing reports is not for a list (RFC 5321 section 6.1).
 */

#include <stddef.h>
#include "lib/address.h"
#include "lib/settings.h"

enum patterns_kind {
	PATTERNS_ADDRESSES,
	PATTERNS_NAMES,
};

/*
 * Checks every line of the list from control/name. 0; or -1 with a sentence in
 * why that names file, line and expectation.
 */
int patterns_check(const struct setting_list *list, enum patterns_kind kind,
	const char *name, char *why, size_t size);

/* What a checked list has to say. */
struct patterns_match {
	size_t line;	  /* of the first pattern that matches; 0: none */
	size_t exception; /* of the first exception that matches; 0: none */
};

/* Looks for an address: its local part unquoted, as in struct path. */
struct patterns_match
patterns_find_address(const struct setting_list *list, const struct path *path);

/* Looks for a name that a stranger gave: any octets. */
struct patterns_match patterns_find_name(
	const struct setting_list *list, const char *name, size_t len);

/* Whether it is refused: a pattern matches and no exception does. */
static inline int
patterns_refuse(struct patterns_match match)
{
	return match.line != 0 && match.exception == 0;
}

#endif
