#ifndef COMPAT_REWRITE_H
#define COMPAT_REWRITE_H

/*
 * Addresses as people write them, made whole in qmail-inject's manner: a source
 * route goes, so does a stray "." or "@" at the end; an address without a host gets
 * the default host; a host that ends in "+" gets the plus domain, one without a dot
 * the default domain. The null address, address literals and what is no address
 * stay as they are.
 */

#include <stddef.h>
#include <skalibs/stralloc.h>

struct rewrite {
	const char *host, *domain, *plus; /* without control characters */
};

/*
 * Appends one address, its comments and white space gone (text[0..len), without
 * brackets), to *into. 0, or -1 with ENOMEM.
 */
int rewrite_address(const struct rewrite *rewrite, const char *text, size_t len,
	stralloc *into);

/*
 * Appends the body of a field (RFC 5322 section 3.4: mailboxes, groups, comments)
 * with each address made whole. Elements that are whole already stay octet by
 * octet; white space, names and comments stay. 0, or -1 with ENOMEM.
 */
int rewrite_list(const struct rewrite *rewrite, const char *text, size_t len,
	stralloc *into);

#endif
