#ifndef LIB_ESCAPE_H
#define LIB_ESCAPE_H

/*
 * Makes a stranger's octets fit to be shown on one line: in a log, in a trace
 * field, in a bounce. What comes out is octets 32 to 126 only.
 */

#include <stddef.h>

enum escape_style {
	ESCAPE_HEX,	/* others as \xNN, backslash as \\: can be read back */
	ESCAPE_MASK,	/* others as "?": one octet for one */
	ESCAPE_COMMENT, /* as ESCAPE_MASK, and ( ) \ " too: safe in a comment,
			   RFC 5322 section 3.2.2 */
};

/*
 * Writes text[0..len) in the style, with a NUL after it, into buffer[0..size);
 * cuts what does not fit, never inside an escape (size must not be 0). Returns
 * the length without the NUL.
 */
size_t escape_line(char *buffer, size_t size, const char *text, size_t len,
	enum escape_style style);

#endif
