#ifndef TOOLS_JSON_H
#define TOOLS_JSON_H

/*
 * JSON (RFC 8259) on standard output, for tools that other programs read.
 */

/*
 * Prints the text as a string with its quotes: control characters, quotes
 * and backslashes escaped, sound UTF-8 as it is, any other octet as U+FFFD, so that
 * whatever a stranger wrote is sound JSON.
 */
void json_text(const char *text);

#endif
