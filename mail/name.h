#ifndef MAIL_NAME_H
#define MAIL_NAME_H

/*
 * Names for files, made from what a stranger called an attachment.
 */

#include <stddef.h>

/* Octets of a name, without its NUL. */
#define NAME_MAX_OCTETS 160

/*
 * Writes a name for a new file: what follows the last slash or backslash of
 * wanted (NULL: none), as UTF-8, with "_" for each control character, each octet
 * that is no UTF-8, each character that turns or hides what stands beside it
 * (bidirectional controls, zero width), and each of : * ? " < > | that some file
 * system refuses; and for a first ".", "-" or "~". White space and dots at its end
 * are cut off; what is too long is cut before its extension. If nothing is left it
 * is "part-NUMBER" with an extension that goes with the type ("text/plain"; may be
 * NULL).
 *
 * The name is never empty, never begins with a dot, and has no slash and no
 * control character. Returns its length.
 */
size_t name_for_file(char into[NAME_MAX_OCTETS + 1], const char *wanted,
	const char *type, unsigned number);

/*
 * Writes the variant of a name for the case that it is taken: "-TRY" before the
 * extension. The name is one that name_for_file made; try is at most 9999.
 */
void
name_variant(char into[NAME_MAX_OCTETS + 8], const char *name, unsigned try);

/*
 * The type of a file by its extension, of those that people send most; otherwise
 * "application/octet-stream". Static.
 */
const char *name_type(const char *name);

#endif
