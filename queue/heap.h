#ifndef QUEUE_HEAP_H
#define QUEUE_HEAP_H

/*
 * A binary heap, smallest first, of things that know their place in it: an item
 * lies inside the structure that is ordered, so taking it out of the middle costs
 * no search. Items are the caller's; the heap owns only its array.
 */

#include <stddef.h>
#include <stdint.h>

struct heap_item {
	uint64_t major, minor; /* the order: by major, then by minor */
	size_t place;	       /* counted from 1; 0: in no heap */
};

struct heap {
	struct heap_item **item;
	size_t count, room;
};

#define HEAP_ZERO ((struct heap){0})

/* Puts an item in that is in no heap (asserted). 0, or -1 with ENOMEM. */
int heap_add(struct heap *heap, struct heap_item *item);

/* Takes an item out; nothing happens if it is in no heap. */
void heap_remove(struct heap *heap, struct heap_item *item);

/* The smallest item, or NULL. */
struct heap_item *heap_first(const struct heap *heap);

/* Frees the array. The items that are left count as being in no heap. */
void heap_free(struct heap *heap);

#endif
