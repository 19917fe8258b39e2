#ifndef SMTPD_SENDERS_H
#define SMTPD_SENDERS_H

/*
 * Which senders belong to a login: the address that is the login itself; for a
 * login without a domain, that name in each local domain; and what the lines
 * "LOGIN PATTERN ..." of control/senderlogins give it, patterns as in
 * smtpd/patterns.h without exceptions. Case does not matter. An address with an
 * extension (name-extension) is another address: what belongs to whom is then for
 * the list to say.
 */

#include <stdbool.h>
#include <stddef.h>
#include "lib/address.h"
#include "lib/domains.h"
#include "lib/settings.h"

/* Checks control/senderlogins. 0; or -1 with a sentence in why that names the
 * line. */
int senders_check(const struct setting_list *list, char *why, size_t size);

/* Whether the address belongs to the login. The null sender belongs to all:
 * reports that a mail program sends have it (RFC 3798 section 2). */
bool
senders_belong(const struct setting_list *list, const struct domains *locals,
	const char *login, const struct path *sender);

/*
 * The same for the header: every address of every From field must belong. NULL;
 * or a sentence for the client. block[0..len) is the header, lib/fields.h.
 */
const char *
senders_header(const struct setting_list *list, const struct domains *locals,
	const char *login, const char *block, size_t len);

#endif
