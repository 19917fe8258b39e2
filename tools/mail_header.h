#ifndef TOOLS_MAIL_HEADER_H
#define TOOLS_MAIL_HEADER_H

/*
 * What sendmail does with the header of a message that a person or a program
 * hands in: read the recipients from it (-t), take out what must not travel,
 * and add what RFC 5322 section 3.6 demands and is not there.
 *
 * A message that has any Resent- field was resent (section 3.6.6): then the
 * Resent- fields name the recipients, and what is added is added as Resent-. Of
 * several sets the first counts, the newest; a set ends at a Received field, and where
 * one of its names comes again after others.
 */

#include <stddef.h>
#include <stdint.h>
#include <skalibs/stralloc.h>
#include "lib/address.h"

enum mail_header_result {
	MAIL_HEADER_OK,
	MAIL_HEADER_BAD,     /* a field that names recipients cannot be read */
	MAIL_HEADER_STOPPED, /* each() returned other than 0 */
};

/*
 * Calls each(context, path) for every address in To, Cc and Bcc. Addresses may
 * lack a domain (PATH_LOCAL). On MAIL_HEADER_BAD *bad (at least size octets)
 * names the field, escaped, for a message to a person.
 */
enum mail_header_result mail_header_recipients(const char *block, size_t length,
	int (*each)(void *context, const struct path *path), void *context,
	char *bad, size_t size);

/* What to add; all of it without control characters. */
struct mail_header_additions {
	const char *from;	/* body of From, see mail_header_from */
	const char *message_id; /* with its brackets */
	int64_t time_s;		/* for Date */
};

/*
 * Appends the new header with the empty line after it to *into, lines ended by
 * LF as they came: Date, Message-ID and From first if they are missing, then
 * every field but Bcc, Resent-Bcc, Return-Path and Content-Length (which says
 * something about another form of the message). An mbox separator line goes.
 * *body_at is where the body starts in the block. 0, or -1 with ENOMEM.
 */
int mail_header_rewrite(const char *block, size_t length,
	const struct mail_header_additions *additions, stralloc *into,
	size_t *body_at);

/*
 * Appends the body of a From field, `name <address>` or the address alone if
 * the name is "". The name is quoted if it must be (RFC 5322 section 3.2.4) and
 * encoded if it is not ASCII (RFC 2047). 0, or -1 with errno ENOMEM, or EINVAL
 * if the name has a control character or is longer than 200 octets.
 */
int mail_header_from(const char *name, const char *address, stralloc *into);

#endif
