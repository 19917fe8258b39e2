#ifndef REMOTE_IDN_H
#define REMOTE_IDN_H

/*
 * Internationalized domain names (RFC 5890, RFC 5891): U-labels, as people write
 * them, become A-labels ("xn--…"), as DNS and everything that compares has them.
 * libidn2 does it, and is linked to the service `lookup` alone.
 */

#include <stddef.h>

#define IDN_ASCII_MAX 255

/*
 * Writes the domain, NUL-terminated UTF-8, as A-labels in lower case into ascii:
 * mapped as browsers and other mail programs do (UTS 46, non-transitional), then
 * checked by RFC 5891. Returns 0; or -1 with a few words in why: it is no such
 * name, or (is_temporary) memory is short.
 */
int idn_to_ascii(const char *domain, char ascii[IDN_ASCII_MAX + 1],
	int *is_temporary, char *why, size_t size);

#endif
