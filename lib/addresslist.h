#ifndef LIB_ADDRESSLIST_H
#define LIB_ADDRESSLIST_H

/*
 * Reads the list of addresses in the body of a header field (To, Cc, Bcc,
 * From; RFC 5322 section 3.4): mailboxes with display names, angle brackets
 * with an obsolete route (dropped), groups, nested comments, quoted strings,
 * literals, white space and folds wherever they may stand. Empty elements are
 * passed over. Display names may hold anything, dots and 8-bit octets too. One
 * pass, no recursion, nothing allocated.
 */

#include <stddef.h>
#include "lib/address.h"

enum addresslist_result {
	ADDRESSLIST_OK,	     /* every element was read (there may be none) */
	ADDRESSLIST_BAD,     /* an element is no address, or has no end */
	ADDRESSLIST_STOPPED, /* each() returned other than 0 */
};

/*
 * Calls each(context, path) for every address of text[0..len) in order. flags
 * are those of lib/address.h (ADDRESS_NO_DOMAIN for "To: root"). *path lives
 * until each returns. On ADDRESSLIST_BAD *bad_at (if not NULL) is the offset
 * at which reading stopped; addresses before it have been given already.
 */
enum addresslist_result addresslist_read(const char *text, size_t len,
	unsigned flags, int (*each)(void *context, const struct path *path),
	void *context, size_t *bad_at);

#endif
