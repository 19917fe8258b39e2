#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/deadline.h"
#include "queue/destination.h"
#include "queue/runner.h"

/* The list of destinations, for an administrator: numbers that are in memory. */

static uint32_t
mail_of(const struct flow *flow)
{
	return flow->users + (flow->has_waiting ? 1 : 0);
}

/* Most mail first; of as much, those that are not up. */
static int
compare(const void *left, const void *right)
{
	const struct flow *a = *(struct flow *const *)left;
	const struct flow *b = *(struct flow *const *)right;

	if (mail_of(a) != mail_of(b))
		return mail_of(a) > mail_of(b) ? -1 : 1;
	if (a->state != b->state)
		return a->state > b->state ? -1 : 1;
	return strcmp(a->key, b->key);
}

static void
describe(const struct flow *flow, int64_t now_ms, struct destination *one)
{
	static const enum destination_state STATE[] = {
		[FLOW_UP] = DESTINATION_UP,
		[FLOW_DOWN] = DESTINATION_DOWN,
		[FLOW_PROBING] = DESTINATION_PROBING,
	};

	*one = (struct destination){
		.is_local = flow->channel == CHANNEL_LOCAL,
		.state = STATE[flow->state],
		.out = flow->out,
		.window = flow->window,
		.ready = (uint32_t)flow->ready.count,
		.messages = flow->users,
		.has_waiting = flow->has_waiting,
		.failures = flow->failures,
	};
	if (flow->state == FLOW_DOWN && flow->retry_ms > now_ms)
		one->probe_s =
			(uint32_t)((flow->retry_ms - now_ms + 999) / 1000);
	destination_text(one->name, sizeof one->name,
		flow->name == NULL ? "" : flow->name);
	destination_text(one->reply, sizeof one->reply,
		flow->reply == NULL ? "" : flow->reply);
}

int
destinations_pack(const struct runner *runner, stralloc *octets)
{
	const struct flows *flows = &runner->flows;
	struct flow **all = calloc(flows->count + 1, sizeof(struct flow *));
	int64_t now_ms = deadline_now_ms();
	uint32_t count = 0;

	if (all == NULL)
		return -1;
	for (unsigned i = 0; i < FLOWS_SLOTS; i++)
		for (struct flow *flow = flows->slot[i]; flow != NULL;
			flow = flow->next)
			if (flow->kind == FLOW_DESTINATION)
				all[count++] = flow;
	qsort(all, count, sizeof(struct flow *), compare);
	int result = destination_pack_count(octets, count);
	for (uint32_t i = 0; result == 0 && i < count && i < DESTINATIONS_MAX;
		i++) {
		struct destination one;

		describe(all[i], now_ms, &one);
		result = destination_pack(octets, &one);
	}
	free(all);
	return result;
}
