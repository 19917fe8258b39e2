#ifndef POP3D_LANGUAGE_H
#define POP3D_LANGUAGE_H

/*
 * What both parts of the POP3 server say alike: LANG (RFC 6856 section 3), and the
 * capabilities that hold in each state (RFC 2449 section 5).
 */

#include <stddef.h>

/* Lines with their CRLF, but for the last one. */
#define POP3_CAPABILITIES    \
	"TOP\r\n"            \
	"UIDL\r\n"           \
	"RESP-CODES\r\n"     \
	"AUTH-RESP-CODE\r\n" \
	"PIPELINING\r\n"     \
	"UTF8\r\n"           \
	"LANG\r\n"           \
	"LOGIN-DELAY 0\r\n"  \
	"EXPIRE NEVER\r\n"   \
	"IMPLEMENTATION keepmail"

/*
 * The answer to LANG with this argument ("" of length 0 for none), without its
 * last CRLF. English is all there is.
 */
const char *pop3_language(const char *argument, size_t length);

#endif
