#ifndef SMTPD_MOVED_H
#define SMTPD_MOVED_H

/*
 * Users who have moved (RFC 5321 section 3.4), by the lines of control/moved:
 *
 *   old@example.org:new@example.net           refused; our own clients are told
 *                                             the new address
 *   old@example.org:new@example.net:public    refused; everybody is told
 *   old@example.org:new@example.net:forward   taken for the new address; our own
 *                                             clients are told
 *   …:public:forward                          taken, and everybody is told
 *
 * Telling where somebody has gone is the administrator's decision for each
 * address (RFC 5321 sections 3.4 and 7.3), so "public" stands on its line.
 * Addresses match without regard to case. A ":" in an address cannot be written
 * here. The old one's domain is written in A-labels, and the new address is ASCII, so
 * that it can go into any message.
 */

#include <stdbool.h>
#include <stddef.h>
#include "lib/address.h"
#include "lib/settings.h"

struct moved {
	size_t line;	     /* in the file; 0: the address has not moved */
	struct path address; /* the new one */
	bool is_public, is_forwarded;
};

/*
 * Checks every line. 0; or -1 with a sentence in why that names file, line and
 * expectation.
 */
int moved_check(const struct setting_list *list, char *why, size_t size);

/* Looks for an address in a checked list; the first line that has it counts. */
void moved_find(const struct setting_list *list, const struct path *path,
	struct moved *moved);

#endif
