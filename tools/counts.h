#ifndef TOOLS_COUNTS_H
#define TOOLS_COUNTS_H

/*
 * The table of countd: counters by key and window (lib/counter.h), at most as
 * many as was said when it was made. Time is handed in, in milliseconds of a
 * monotonic clock; the table has none of its own.
 *
 * A window is kept as two halves: what happened since it began, and what
 * happened in the one before, of which the part counts that has not slid out yet
 * (rounded up). A counter whose both halves are empty is forgotten. When the
 * table is full, a counter gives way to a new one: of some that are looked at,
 * the one with the least in it. What is held never gives way.
 */

#include <stddef.h>
#include <stdint.h>
#include <skalibs/stralloc.h>
#include "lib/counter.h"

struct count;

struct counts {
	struct count *slot; /* owned; open addressing, size a power of two */
	size_t size, used, most;
	size_t hand;	/* where the next look for what can give way begins */
	uint64_t lost;	/* counters that gave way */
	uint64_t seed;	/* of the hash */
	int is_changed; /* a window since counts_pack */
};

/* Room for most counters (1 to 10,000,000). 0, or -1 with errno. */
int counts_make(struct counts *counts, size_t most, uint64_t seed);

/* Safe twice. */
void counts_free(struct counts *counts);

/*
 * Adds amount to a counter. *total is what its window holds then. 0; or -1 if
 * there is no room even so (all that was looked at is held).
 */
int counts_add(struct counts *counts, const char *key, uint32_t window_s,
	uint32_t amount, int64_t now_ms, uint64_t *total);

/* Takes or gives back one of what is held of a key. Results as counts_add. */
int counts_hold(struct counts *counts, const char *key, int64_t now_ms,
	uint64_t *total);
void counts_release(struct counts *counts, const char *key);

/* --- its file --- */

/* When a table was written: what tells how long ago that is. */
struct counts_time {
	char boot[37];	/* the kernel's boot id, "" if it has none */
	int64_t now_ms; /* of the monotonic clock */
	int64_t wall_s; /* since 1970 */
};

/*
 * Appends the windows that are not empty to *into, as records (lib/records.h):
 * 'T' first, the time, then one 'C' each. Not what is held: those connections
 * end with their server. 0, or -1 with errno ENOMEM. Clears is_changed.
 */
int counts_pack(
	struct counts *counts, const struct counts_time *time, stralloc *into);

/*
 * Reads octets that counts_pack made into an empty table. The time that has
 * passed is that of the monotonic clock if both were of one boot; else of the
 * wall clock, and none if that stands before the file's. Stops at the first
 * thing that is not in order. Returns the number of counters; -1 if it has no
 * time.
 */
long counts_unpack(struct counts *counts, const struct counts_time *time,
	const void *octets, size_t len);

#endif
