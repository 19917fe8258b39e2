#ifndef MAIL_HTML_H
#define MAIL_HTML_H

/*
 * HTML as plain text, for a message that has no other: tags go, block elements
 * become lines, items of lists get "- ", and where a link leads stands behind it in
 * brackets. No styles, no tables, nothing fetched. Linear in the text.
 */

#include <stddef.h>
#include <skalibs/stralloc.h>

/*
 * Appends the rendition of html[0..len), UTF-8, to *into: UTF-8 if html is. White
 * space is collapsed but in <pre>; the last line has its line end. 0, or -1 with
 * errno ENOMEM.
 */
int html_to_text(const char *html, size_t len, stralloc *into);

/*
 * The charset that the beginning of html names in a <meta>, in lower case, or "" in
 * *label if it names none, or UTF-16, which it cannot be if that could be read.
 */
#define HTML_CHARSET_MAX 40
void
html_charset(const char *html, size_t len, char label[HTML_CHARSET_MAX + 1]);

#endif
