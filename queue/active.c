#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "queue/runner.h"

/* A message with many recipients counts for several: one for so many. */
#define RECIPIENTS_A_WEIGHT 64
/* When a message that cannot be read for want of memory is looked at again. */
#define UNREAD_MS (5 * 60 * 1000)

uint64_t
runner_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- the table --- */

/* The last characters of an id are random: a fair hash. */
static unsigned
slot_of(const char *id)
{
	unsigned slot = 0;

	for (const char *p = id + IDENT_LENGTH - 4; *p; p++)
		slot = slot * 31 + (unsigned char)*p;
	return slot % TABLE_SLOTS;
}

struct message *
message_find(const struct runner *runner, const char *id)
{
	struct message *message = runner->table[slot_of(id)];

	while (message != NULL && strcmp(message->id, id) != 0)
		message = message->next;
	return message;
}

static void
unlist(struct message **link, const struct message *message, size_t next)
{
	while (*link != NULL && *link != message)
		link = (struct message **)((char *)*link + next);
	if (*link != NULL)
		*link = *(
			struct message *const *)((const char *)message + next);
}

static void
leave_flows(struct runner *runner, struct message *message)
{
	int64_t now_ms = deadline_now_ms();

	for (unsigned i = 0; i < message->flows; i++) {
		message->flow[i]->users--;
		flow_release(&runner->flows, message->flow[i], now_ms);
	}
	if (message->sender != NULL) {
		message->sender->users--;
		flow_release(&runner->flows, message->sender, now_ms);
	}
	free(message->flow);
}

void
message_forget(struct runner *runner, struct message *message)
{
	struct message **link = &runner->table[slot_of(message->id)];

	while (*link != message)
		link = &(*link)->next;
	*link = message->next;
	if (message->is_listed)
		unlist(&runner->listed, message,
			offsetof(struct message, next_listed));
	if (message->is_dirty)
		unlist(&runner->dirty, message,
			offsetof(struct message, next_dirty));
	picks_drop(runner, message);
	leave_flows(runner, message);
	runner->messages--;
	runner->weight[message->channel] -= message->weight;
	close(message->fd);
	message_free(&message->file);
	free(message->in_hand);
	free(message->job);
	free(message);
}

/* --- loading --- */

static void
set_apart(struct runner *runner, const char *id, const char *place)
{
	char to[LAYOUT_PATH_MAX];

	layout_message(QUEUE_DOUBTFUL, id, to);
	log_line("alarm: %s is not a sound message file: moved to %s", place,
		to);
	if (renameat(runner->queue, place, runner->queue, to) < 0)
		log_line("cannot move it: %s", strerror(errno));
}

/* Nobody has looked into it, so its own minute is not known: soon. */
static void
put_off_unread(struct runner *runner, const char *id, const char *place)
{
	char to[LAYOUT_PATH_MAX], bucket[LAYOUT_PATH_MAX];
	uint64_t minute = schedule_minute(runner_now_ms() + UNREAD_MS);

	layout_bucket(minute, bucket);
	layout_deferred(minute, id, to);
	log_line("cannot read %s: %s; put off to %s", place, strerror(errno),
		to);
	if ((mkdirat(runner->queue, bucket, 0755) < 0 && errno != EEXIST) ||
		renameat(runner->queue, place, runner->queue, to) < 0)
		log_line("cannot move it: %s; it is taken up at the next start",
			strerror(errno));
}

/* Remote if any recipient is. */
static enum channel
channel_of(const struct runner *runner, const struct envelope *envelope)
{
	for (uint32_t i = 0; i < envelope->recipients; i++) {
		const char *address = envelope->recipient[i].address;

		if (ours_find_address(runner->ours, address) == OURS_NOT)
			return CHANNEL_REMOTE;
	}
	return CHANNEL_LOCAL;
}

/* The flow of whoever sent it, by channel; mail without a sender has one of its
 * own. */
static struct flow *
sender_flow(struct runner *runner, const struct envelope *envelope,
	enum channel channel)
{
	const char *who = envelope->origin.authenticated[0] != 0
				  ? envelope->origin.authenticated
				  : envelope->reverse_path;
	char key[LAYOUT_DEST_LENGTH + 1];

	flow_sender_key(who, channel, key);
	struct flow *flow = flows_get(&runner->flows, key, FLOW_SENDER);
	if (flow != NULL)
		flow->channel = channel;
	return flow;
}

static unsigned long long
inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : (unsigned long long)st.st_ino;
}

static void
enter(struct runner *runner, struct message *message)
{
	struct message **slot = &runner->table[slot_of(message->id)];

	message->next = *slot;
	*slot = message;
	message->weight =
		1 + message->file.envelope.recipients / RECIPIENTS_A_WEIGHT;
	message->channel = channel_of(runner, &message->file.envelope);
	message->sender =
		sender_flow(runner, &message->file.envelope, message->channel);
	if (message->sender != NULL)
		message->sender->users++;
	runner->messages++;
	runner->weight[message->channel] += message->weight;
}

struct message *
message_load(struct runner *runner, const char *id, const char *place, int fd,
	bool check)
{
	struct message *message = calloc(1, sizeof *message);
	enum message_result result = MESSAGE_ERROR;
	struct route_target target;

	if (message != NULL)
		result = message_read(fd, check, &message->file);
	if (result == MESSAGE_OK && message->file.route != NULL &&
		route_parse(message->file.route, &target) < 0) {
		message_free(&message->file);
		result = MESSAGE_BAD;
	}
	if (result == MESSAGE_OK)
		message->in_hand = calloc(message->file.envelope.recipients,
			sizeof *message->in_hand);
	if (result == MESSAGE_OK && message->in_hand != NULL) {
		memcpy(message->id, id, IDENT_LENGTH + 1);
		snprintf(message->place, sizeof message->place, "%s", place);
		message->fd = fd;
		message->inode = inode_of(fd);
		enter(runner, message);
		return message;
	}
	if (result == MESSAGE_BAD)
		set_apart(runner, id, place);
	else
		put_off_unread(runner, id, place);
	close(fd);
	if (message != NULL)
		message_free(&message->file);
	free(message);
	return NULL;
}

int
message_move(struct runner *runner, struct message *message, const char *place)
{
	if (strcmp(message->place, place) == 0)
		return 0;
	if (renameat(runner->queue, message->place, runner->queue, place) < 0) {
		log_line("cannot move %s to %s: %s", message->place, place,
			strerror(errno));
		return -1;
	}
	snprintf(message->place, sizeof message->place, "%s", place);
	return 0;
}

/* --- what is known of it --- */

int64_t
runner_lifetime_s(const struct runner *runner, const struct message *message)
{
	const struct runner_settings *settings = &runner->settings;
	const char *sender = message->file.envelope.reverse_path;
	bool is_bounce =
		sender[0] == 0 || strcmp(sender, ENVELOPE_DOUBLE_BOUNCE) == 0;

	return is_bounce && settings->bouncelifetime_s > 0
		       ? settings->bouncelifetime_s
		       : settings->queuelifetime_s;
}

bool
message_is_expired(const struct runner *runner, const struct message *message)
{
	uint64_t arrival_ms = message->file.header.arrival_us / 1000;
	uint64_t now_ms = runner_now_ms();

	return now_ms > arrival_ms &&
	       now_ms - arrival_ms >=
		       (uint64_t)runner_lifetime_s(runner, message) * 1000;
}

unsigned
message_class(const struct message *message)
{
	return message->file.header.class;
}

int
message_join(struct message *message, struct flow *flow)
{
	for (unsigned i = 0; i < message->flows; i++)
		if (message->flow[i] == flow)
			return 0;
	if (message->flows == message->flows_room) {
		unsigned room =
			message->flows_room ? message->flows_room * 2 : 2;
		struct flow **more = reallocarray(
			message->flow, room, sizeof(struct flow *));

		if (more == NULL)
			return -1;
		message->flow = more;
		message->flows_room = room;
	}
	message->flow[message->flows++] = flow;
	flow->users++;
	return 0;
}

/* --- the next step --- */

void
message_list(struct runner *runner, struct message *message)
{
	if (message->is_listed)
		return;
	message->is_listed = true;
	message->next_listed = runner->listed;
	runner->listed = message;
}

static bool
every_recipient_is_final(const struct message *message)
{
	for (uint32_t i = 0; i < message->file.envelope.recipients; i++) {
		enum outcome outcome = message->file.state[i].outcome;

		if (outcome == 0 || !outcome_is_final(outcome))
			return false;
	}
	return true;
}

/* Does the next step for a message that has no work ready or out. */
static void
settle(struct runner *runner, struct message *message)
{
	struct flow *down = NULL;

	if (message->jobs_out > 0 || message->pick != NULL)
		return;
	if (message->is_asked) {
		runner->asked_is_ready = true;
		return;
	}
	message->retry_ms = 0;
	int made = picks_make(runner, message, &down);
	if (made < 0)
		message->retry_ms = deadline_after_ms(SWEEP_S * 1000);
	if (made < 0 || message->pick != NULL)
		return;
	if (bounce_send(runner, message) < 0) {
		message->retry_ms = deadline_after_ms(SWEEP_S * 1000);
		return;
	}
	message->is_over = every_recipient_is_final(message);
	if (made == 1 && !message->is_dirty && message->jobs == 0 &&
		waiting_put(runner, message, down) == 0)
		return; /* nothing was recorded: nothing to commit */
	commit_note(runner, message);
}

void
message_settle_listed(struct runner *runner)
{
	struct message *message;

	while ((message = runner->listed) != NULL) {
		runner->listed = message->next_listed;
		message->is_listed = false;
		settle(runner, message);
	}
}
