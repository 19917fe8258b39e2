#ifndef LIB_FIELDS_H
#define LIB_FIELDS_H

/*
 * Goes through the header fields of a message (RFC 5322 section 2.2) in stored
 * form (LF line ends). The one decision in the suite about where a header
 * ends: at an empty line, or without one at the first line that can be no part
 * of it.
 *
 *   field        = name *WSP ":" body LF *( WSP more LF )
 *   name         = 1*(33..126 except ":")
 *
 * A first line that begins with "From " or ">From " (an mbox separator) is
 * passed over. A line that begins with white space before any field is no part
 * of a header. A CR before an LF belongs to the line end. The block need not
 * be the whole message: the caller bounds it (FIELDS_BLOCK_MAX is what our
 * programs look at), and a field that the bound cuts is given as far as it
 * goes. Linear in the block; nothing allocates.
 */

#include <stddef.h>

#define FIELDS_BLOCK_MAX (256 * 1024)

struct fields {
	const char *block; /* not owned */
	size_t len;
	size_t at;	/* where the next field starts */
	size_t body_at; /* after the last field: where the body starts, after
			      the empty line; len if there is none */
	int blank;	/* after the last field: an empty line was there */
	int done;
};

/* All of it points into the block. */
struct field {
	const char *start; /* the first octet of the name */
	size_t len;	   /* octets of the field, its last line end included */
	const char *name;
	size_t name_len;
	const char *body; /* what follows the colon, folds as they stand */
	size_t body_len;  /* without the last line end */
};

void fields_start(struct fields *fields, const char *block, size_t len);

/* Returns 1 with the next field, or 0 at the end of the header. */
int fields_next(struct fields *fields, struct field *field);

/* Whether the field has this name (ASCII, any case). */
int field_is(const struct field *field, const char *name);

/*
 * Copies the body without its folds (each line end removed, the white space
 * kept) and without white space at both ends, with a NUL after it; cut to
 * size - 1 octets (size must not be 0). Returns the length without the NUL.
 */
size_t field_unfold(const struct field *field, char *buffer, size_t size);

/* How many fields of this name the block has. */
size_t fields_count(const char *block, size_t len, const char *name);

#endif
