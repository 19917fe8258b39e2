#ifndef MAIL_WORDS_H
#define MAIL_WORDS_H

/*
 * Encoded words (RFC 2047), made ready for the library: a run of them becomes one
 * word of UTF-8, so that a character may go across two words of one charset, as it
 * should not but does, and charsets are read as mail/charset.h reads them.
 */

#include <stddef.h>
#include <skalibs/stralloc.h>

/*
 * Appends text[0..len) with each run of encoded words, in B or Q, with nothing
 * but white space between them, as =?utf-8?B?...?=. What is no encoded word
 * stays as it is. The result is at most about six times as long. 0, or -1 with
 * errno ENOMEM.
 */
int words_join(const char *text, size_t len, stralloc *into);

#endif
