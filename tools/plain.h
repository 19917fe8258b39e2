#ifndef TOOLS_PLAIN_H
#define TOOLS_PLAIN_H

#include <stdio.h>

/*
 * Prints a text that somebody else chose: sound UTF-8 as it is, but every control
 * octet (C0, DEL, and C1 in UTF-8) and every octet that is no UTF-8 as \xNN, so
 * that it neither forges a line nor commands a terminal. So too what turns the order
 * of what is shown behind it (U+202A to U+202E, U+2066 to U+2069).
 */
void plain_text(FILE *file, const char *text);

/* The same of a line that is all the stranger's: what turns it may stand in it, for
 * the effect ends with the line, and languages that need it. */
void plain_line(FILE *file, const char *text);

#endif
