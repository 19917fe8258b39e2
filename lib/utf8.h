#ifndef LIB_UTF8_H
#define LIB_UTF8_H

/*
 * UTF-8 as RFC 3629 has it: shortest form only, no surrogates, nothing above
 * U+10FFFF.
 */

#include <stddef.h>

/*
 * The octets (1 to 4) of the one well-formed character at the start of
 * text[0..len), or 0 if there is none. ASCII is one octet, NUL included.
 */
size_t utf8_scan(const char *text, size_t len);

/* Whether all of text[0..len) is well-formed. The empty text is. */
int utf8_valid(const char *text, size_t len);

#endif
