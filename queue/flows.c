#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/deadline.h"
#include "queue/destination.h"
#include "queue/flows.h"

/* A new destination gets so many jobs at once. */
#define WINDOW_START 4

/* Keys are hexadecimal digits of a hash: the first ones are a fair slot. */
static unsigned
slot_of(const char *key)
{
	unsigned slot = 0;

	for (unsigned i = 0; i < 4; i++)
		slot = slot * 16 + (unsigned)(key[i] <= '9'
						      ? key[i] - '0'
						      : key[i] - 'a' + 10);
	return slot % FLOWS_SLOTS;
}

struct flow *
flows_find(const struct flows *flows, const char *key)
{
	struct flow *flow = flows->slot[slot_of(key)];

	while (flow != NULL && strcmp(flow->key, key) != 0)
		flow = flow->next;
	return flow;
}

struct flow *
flows_get(struct flows *flows, const char *key, enum flow_kind kind)
{
	struct flow *flow = flows_find(flows, key);

	if (flow == NULL) {
		if (flows->count == FLOWS_MAX)
			return NULL;
		flow = calloc(1, sizeof *flow);
		if (flow == NULL)
			return NULL;
		memcpy(flow->key, key, sizeof flow->key);
		flow->window = WINDOW_START < flows->window_max
				       ? WINDOW_START
				       : flows->window_max;
		struct flow **slot = &flows->slot[slot_of(key)];
		flow->next = *slot;
		*slot = flow;
		flows->count++;
	}
	if (flow->kind == FLOW_UNKNOWN)
		flow->kind = kind;
	return flow;
}

void
flow_sender_key(const char *sender, enum channel channel,
	char key[LAYOUT_DEST_LENGTH + 1])
{
	char text[1200];

	/* no destination's text begins so */
	snprintf(
		text, sizeof text, "%s-from:%s", channel_name(channel), sender);
	layout_dest(text, key);
}

/* --- order --- */

uint64_t
flow_next_tag(struct flows *flows, struct flow *sender)
{
	if (sender->tag < flows->served)
		sender->tag = flows->served;
	return ++sender->tag;
}

static bool
has_turn(const struct flow *flow)
{
	if (flow->ready.count == 0 || flow->state == FLOW_DOWN ||
		flow->is_stalled)
		return false;
	return flow->out < (flow->state == FLOW_PROBING ? 1 : flow->window);
}

int
flow_turn(struct flows *flows, struct flow *flow)
{
	struct heap *turns = &flows->turns[flow->channel];

	heap_remove(turns, &flow->turn);
	if (!has_turn(flow))
		return 0;
	flow->turn.major = heap_first(&flow->ready)->minor;
	return heap_add(turns, &flow->turn);
}

struct flow *
flows_first(const struct flows *flows, enum channel channel)
{
	struct heap_item *first = heap_first(&flows->turns[channel]);

	return first == NULL ? NULL
			     : (struct flow *)((char *)first -
					       offsetof(struct flow, turn));
}

/* --- up and down --- */

bool
flow_is_down(const struct flow *flow, int64_t now_ms)
{
	if (flow->state == FLOW_PROBING || flow->is_stalled)
		return true;
	return flow->state == FLOW_DOWN && now_ms < flow->retry_ms;
}

void
flow_reached(struct flows *flows, struct flow *flow)
{
	flow->failures = 0;
	if (flow->state != FLOW_UP) {
		flow->state = FLOW_UP;
		flow->window = WINDOW_START;
	} else {
		flow->window++;
	}
	if (flow->window > flows->window_max)
		flow->window = flows->window_max;
}

void
flow_broke(struct flow *flow)
{
	flow->window = flow->window > 1 ? flow->window / 2 : 1;
}

bool
flow_unreachable(struct flows *flows, struct flow *flow, int64_t now_ms)
{
	int64_t wait_ms = flows->backoff_min_ms;

	/* jobs that were out together fail together: that counts once */
	if (flow->state == FLOW_DOWN)
		return false;
	for (unsigned i = 0; i < flow->failures; i++)
		if ((wait_ms *= 2) > flows->backoff_max_ms)
			break;
	if (wait_ms > flows->backoff_max_ms)
		wait_ms = flows->backoff_max_ms;
	flow->failures++;
	flow->state = FLOW_DOWN;
	flow->retry_ms = now_ms + wait_ms;
	flow->window = 1;
	return true;
}

void
flow_retry_now(struct flow *flow, int64_t now_ms)
{
	if (flow->state == FLOW_DOWN)
		flow->retry_ms = now_ms;
}

/* --- for people --- */

void
flow_set_name(struct flow *flow, const char *name)
{
	if (flow->name == NULL)
		flow->name = strndup(name, DESTINATION_NAME_MAX);
}

void
flow_set_reply(struct flow *flow, const char *reply)
{
	free(flow->reply);
	flow->reply =
		reply == NULL ? NULL : strndup(reply, DESTINATION_REPLY_MAX);
}

static void
free_flow(struct flow *flow)
{
	heap_free(&flow->ready);
	free(flow->name);
	free(flow->reply);
	free(flow);
}

/* --- the ring of those with mail in waiting/ --- */

void
flow_set_waiting(struct flows *flows, struct flow *flow, bool has)
{
	if (flow->has_waiting == has)
		return;
	flow->has_waiting = has;
	if (!has) {
		if (flows->waiting == flow)
			flows->waiting = flow->next_waiting == flow
						 ? NULL
						 : flow->next_waiting;
		flow->previous_waiting->next_waiting = flow->next_waiting;
		flow->next_waiting->previous_waiting = flow->previous_waiting;
		flow->next_waiting = flow->previous_waiting = NULL;
	} else if (flows->waiting == NULL) {
		flow->next_waiting = flow->previous_waiting = flow;
		flows->waiting = flow;
	} else {
		flow->next_waiting = flows->waiting;
		flow->previous_waiting = flows->waiting->previous_waiting;
		flow->previous_waiting->next_waiting = flow;
		flow->next_waiting->previous_waiting = flow;
	}
}

/* --- the end --- */

/* A destination that was down is remembered for as long again. */
static bool
is_worth_keeping(
	const struct flows *flows, const struct flow *flow, int64_t now_ms)
{
	if (flow->users > 0 || flow->out > 0 || flow->has_waiting ||
		flow->is_pinned)
		return true;
	return flow->state != FLOW_UP &&
	       now_ms < flow->retry_ms + flows->backoff_max_ms;
}

void
flow_release(struct flows *flows, struct flow *flow, int64_t now_ms)
{
	struct flow **link = &flows->slot[slot_of(flow->key)];

	if (is_worth_keeping(flows, flow, now_ms))
		return;
	assert(flow->ready.count == 0 && flow->folder == NULL);
	heap_remove(&flows->turns[flow->channel], &flow->turn);
	while (*link != flow)
		link = &(*link)->next;
	*link = flow->next;
	flows->count--;
	free_flow(flow);
}

void
flows_release_idle(struct flows *flows, int64_t now_ms)
{
	for (unsigned i = 0; i < FLOWS_SLOTS; i++) {
		struct flow *flow = flows->slot[i], *next;

		for (; flow != NULL; flow = next) {
			next = flow->next;
			flow_release(flows, flow, now_ms);
		}
	}
}

void
flows_free(struct flows *flows)
{
	for (unsigned i = 0; i < FLOWS_SLOTS; i++)
		for (struct flow *flow = flows->slot[i], *next; flow != NULL;
			flow = next) {
			next = flow->next;
			free_flow(flow);
		}
	free(flows->turns[CHANNEL_LOCAL].item);
	free(flows->turns[CHANNEL_REMOTE].item);
	memset(flows, 0, sizeof *flows);
}
