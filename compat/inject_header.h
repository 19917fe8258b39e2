#ifndef COMPAT_INJECT_HEADER_H
#define COMPAT_INJECT_HEADER_H

/*
 * The header of a message as qmail-inject makes it: addresses whole, Bcc and
 * Return-Path gone, what is missing added. Names of fields are those of RFC 5322,
 * with "Resent-" before them if any such field is there.
 */

#include <stdbool.h>
#include <stddef.h>
#include <skalibs/stralloc.h>
#include "compat/rewrite.h"
#include "lib/address.h"

struct inject_header {
	struct rewrite rewrite;
	bool drops_from, drops_id;
	/* Bodies of what is added if it is missing; no control characters. */
	const char *from, *date, *message_id;
	/* control characters aside, any text: addresses, one a line; or NULL */
	const char *followup_lists;
	/* Called for each recipient that the header names; may be NULL. Other
	 * than 0 stops. */
	int (*each)(void *context, const struct path *path);
	void *context;
};

enum inject_result {
	INJECT_OK,
	INJECT_BAD,	/* a field with recipients cannot be read: *bad */
	INJECT_STOPPED, /* each() did so */
	INJECT_MEMORY,
};

/*
 * Appends the header of block[0..len) with the empty line after it to *into; the
 * body starts at *body_at. bad (size octets) gets the field for a person.
 */
enum inject_result
inject_header(const struct inject_header *inject, const char *block, size_t len,
	stralloc *into, size_t *body_at, char *bad, size_t size);

/*
 * The sender that the last Return-Path field names, appended to *into without
 * brackets. 1 if there is one, 0 if not, -1 with ENOMEM.
 */
int inject_return_path(const struct rewrite *rewrite, const char *block,
	size_t len, stralloc *into);

#endif
