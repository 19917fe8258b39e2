#ifndef MAIL_COMPOSE_H
#define MAIL_COMPOSE_H

/*
 * A message made of its pieces, by GMime: MIME (RFC 2045 to 2049), words that are
 * no ASCII encoded (RFC 2047), names of files too (RFC 2231). All values are
 * checked here; the caller hands in what it was given.
 */

#include <stddef.h>
#include <skalibs/stralloc.h>
#include "mail/draft.h"

struct attachment {
	const char *name; /* what the recipient sees */
	const char *type; /* "image/png" */
	const char *octets;
	size_t len;
};

/* NULL and 0: there is none. Lists have their number beside them. */
struct composition {
	const char *from, *subject;
	const char **to, **cc, **bcc; /* each a list of addresses, RFC 5322 */
	size_t to_count, cc_count, bcc_count;
	const char **headers; /* each "Name: value" */
	size_t header_count;
	const stralloc *text, *html; /* UTF-8, any line ends */
	const struct attachment *attachments;
	size_t attachment_count;
	enum draft_encoding encoding; /* of text and HTML */
};

struct composed {
	stralloc message;    /* LF line ends; without Bcc */
	stralloc recipients; /* addresses, a NUL after each; maybe twice */
	stralloc sender;     /* the address of From with a NUL, or "" */
};

/*
 * Composes. 0; or -1 with errno: ENOMEM, or EINVAL with *why (static) and *what
 * (points into the composition, or "") saying what is wrong. What *composed holds
 * is freed by compose_free, after -1 too.
 */
int compose(const struct composition *from, struct composed *composed,
	const char **what, const char **why);
void compose_free(struct composed *composed);

#endif
