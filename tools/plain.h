#ifndef TOOLS_PLAIN_H
#define TOOLS_PLAIN_H

#include <stdio.h>

/*
 * Prints a text that somebody else chose: sound UTF-8 as it is, but every control
 * octet (C0, DEL, and C1 in UTF-8) and every octet that is no UTF-8 as \xNN, so
 * that it neither forges a line nor commands a terminal.
 */
void plain_text(FILE *file, const char *text);

#endif
