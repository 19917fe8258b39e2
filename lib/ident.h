#ifndef LIB_IDENT_H
#define LIB_IDENT_H

/*
 * Message ids: 20 characters of 0-9a-z without i, l, o, u. Eleven give the
 * microsecond of creation (so ids sort by time), nine are 45 bits from the
 * kernel's random source (so ids cannot be guessed).
 */

#include <stddef.h>
#include <stdint.h>

#define IDENT_LENGTH 20

/* Makes a new id with its NUL. 0, or -1 with errno: without randomness there is
 * no id. */
int ident_make(char id[IDENT_LENGTH + 1]);

/* True if text is an id. */
int ident_valid(const char *text, size_t length);

/* The microsecond since the epoch in a valid id. */
uint64_t ident_time_us(const char *id);

#endif
