#ifndef LIB_RECORDS_H
#define LIB_RECORDS_H

/*
 * Records inside files: u32 length of the payload, u8 type, the payload, u32
 * CRC-32 of type and payload; numbers big-endian. A file may end in the middle
 * of a record when its writer was stopped: that tail is torn, and the reader
 * says so and stays before it.
 */

#include <stddef.h>
#include <stdint.h>
#include <skalibs/stralloc.h>

/* Octets that a record adds to its payload. */
#define RECORD_OVERHEAD 9
#define RECORD_PAYLOAD_MAX (16 * 1024 * 1024)

/* Append one record. 0, or -1 with errno ENOMEM or EMSGSIZE and *into as it
 * was. */
int
record_append(stralloc *into, uint8_t type, const void *payload, size_t length);

enum record_result {
	RECORD_OK,
	RECORD_END,  /* nothing is left */
	RECORD_TORN, /* what is left is not a whole record */
};

struct record_cursor {
	const unsigned char *at, *end;
};

struct record {
	uint8_t type;
	const void *payload; /* points into the octets read */
	size_t length;
};

void
record_start(struct record_cursor *cursor, const void *octets, size_t length);

/* Reads the next record. Only after RECORD_OK does the cursor move. */
enum record_result
record_next(struct record_cursor *cursor, struct record *record);

#endif
