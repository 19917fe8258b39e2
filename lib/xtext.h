#ifndef LIB_XTEXT_H
#define LIB_XTEXT_H

/*
 * xtext, RFC 3461 section 4: how ENVID and ORCPT write any printable text
 * without blanks.
 *
 *   xtext   = *( xchar / hexchar )
 *   xchar   = 33..126 except "+" and "="
 *   hexchar = "+" two hexadecimal digits, upper case
 *
 * What is written so must be printable ASCII (32..126) itself: sections 4.2
 * and 4.4. Nothing here allocates or sets errno.
 */

#include <stddef.h>

/*
 * Decodes text[0..len) into buffer with a NUL after it; len + 1 octets are
 * always enough. Returns the length without the NUL; or -1 if it is not xtext,
 * stands for an octet outside 32..126, or does not fit. Lower case digits are
 * taken, too, because clients send them.
 */
long xtext_decode(char *buffer, size_t size, const char *text, size_t len);

/*
 * Writes printable text (32..126) as xtext into buffer, with a NUL after it.
 * Returns the length without the NUL; or -1 if it does not fit or an octet is
 * outside.
 */
long xtext_encode(char *buffer, size_t size, const char *text, size_t len);

/* Whether text[0..len) is an ENVID: xtext, and not empty. */
int xtext_is_envid(const char *text, size_t len);

/*
 * Whether text[0..len) is an ORCPT: an address type (an atom), ";", and xtext
 * that is not empty. Returns the octets before the ";", or 0 if it is none.
 */
size_t xtext_orcpt_type(const char *text, size_t len);

#endif
