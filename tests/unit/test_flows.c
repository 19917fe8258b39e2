/*
 * Flows: who comes next, how much a destination gets, and when one that is down
 * is tried again.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "queue/flows.h"

static struct flow *
destination(struct flows *flows, const char *name)
{
	char key[LAYOUT_DEST_LENGTH + 1];

	layout_dest(name, key);
	struct flow *flow = flows_get(flows, key, FLOW_DESTINATION);
	assert_non_null(flow);
	flow->channel = CHANNEL_REMOTE;
	return flow;
}

static struct flow *
sender(struct flows *flows, const char *name)
{
	char key[LAYOUT_DEST_LENGTH + 1];

	flow_sender_key(name, CHANNEL_REMOTE, key);
	struct flow *flow = flows_get(flows, key, FLOW_SENDER);
	assert_non_null(flow);
	return flow;
}

static void
setup(struct flows *flows)
{
	memset(flows, 0, sizeof *flows);
	flows->window_max = 20;
	flows->backoff_min_ms = 1000;
	flows->backoff_max_ms = 5000;
}

/* What jobs.c does with the work that comes first. */
static struct heap_item *
serve(struct flows *flows, struct flow **from)
{
	struct flow *flow = flows_first(flows, CHANNEL_REMOTE);

	if (flow == NULL)
		return NULL;
	struct heap_item *item = heap_first(&flow->ready);
	heap_remove(&flow->ready, item);
	flows->served = item->minor;
	flow->out++;
	assert_int_equal(flow_turn(flows, flow), 0);
	*from = flow;
	return item;
}

static void
add(struct flows *flows, struct flow *to, struct flow *from,
	struct heap_item *item)
{
	item->major = 1;
	item->minor = flow_next_tag(flows, from);
	assert_int_equal(heap_add(&to->ready, item), 0);
	assert_int_equal(flow_turn(flows, to), 0);
}

/* A sender with hundreds ready does not stand before one with a single one. */
static void
a_burst_is_overtaken(void **state)
{
	struct heap_item burst[300] = {0}, one = {0};
	struct flow *from;
	struct flows flows;

	(void)state;
	setup(&flows);
	for (int i = 0; i < 300; i++) {
		char name[20] = {
			'd', (char)('a' + i / 26), (char)('a' + i % 26)};

		add(&flows, destination(&flows, name), sender(&flows, "bulk@x"),
			&burst[i]);
	}
	for (int i = 0; i < 10; i++)
		assert_ptr_equal(serve(&flows, &from), &burst[i]);
	add(&flows, destination(&flows, "other"), sender(&flows, "ann@x"),
		&one);
	/* at once, or after one that had the same tag */
	if (serve(&flows, &from) != &one)
		assert_ptr_equal(serve(&flows, &from), &one);
	for (unsigned i = 0; i < FLOWS_SLOTS; i++)
		for (struct flow *flow = flows.slot[i]; flow; flow = flow->next)
			heap_free(&flow->ready);
	flows_free(&flows);
}

/* One destination has no more than its window out; others go on. */
static void
a_window_holds(void **state)
{
	struct heap_item item[50] = {0}, other = {0};
	struct flow *from, *busy;
	struct flows flows;
	unsigned before;

	(void)state;
	setup(&flows);
	busy = destination(&flows, "busy");
	for (int i = 0; i < 50; i++)
		add(&flows, busy, sender(&flows, "s"), &item[i]);
	before = busy->window;
	for (unsigned i = 0; i < before; i++)
		assert_non_null(serve(&flows, &from));
	assert_null(serve(&flows, &from));
	add(&flows, destination(&flows, "free"), sender(&flows, "s"), &other);
	assert_ptr_equal(serve(&flows, &from), &other);
	/* it grows with each success, up to the most */
	for (int i = 0; i < 100; i++)
		flow_reached(&flows, busy);
	assert_int_equal(busy->window, 20);
	flow_broke(busy);
	assert_int_equal(busy->window, 10);
	for (int i = 0; i < 10; i++)
		flow_broke(busy);
	assert_int_equal(busy->window, 1);
	heap_free(&busy->ready);
	flows_free(&flows);
}

static void
one_probe_an_interval(void **state)
{
	struct flow *flow;
	struct flows flows;
	int64_t now_ms = 100000;

	(void)state;
	setup(&flows);
	flow = destination(&flows, "dead");
	flow->users = 1;
	assert_false(flow_is_down(flow, now_ms));
	assert_true(flow_unreachable(&flows, flow, now_ms));
	/* others that were out fail with it: that counts once */
	assert_false(flow_unreachable(&flows, flow, now_ms));
	assert_int_equal(flow->retry_ms, now_ms + 1000);
	for (int i = 1; i < 6; i++) {
		static const int64_t wait_ms[] = {
			0, 2000, 4000, 5000, 5000, 5000};

		assert_true(flow_is_down(flow, flow->retry_ms - 1));
		now_ms = flow->retry_ms;
		assert_false(flow_is_down(flow, now_ms));
		flow->state = FLOW_PROBING; /* as add_pick does */
		assert_true(flow_is_down(flow, now_ms));
		assert_true(flow_unreachable(&flows, flow, now_ms));
		assert_int_equal(flow->retry_ms - now_ms, wait_ms[i]);
	}
	flow->state = FLOW_PROBING;
	flow_reached(&flows, flow);
	assert_false(flow_is_down(flow, now_ms));
	assert_int_equal(flow->failures, 0);
	flow_unreachable(&flows, flow, now_ms);
	assert_int_equal(flow->retry_ms - now_ms, 1000);
	flow_retry_now(flow, now_ms);
	assert_false(flow_is_down(flow, now_ms));
	flows_free(&flows);
}

static void
the_ring_of_those_that_wait(void **state)
{
	struct flow *a, *b, *c;
	struct flows flows;

	(void)state;
	setup(&flows);
	a = destination(&flows, "a");
	b = destination(&flows, "b");
	c = destination(&flows, "c");
	flow_set_waiting(&flows, a, true);
	flow_set_waiting(&flows, b, true);
	flow_set_waiting(&flows, b, true);
	flow_set_waiting(&flows, c, true);
	assert_ptr_equal(flows.waiting, a);
	assert_ptr_equal(a->next_waiting, b);
	assert_ptr_equal(b->next_waiting, c);
	assert_ptr_equal(c->next_waiting, a);
	flow_set_waiting(&flows, b, false);
	assert_ptr_equal(a->next_waiting, c);
	flow_set_waiting(&flows, a, false);
	assert_ptr_equal(flows.waiting, c);
	assert_ptr_equal(c->next_waiting, c);
	flow_set_waiting(&flows, c, false);
	assert_null(flows.waiting);
	/* what nobody needs is forgotten, what is down is not */
	flow_unreachable(&flows, a, 1000);
	flows_release_idle(&flows, 1000);
	assert_int_equal(flows.count, 1);
	assert_ptr_equal(flows_find(&flows, a->key), a);
	flows_release_idle(&flows, 1000000);
	assert_int_equal(flows.count, 0);
	flows_free(&flows);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_overtaken),
		cmocka_unit_test(a_window_holds),
		cmocka_unit_test(one_probe_an_interval),
		cmocka_unit_test(the_ring_of_those_that_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
