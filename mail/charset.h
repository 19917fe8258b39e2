#ifndef MAIL_CHARSET_H
#define MAIL_CHARSET_H

/*
 * Texts from the charset that they say they are in, and to a terminal's.
 */

#include <stddef.h>
#include <stdio.h>
#include <skalibs/stralloc.h>

/*
 * Appends text[0..len) to *into as sound UTF-8, by iconv(3). charset is a label as
 * it stands in a message (any case; NULL or "": none). What senders mislabel is
 * read as they mean it: ISO-8859-1 and ASCII with octets that these do not have as
 * windows-1252, GB2312 as GB18030, and so on. Without a label, or with one that
 * iconv does not know, sound UTF-8 is taken as such, all else as windows-1252. What
 * cannot be converted becomes U+FFFD. 0, or -1 with errno ENOMEM.
 */
int charset_to_utf8(
	const char *text, size_t len, const char *charset, stralloc *into);

/* Whether iconv knows the charset. */
int charset_known(const char *charset);

/*
 * Prints UTF-8 that somebody else chose, to a terminal or a file in the charset
 * (NULL: UTF-8): control characters and octets that are no UTF-8 as \xNN
 * (tools/plain.h), and "?" for what the charset has not. Line ends and tabs of
 * text[0..len) stay if lines is not 0; a CR before a line end goes.
 */
void charset_print(FILE *file, const char *charset, const char *text,
	size_t len, int lines);

#endif
