#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include "queue/heap.h"

static bool
is_before(const struct heap_item *a, const struct heap_item *b)
{
	return a->major != b->major ? a->major < b->major : a->minor < b->minor;
}

static void
put(struct heap *heap, size_t place, struct heap_item *item)
{
	heap->item[place - 1] = item;
	item->place = place;
}

/* Moves an item towards the root until its parent is not after it. */
static void
rise(struct heap *heap, struct heap_item *item)
{
	size_t place = item->place;

	while (place > 1) {
		struct heap_item *parent = heap->item[place / 2 - 1];

		if (!is_before(item, parent))
			break;
		put(heap, place, parent);
		place /= 2;
	}
	put(heap, place, item);
}

/* Moves an item away from the root until no child is before it. */
static void
sink(struct heap *heap, struct heap_item *item)
{
	size_t place = item->place;

	for (size_t child; (child = place * 2) <= heap->count; place = child) {
		if (child < heap->count &&
			is_before(heap->item[child], heap->item[child - 1]))
			child++;
		if (!is_before(heap->item[child - 1], item))
			break;
		put(heap, place, heap->item[child - 1]);
	}
	put(heap, place, item);
}

int
heap_add(struct heap *heap, struct heap_item *item)
{
	assert(item->place == 0);
	if (heap->count == heap->room) {
		size_t room = heap->room ? heap->room * 2 : 8;
		struct heap_item **more =
			reallocarray(heap->item, room, sizeof *more);

		if (more == NULL)
			return -1;
		heap->item = more;
		heap->room = room;
	}
	heap->count++;
	put(heap, heap->count, item);
	rise(heap, item);
	return 0;
}

void
heap_remove(struct heap *heap, struct heap_item *item)
{
	size_t place = item->place;

	if (place == 0)
		return;
	assert(place <= heap->count && heap->item[place - 1] == item);
	struct heap_item *last = heap->item[--heap->count];
	item->place = 0;
	if (last == item)
		return;
	put(heap, place, last);
	rise(heap, last);
	sink(heap, last);
}

struct heap_item *
heap_first(const struct heap *heap)
{
	return heap->count == 0 ? NULL : heap->item[0];
}

void
heap_free(struct heap *heap)
{
	for (size_t i = 0; i < heap->count; i++)
		heap->item[i]->place = 0;
	free(heap->item);
	*heap = HEAP_ZERO;
}
