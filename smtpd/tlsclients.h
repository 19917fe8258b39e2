#ifndef SMTPD_TLSCLIENTS_H
#define SMTPD_TLSCLIENTS_H

/*
 * control/tlsclients: whose certificate lets a client relay. A line is the SHA-256
 * of a certificate in hexadecimal, with or without colons, whoever signed it; or
 * what a certificate that a known authority signed says of its owner: an address,
 * or a name with a dot in it. Case does not matter.
 */

#include <stddef.h>
#include "lib/settings.h"

/* 0; or -1 with a sentence in why that names file, line and expectation. */
int tlsclients_check(const struct setting_list *list, char *why, size_t size);

/*
 * The number of the first line of a checked list that is the fingerprint or the
 * identity, 0 for none. "" is neither.
 */
size_t tlsclients_find(const struct setting_list *list, const char *fingerprint,
	const char *identity);

#endif
