#ifndef LIB_PACK_H
#define LIB_PACK_H

/*
 * Packing numbers and texts into octets, and reading them back. Numbers are
 * unsigned and big-endian. Appending goes to a stralloc; reading moves a cursor
 * whose failure sticks, so that a reader can read everything and ask once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <skalibs/stralloc.h>

/* Append. Return 0, or -1 with errno ENOMEM (EOVERFLOW: text too long for its
 * length field); the stralloc may then have grown but holds nothing new. */
int pack_u8(stralloc *into, uint8_t value);
int pack_u16(stralloc *into, uint16_t value);
int pack_u32(stralloc *into, uint32_t value);
int pack_u64(stralloc *into, uint64_t value);
/* A text with its u16 length before it. */
int pack_text(stralloc *into, const char *text, size_t length);

struct unpack {
	const unsigned char *at, *end;
	bool failed; /* something was missing: all results since are 0 */
};

void unpack_start(struct unpack *cursor, const void *octets, size_t length);
uint8_t unpack_u8(struct unpack *cursor);
uint16_t unpack_u16(struct unpack *cursor);
uint32_t unpack_u32(struct unpack *cursor);
uint64_t unpack_u64(struct unpack *cursor);

/* A text with its u16 length before it; points into the octets. NULL on
 * failure, and *length 0. */
const char *unpack_text(struct unpack *cursor, size_t *length);

/* Octets without a length; NULL on failure. */
const void *unpack_octets(struct unpack *cursor, size_t length);

/* True if nothing failed and nothing is left. */
bool unpack_ended(const struct unpack *cursor);

#endif
