#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "lib/log.h"
#include "queue/job_file.h"
#include "queue/runner.h"

/*
 * The job files that a start of the runner finds: what an earlier run handed out
 * goes on, everything else is removed. The channels can write in their folders,
 * so a file is believed only as far as it agrees with the message.
 */

static bool
is_final(const struct message_recipient_state *state)
{
	return state->outcome != 0 && outcome_is_final(state->outcome);
}

/* True if the address is for this channel. */
static bool
is_for_channel(
	const struct runner *runner, const char *address, enum channel channel)
{
	return (channel == CHANNEL_LOCAL) ==
	       (ours_find_address(runner->ours, address) != OURS_NOT);
}

/* True if the job may go on: its recipients wait for just this attempt, and are
 * this channel's to deliver. */
static bool
may_go_on(const struct runner *runner, const struct message *message,
	const struct job *job, enum channel channel, const char *dest)
{
	char wanted[LAYOUT_DEST_LENGTH + 1];

	layout_dest(job->destination, wanted);
	if (strcmp(wanted, dest) != 0 || strcmp(job->id, message->id) != 0 ||
		(channel == CHANNEL_LOCAL) !=
			(strcmp(job->destination, "local") == 0))
		return false;
	for (uint32_t i = 0; i < job->recipients; i++) {
		uint32_t number = job->recipient[i].number;

		if (number >= message->file.envelope.recipients ||
			message->in_hand[number] ||
			is_final(&message->file.state[number]) ||
			message->file.state[number].attempts + 1 !=
				job->attempt ||
			strcmp(message->file.envelope.recipient[number].address,
				job->recipient[i].address) != 0 ||
			!is_for_channel(
				runner, job->recipient[i].address, channel))
			return false;
	}
	return true;
}

/* True if the message has a job of that number, in whatever folder. */
static bool
number_is_taken(const struct message *message, uint32_t number)
{
	for (unsigned i = 0; i < message->jobs; i++)
		if (message->job[i].number == number)
			return true;
	return number == UINT32_MAX;
}

/* The slot of a job that an earlier run handed out. */
static struct job_slot *
take_over(struct runner *runner, struct message *message, enum channel channel,
	const char *dest, const struct job *job, uint32_t number)
{
	char key[LAYOUT_DEST_LENGTH + 1];
	struct job_slot *slot = NULL;

	pick_key(channel, job->destination, job->recipient[0].address, key);
	struct flow *flow = flows_get(&runner->flows, key, FLOW_DESTINATION);
	if (flow != NULL && message_join(message, flow) == 0)
		slot = jobs_add_slot(message);
	if (slot == NULL)
		return NULL;
	flow->channel = channel;
	pick_name(flow, job->destination, job->recipient[0].address);
	flow->out++;
	slot->flow = flow;
	slot->channel = channel;
	memcpy(slot->dest, dest, sizeof slot->dest);
	slot->number = number;
	slot->delivery = runner->deliveries + 1;
	runner->deliveries += job->recipients;
	if (number >= message->next_number)
		message->next_number = number + 1;
	for (uint32_t i = 0; i < job->recipients; i++)
		message->in_hand[job->recipient[i].number] = number + 1;
	message->jobs_out++;
	runner->jobs_out[channel]++;
	return slot;
}

void
jobs_adopt(struct runner *runner, enum channel channel, const char *dest,
	const char *name)
{
	char id[21], path[LAYOUT_PATH_MAX];
	struct job_slot *slot = NULL;
	struct job job = JOB_ZERO;
	uint32_t number;

	if (layout_job_scan(name, id, &number) < 0)
		return;
	layout_job(channel, dest, id, number, path);
	struct message *message = message_find(runner, id);
	int fd = openat(runner->queue, path,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	enum job_result result = fd < 0 ? JOB_NO_MEMORY : job_read(fd, &job);
	if (result == JOB_NO_MEMORY && scan_error_is_passing(errno)) {
		/* it may have results */
		log_line("cannot read %s: %s", path, strerror(errno));
		runner->is_stuck = true;
	} else if (message != NULL && !number_is_taken(message, number) &&
		   result == JOB_OK &&
		   may_go_on(runner, message, &job, channel, dest)) {
		slot = take_over(runner, message, channel, dest, &job, number);
		runner->is_stuck |= slot == NULL;
	}
	if (slot == NULL && !runner->is_stuck &&
		unlinkat(runner->queue, path, 0) < 0 && errno != ENOENT)
		log_line("cannot remove %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	job_free(&job);
}
