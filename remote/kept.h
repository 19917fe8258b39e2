#ifndef REMOTE_KEPT_H
#define REMOTE_KEPT_H

/*
 * What the DNS has said of destinations' hosts, kept by remote's parent for as long
 * as it holds, and handed to the next worker of the same destination: that one has
 * it in its memory, being forked.
 *
 * A worker tells it in a record of struct kept_note. It has listened to strangers
 * and may be another's by then: a note is taken only in the exact form below, and
 * counts for the destination that the parent knows the worker to have, no other.
 * So a worker can spoil its own destination, for MX_TTL_MAX_S after its last note,
 * as it could anyway while it lives; whoever takes the list out has mx_recall look
 * whether it may lead where it leads.
 */

#include <stddef.h>
#include <stdint.h>
#include "queue/layout.h"
#include "remote/mx.h"

#define KEPT_MAGIC 0x6b726b70u /* "krkp" */
/* Destinations; of more the one whose time is nearest gives way. About 8 KB
 * each. */
#define KEPT_MAX 1000

struct kept_note {
	uint32_t magic;
	uint32_t ttl_s; /* 0: what was kept is not good */
	uint32_t count; /* of list.entry; the rest of the list is nothing */
	struct mx_address entry[MX_ADDRESSES_MAX];
};

struct kept {
	struct kept *next;
	char dest[LAYOUT_DEST_LENGTH + 1];
	int64_t until_ms; /* monotonic */
	struct mx_list list;
};

/* Start it zeroed. */
struct kept_table {
	struct kept *first;
	unsigned count;
};

/* Makes the note that tells the list, for its ttl_s. */
void kept_tell(const struct mx_list *list, struct kept_note *note);

/*
 * Reads len octets as a note. Returns 0 with *list, which is zero where the note
 * says nothing: families known, names domains in lower case. Or -1.
 */
int kept_read(const void *octets, size_t len, struct mx_list *list);

/* Keeps the list (copied) for the destination from now on for its ttl_s, in place
 * of what was kept; with 0, or without memory, nothing is. */
void kept_put(struct kept_table *table, const char *dest,
	const struct mx_list *list, int64_t now_ms);

/* What is kept for the destination and still holds, or NULL. */
const struct kept *
kept_find(const struct kept_table *table, const char *dest, int64_t now_ms);

/* Forgets everything. */
void kept_end(struct kept_table *table);

#endif
