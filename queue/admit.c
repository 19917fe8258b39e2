#include <stdlib.h>
#include <string.h>
#include "lib/deadline.h"
#include "queue/runner.h"

/*
 * Memory holds a bounded number of messages, and nobody may have all of them:
 * each channel at most half, and of that a sender and a destination half again.
 * What is beyond that, and what goes to a destination that is down, waits in a
 * folder of its own (waiting.c), so that incoming/ is always emptied and the next
 * message, of somebody else, is seen at once.
 */
#define CHANNEL_PART 2
#define FLOW_PART 4
/* A sender with fewer than this is let in even when its channel is full. */
#define SMALL 4

/* The key of a recipient's flow. 0, or -1. */
static int
key_of(const struct runner *runner, const struct message *message,
	const char *address, char *key)
{
	enum channel channel;
	char *destination;

	if (pick_destination(runner, message, address, &channel, &destination) <
		0)
		return -1;
	pick_key(channel, destination, address, key);
	free(destination);
	return 0;
}

/* The key that all recipients without a final outcome share. 0, or -1: there is
 * none. */
static int
only_key(const struct runner *runner, const struct message *message, char *key)
{
	const struct envelope *envelope = &message->file.envelope;
	char other[LAYOUT_DEST_LENGTH + 1];
	const char *last = NULL;
	bool is_ours = false;

	for (uint32_t i = 0; i < envelope->recipients; i++) {
		const char *address = envelope->recipient[i].address;
		enum outcome outcome = message->file.state[i].outcome;
		const char *at = strrchr(address, '@');

		if (outcome != 0 && outcome_is_final(outcome))
			continue;
		bool was_ours = is_ours;
		is_ours = ours_find_address(runner->ours, address) != OURS_NOT;
		if (last == NULL) {
			if (key_of(runner, message, address, key) < 0)
				return -1;
		} else if (at == NULL || strcmp(at, last) != 0 || is_ours ||
			   was_ours) {
			if (key_of(runner, message, address, other) < 0 ||
				strcmp(key, other) != 0)
				return -1;
		}
		last = at;
		if (last == NULL)
			return -1;
	}
	return last == NULL ? -1 : 0;
}

struct flow *
admit_only_flow(struct runner *runner, struct message *message)
{
	char key[LAYOUT_DEST_LENGTH + 1];

	if (only_key(runner, message, key) < 0)
		return NULL;
	return flows_get(&runner->flows, key, FLOW_DESTINATION);
}

bool
admit_has_room(const struct runner *runner)
{
	return runner->weight[CHANNEL_LOCAL] + runner->weight[CHANNEL_REMOTE] <
	       runner->active_max / 4 * 3;
}

bool
admit_channel_has_room(const struct runner *runner, enum channel channel)
{
	return runner->weight[channel] < runner->active_max / 8 * 3;
}

/* The flow that the message is to wait with, or NULL: it may be active. */
static struct flow *
queue_up(struct runner *runner, struct message *message, bool invited)
{
	struct flow *to = admit_only_flow(runner, message);
	struct flow *from = message->sender;
	unsigned most = runner->active_max;

	if (to != NULL && flow_is_down(to, deadline_now_ms()) &&
		!message_is_expired(runner, message) &&
		!bounce_owes_delay(runner, message))
		return to;
	if (invited || from == NULL)
		return NULL;
	/* what waits already goes first */
	if (from->users > most / FLOW_PART || from->has_waiting)
		return from;
	if (to != NULL && (to->users >= most / FLOW_PART || to->has_waiting))
		return to;
	/* the message counts already, for its channel and its sender */
	if (runner->weight[message->channel] > most / CHANNEL_PART &&
		from->users > SMALL)
		return from;
	return NULL;
}

void
admit(struct runner *runner, struct message *message, bool invited)
{
	struct flow *flow = queue_up(runner, message, invited);
	char place[LAYOUT_PATH_MAX];

	if (flow != NULL && waiting_put(runner, message, flow) == 0)
		return;
	layout_message(QUEUE_ACTIVE, message->id, place);
	if (message_move(runner, message, place) < 0)
		message_forget(runner, message);
	else
		message_list(runner, message);
}
