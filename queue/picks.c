#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "lib/verp.h"
#include "queue/runner.h"

/* A message with more destinations than this has them served in turns. */
#define PICKS_A_MESSAGE 1000

/* A recipient that is due, and where it goes. */
struct due {
	enum channel channel;
	char key[LAYOUT_DEST_LENGTH + 1]; /* of the flow */
	char *destination;		  /* owned */
	uint32_t recipient;
	uint32_t attempts;
};

static bool
is_final(const struct message_recipient_state *state)
{
	return state->outcome != 0 && outcome_is_final(state->outcome);
}

static bool
is_due(const struct runner *runner, const struct message *message,
	uint32_t recipient, uint64_t now_ms)
{
	const struct message_recipient_state *state =
		&message->file.state[recipient];

	if (message->in_hand[recipient] != 0 || is_final(state))
		return false;
	return state->outcome == 0 ||
	       schedule_is_due(&runner->schedule, state->next_due_ms, now_ms) ||
	       state->attempt_ms < message->due_before_ms;
}

int
pick_destination(const struct runner *runner, const struct message *message,
	const char *address, enum channel *channel, char **destination)
{
	const char *at = strrchr(address, '@');
	const char *domain = at == NULL ? "" : at + 1;
	char text[ROUTE_TEXT_SIZE] = "local";

	*channel = CHANNEL_LOCAL;
	/* When the database cannot be read, local waits for it: nothing that may
	 * be ours goes elsewhere. */
	if (ours_find_address(runner->ours, address) == OURS_NOT) {
		*channel = CHANNEL_REMOTE;
		/* an administrator has said where this one goes */
		if (message->file.route != NULL)
			snprintf(text, sizeof text, "%s", message->file.route);
		else if (route_destination(&runner->routes, domain,
				 strlen(domain), text, sizeof text) < 0)
			return -1;
	}
	*destination = strdup(text);
	return *destination == NULL ? -1 : 0;
}

void
pick_key(enum channel channel, const char *destination, const char *address,
	char key[LAYOUT_DEST_LENGTH + 1])
{
	char text[ENVELOPE_ADDRESS_MAX + 8] = "local:";
	const char *at = strrchr(address, '@');

	if (channel == CHANNEL_REMOTE) {
		layout_dest(destination, key);
		return;
	}
	/* user-list@domain is the user's */
	size_t user = strcspn(address, "-+@");
	snprintf(text + 6, sizeof text - 6, "%.*s%s", (int)user, address,
		at == NULL ? "" : at);
	for (char *p = text; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	layout_dest(text, key);
}

void
pick_name(struct flow *flow, const char *destination, const char *address)
{
	char text[ENVELOPE_ADDRESS_MAX + 1];
	const char *at = strrchr(address, '@');

	if (flow->name != NULL)
		return;
	if (flow->channel == CHANNEL_REMOTE) /* settings may follow */
		snprintf(text, sizeof text, "%.*s",
			(int)strcspn(destination, " \t"), destination);
	else
		snprintf(text, sizeof text, "%.*s%s",
			(int)strcspn(address, "-+@"), address,
			at == NULL ? "" : at);
	flow_set_name(flow, text);
}

struct flow *
pick_flow(const struct runner *runner, const struct message *message,
	const char *address)
{
	char key[LAYOUT_DEST_LENGTH + 1];
	enum channel channel;
	char *destination;

	if (pick_destination(runner, message, address, &channel, &destination) <
		0)
		return NULL;
	pick_key(channel, destination, address, key);
	free(destination);
	return flows_find(&runner->flows, key);
}

/* Jobs hold recipients of one channel, destination and number of attempts. */
static int
compare(const void *left, const void *right)
{
	const struct due *a = left, *b = right;
	int order = (int)a->channel - (int)b->channel;

	if (order == 0)
		order = strcmp(a->key, b->key);
	if (order == 0 && a->attempts != b->attempts)
		order = a->attempts < b->attempts ? -1 : 1;
	if (order == 0)
		order = a->recipient < b->recipient ? -1 : 1;
	return order;
}

static bool
go_together(const struct due *a, const struct due *b)
{
	return a->channel == b->channel && strcmp(a->key, b->key) == 0 &&
	       a->attempts == b->attempts;
}

/* --- making and withdrawing --- */

void
pick_free(struct runner *runner, struct pick *pick)
{
	struct message *message = pick->message;
	struct pick **link = &message->pick;
	struct flow *flow = pick->flow;

	while (*link != pick)
		link = &(*link)->next;
	*link = pick->next;
	heap_remove(&flow->ready, &pick->item);
	if (flow->state == FLOW_PROBING && flow->out == 0 &&
		flow->ready.count == 0)
		flow->state = FLOW_DOWN; /* its probe was withdrawn */
	(void)flow_turn(&runner->flows, flow);
	free(pick->destination);
	free(pick->recipient);
	free(pick);
}

static void
withdraw(struct runner *runner, struct pick *pick)
{
	for (uint32_t i = 0; i < pick->recipients; i++)
		pick->message->in_hand[pick->recipient[i]] = 0;
	pick_free(runner, pick);
}

void
picks_drop(struct runner *runner, struct message *message)
{
	while (message->pick != NULL)
		withdraw(runner, message->pick);
}

void
picks_drop_flow(struct runner *runner, struct flow *flow)
{
	struct heap_item *item;

	while ((item = heap_first(&flow->ready)) != NULL) {
		struct pick *pick = (struct pick *)item;

		message_list(runner, pick->message);
		withdraw(runner, pick);
	}
}

/* Makes one pick of count recipients and puts it into its flow's order. */
static int
add_pick(struct runner *runner, struct message *message, struct flow *flow,
	const struct due *due, uint32_t count)
{
	struct pick *pick = calloc(1, sizeof *pick);

	if (pick == NULL)
		return -1;
	pick->message = message;
	pick->flow = flow;
	pick->destination = strdup(due->destination);
	pick->recipient = calloc(count, sizeof *pick->recipient);
	pick->recipients = count;
	pick->item.major = message_class(message);
	pick->item.minor =
		message->sender == NULL
			? runner->flows.served
			: flow_next_tag(&runner->flows, message->sender);
	if (pick->destination == NULL || pick->recipient == NULL ||
		message_join(message, flow) < 0 ||
		heap_add(&flow->ready, &pick->item) < 0) {
		free(pick->destination);
		free(pick->recipient);
		free(pick);
		return -1;
	}
	for (uint32_t i = 0; i < count; i++) {
		pick->recipient[i] = due[i].recipient;
		message->in_hand[due[i].recipient] = IN_PICK;
	}
	pick->next = message->pick;
	message->pick = pick;
	if (flow->state == FLOW_DOWN)
		flow->state = FLOW_PROBING;
	return flow_turn(&runner->flows, flow);
}

/* --- destinations that are down --- */

/* The destination is not tried: its recipients wait as long as it does, or have
 * waited long enough. */
static int
put_off(struct runner *runner, struct message *message, const struct flow *flow,
	const struct due *due, uint32_t count)
{
	bool expired = message_is_expired(runner, message);
	uint64_t due_ms = runner_now_ms() +
			  (uint64_t)deadline_left_ms(flow->retry_ms) + 1000;
	uint32_t *recipient = calloc(count, sizeof *recipient);

	if (recipient == NULL)
		return -1;
	for (uint32_t i = 0; i < count; i++)
		recipient[i] = due[i].recipient;
	int result = results_record(runner, message, recipient, count,
		expired ? OUTCOME_FAILED : OUTCOME_DEFERRED,
		expired ? 0 : due_ms,
		expired ? "5.4.7 given up: the destination could not be "
			  "reached for too long"
			: "4.4.1 not tried: the destination could not be "
			  "reached a short while ago");
	free(recipient);
	return result;
}

/* One destination's share of what is due. 0, 1 (see picks_make), -1. */
static int
take_run(struct runner *runner, struct message *message, const struct due *due,
	uint32_t count, struct flow **down)
{
	struct flow *flow =
		flows_get(&runner->flows, due->key, FLOW_DESTINATION);

	if (flow == NULL)
		return -1;
	flow->channel = due->channel;
	pick_name(flow, due->destination,
		message->file.envelope.recipient[due->recipient].address);
	if (!flow_is_down(flow, deadline_now_ms()))
		return add_pick(runner, message, flow, due, count);
	if (!message_is_expired(runner, message) &&
		admit_only_flow(runner, message) == flow) {
		*down = flow;
		return 1;
	}
	/* nothing is known to be wrong with it yet */
	if (flow->is_stalled && flow->state == FLOW_UP)
		return add_pick(runner, message, flow, due, count);
	return put_off(runner, message, flow, due, count);
}

/* --- what is due --- */

static int
collect(struct runner *runner, struct message *message, struct due *due,
	uint32_t *count)
{
	const struct envelope *envelope = &message->file.envelope;
	uint64_t now_ms = runner_now_ms();

	for (uint32_t i = 0; i < envelope->recipients; i++) {
		struct due *one = &due[*count];

		if (!is_due(runner, message, i, now_ms))
			continue;
		if (pick_destination(runner, message,
			    envelope->recipient[i].address, &one->channel,
			    &one->destination) == 0) {
			pick_key(one->channel, one->destination,
				envelope->recipient[i].address, one->key);
			one->recipient = i;
			one->attempts = message->file.state[i].attempts;
			++*count;
		} else if (errno == ENOMEM ||
			   results_record(runner, message, &i, 1,
				   OUTCOME_FAILED, 0,
				   "5.1.2 the address leads to no host") < 0) {
			return -1;
		}
	}
	return 0;
}

/* How many recipients a job of this message may have: one if its reverse-path is
 * another for each. */
static uint32_t
recipients_a_job(const struct message *message)
{
	const char *sender = message->file.envelope.reverse_path;

	return verp_base(sender, strlen(sender)) > 0 ? 1 : JOB_RECIPIENTS_MAX;
}

int
picks_make(struct runner *runner, struct message *message, struct flow **down)
{
	uint32_t recipients = message->file.envelope.recipients, count = 0;
	struct due *due = calloc(recipients, sizeof *due);
	uint32_t most = recipients_a_job(message);
	unsigned picks = 0;
	int result = due == NULL ? -1 : collect(runner, message, due, &count);

	if (count > 0)
		qsort(due, count, sizeof *due, compare);
	for (uint32_t i = 0, run;
		i < count && result >= 0 && picks < PICKS_A_MESSAGE; i += run) {
		for (run = 1; i + run < count && run < most; run++)
			if (!go_together(&due[i], &due[i + run]))
				break;
		int taken = take_run(runner, message, due + i, run, down);
		if (taken != 0)
			result = taken;
		picks += message->pick != NULL;
	}
	for (uint32_t i = 0; i < count; i++)
		free(due[i].destination);
	free(due);
	return result;
}
