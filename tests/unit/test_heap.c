/*
 * The heap of what is ready: smallest first, and out of the middle.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "queue/heap.h"

#define ITEMS 500

static void
comes_out_in_order(void **state)
{
	struct heap_item item[ITEMS] = {0};
	struct heap heap = HEAP_ZERO;
	struct heap_item *first;
	uint64_t random = 88172645463325252u, last = 0;
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < ITEMS; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		item[i].major = random % 3;
		item[i].minor = random % 100;
		assert_int_equal(heap_add(&heap, &item[i]), 0);
	}
	for (size_t i = 0; i < ITEMS; i += 7)
		heap_remove(&heap, &item[i]);
	while ((first = heap_first(&heap)) != NULL) {
		uint64_t order = first->major * 1000 + first->minor;

		assert_true(order >= last);
		assert_true((first - item) % 7 != 0);
		last = order;
		heap_remove(&heap, first);
		assert_int_equal(first->place, 0);
		count++;
	}
	assert_int_equal(count, ITEMS - (ITEMS + 6) / 7);
	heap_free(&heap);
}

static void
lets_go_of_what_is_left(void **state)
{
	struct heap_item one = {.minor = 2}, two = {.minor = 1};
	struct heap heap = HEAP_ZERO;

	(void)state;
	assert_null(heap_first(&heap));
	assert_int_equal(heap_add(&heap, &one), 0);
	assert_int_equal(heap_add(&heap, &two), 0);
	assert_ptr_equal(heap_first(&heap), &two);
	heap_free(&heap);
	assert_int_equal(one.place, 0);
	heap_remove(&heap, &one);
	assert_null(heap_first(&heap));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_out_in_order),
		cmocka_unit_test(lets_go_of_what_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
