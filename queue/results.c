#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "queue/job_file.h"
#include "queue/report.h"
#include "queue/runner.h"

static struct job_slot *
find_slot(const struct message *message, enum channel channel, const char *dest,
	uint32_t number)
{
	for (unsigned i = 0; i < message->jobs; i++) {
		struct job_slot *slot = &message->job[i];

		if (slot->number == number && slot->channel == channel &&
			strcmp(slot->dest, dest) == 0)
			return slot;
	}
	return NULL;
}

/* Turns a recipient's result into what is recorded: without a result it counts
 * as deferred, and too old a deferral as a failure. */
static void
judge(const struct runner *runner, const struct message *message,
	const struct job_recipient *result, uint64_t now_ms,
	enum channel channel, struct message_recipient_state *to)
{
	uint64_t arrival_ms = message->file.header.arrival_us / 1000;
	const char *text = result->outcome == 0
				   ? "4.3.0 the attempt ended without a result"
				   : result->text;
	char words[OUTCOME_TEXT_MAX + 1];

	to->outcome = result->outcome == 0 ? OUTCOME_DEFERRED : result->outcome;
	to->next_due_ms = 0;
	snprintf(words, sizeof words, "%s", text);
	if (to->outcome == OUTCOME_DEFERRED) {
		if (message_is_expired(runner, message)) {
			to->outcome = OUTCOME_FAILED;
			snprintf(words, sizeof words,
				REPORT_EXPIRED_TEXT "%.800s", text);
		} else {
			to->next_due_ms = schedule_next_ms(
				&runner->schedule, arrival_ms, now_ms, channel);
		}
	}
	to->text = strdup(words);
}

/*
 * Records the results of one job. All records go in with one append, and only
 * after that memory is changed; so a failure leaves the result where it is, in
 * the job file, for the next sweep.
 */
static int
record_results(struct runner *runner, struct message *message,
	struct job_slot *slot, const struct job *job)
{
	struct message_recipient_state *new =
		calloc(job->recipients, sizeof *new);
	uint64_t now_ms = runner_now_ms();
	stralloc records = STRALLOC_ZERO;
	int result = new == NULL ? -1 : 0;

	for (uint32_t i = 0; result == 0 && i < job->recipients; i++) {
		judge(runner, message, &job->recipient[i], now_ms,
			slot->channel, &new[i]);
		if (new[i].text == NULL ||
			message_pack_outcome(&records, job->recipient[i].number,
				new[i].outcome, job->attempt, now_ms,
				new[i].next_due_ms, new[i].text) < 0)
			result = -1;
	}
	if (result == 0)
		result = message_append(message->fd, &message->file, &records);
	for (uint32_t i = 0; new != NULL &&i < job->recipients; i++) {
		uint32_t number = job->recipient[i].number;
		struct message_recipient_state *state =
			&message->file.state[number];

		if (result < 0) {
			free(new[i].text);
			continue;
		}
		history_outcome(
			slot->delivery + i, new[i].outcome, new[i].text);
		free(state->text);
		state->text = new[i].text;
		state->outcome = new[i].outcome;
		state->next_due_ms = new[i].next_due_ms;
		state->attempts = job->attempt;
		state->attempt_ms = now_ms;
		message->in_hand[number] = 0;
	}
	if (result < 0)
		log_line("cannot record what became of msg %s: %s", message->id,
			strerror(errno));
	free(new);
	stralloc_free(&records);
	return result;
}

int
results_record(struct runner *runner, struct message *message,
	const uint32_t *recipient, uint32_t recipients, enum outcome outcome,
	uint64_t due_ms, const char *text)
{
	uint64_t now_ms = runner_now_ms();
	stralloc records = STRALLOC_ZERO;
	int result = 0;

	for (uint32_t i = 0; result == 0 && i < recipients; i++)
		result = message_pack_outcome(&records, recipient[i], outcome,
			message->file.state[recipient[i]].attempts, now_ms,
			due_ms, text);
	if (result == 0)
		result = message_append(message->fd, &message->file, &records);
	if (result < 0)
		log_line("cannot record what became of msg %s: %s", message->id,
			strerror(errno));
	for (uint32_t i = 0; result == 0 && i < recipients; i++) {
		struct message_recipient_state *state =
			&message->file.state[recipient[i]];
		char *copy = strdup(text);

		history_outcome(++runner->deliveries, outcome, text);
		if (copy != NULL) {
			free(state->text);
			state->text = copy;
		}
		state->outcome = outcome;
		state->next_due_ms = due_ms;
		state->attempt_ms = now_ms;
	}
	stralloc_free(&records);
	if (result == 0)
		commit_note(runner, message);
	return result;
}

/* --- what a job says of its destination --- */

/* The last thing that went wrong for a recipient of the job. */
static void
note_reply(struct flow *flow, const struct job *job)
{
	const char *reply = NULL;

	for (uint32_t i = 0; i < job->recipients; i++)
		if (job->recipient[i].outcome == OUTCOME_DEFERRED ||
			job->recipient[i].outcome == OUTCOME_FAILED)
			reply = job->recipient[i].text;
	flow_set_reply(flow, reply);
}

static void
judge_destination(struct runner *runner, struct flow *flow,
	const struct job_slot *slot, enum job_reach reach)
{
	int64_t now_ms = deadline_now_ms();

	if (slot->channel == CHANNEL_LOCAL || reach == JOB_REACHED) {
		flow_reached(&runner->flows, flow);
	} else if (reach == JOB_BROKE) {
		flow_broke(flow);
		if (flow->state == FLOW_PROBING)
			flow->state = FLOW_UP; /* somebody was there */
	} else if (flow_unreachable(&runner->flows, flow, now_ms)) {
		log_line("destination %s is down: next probe in %lld s",
			flow->key,
			(long long)((flow->retry_ms - now_ms + 999) / 1000));
		picks_drop_flow(runner, flow);
	}
}

/* The job is out no more. reach NULL: it said nothing. */
static void
end_slot(struct runner *runner, struct message *message, struct job_slot *slot,
	const struct job *job)
{
	struct flow *flow = slot->flow;

	slot->is_over = true;
	slot->flow = NULL;
	message->jobs_out--;
	runner->jobs_out[slot->channel]--;
	if (flow->is_stalled) {
		flow->is_stalled = false;
		runner->jobs_stalled -= flow->out;
	}
	flow->out--;
	history_status(runner);
	if (job != NULL) {
		note_reply(flow, job);
		judge_destination(runner, flow, slot, job->reach);
	} else if (flow->state == FLOW_PROBING) {
		flow->state = FLOW_DOWN;
	}
	(void)flow_turn(&runner->flows, flow);
	commit_note(runner, message);
	message_list(runner, message);
}

/* The job file is gone or spoiled: what it had is due again. */
static void
lose_slot(struct runner *runner, struct message *message, struct job_slot *slot)
{
	log_line("job %s.%x for msg %s is lost; it will be made again",
		slot->dest, slot->number, message->id);
	for (uint32_t i = 0; i < message->file.envelope.recipients; i++)
		if (message->in_hand[i] == slot->number + 1)
			message->in_hand[i] = 0;
	end_slot(runner, message, slot, NULL);
}

/* True if every recipient in the file is one that was given to this job: a
 * channel can say nothing of the other channel's recipients. */
static bool
job_fits(const struct message *message, const struct job_slot *slot,
	const struct job *job)
{
	const struct envelope *envelope = &message->file.envelope;

	if (strcmp(job->id, message->id) != 0)
		return false;
	for (uint32_t i = 0; i < job->recipients; i++) {
		uint32_t number = job->recipient[i].number;

		if (number >= envelope->recipients ||
			message->in_hand[number] != slot->number + 1 ||
			strcmp(envelope->recipient[number].address,
				job->recipient[i].address) != 0)
			return false;
	}
	return true;
}

static void
read_result(
	struct runner *runner, struct message *message, struct job_slot *slot)
{
	char path[LAYOUT_PATH_MAX];
	struct job job;
	struct stat st;

	layout_job(slot->channel, slot->dest, message->id, slot->number, path);
	int fd = openat(runner->queue, path,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		if (errno == ENOENT)
			lose_slot(runner, message, slot);
		else
			log_line("cannot open %s: %s", path, strerror(errno));
		return;
	}
	enum job_result result = job_read(fd, &job);
	if (fstat(fd, &st) == 0)
		slot->octets = (uint64_t)st.st_size;
	close(fd);
	if (result == JOB_NO_MEMORY) {
		log_line("cannot read %s: %s", path, strerror(errno));
		slot->octets = 0;
		return;
	}
	if (result == JOB_BAD || !job_fits(message, slot, &job)) {
		lose_slot(runner, message, slot);
	} else if (job.ended) {
		if (record_results(runner, message, slot, &job) == 0)
			end_slot(runner, message, slot, &job);
		else
			slot->octets = 0;
	}
	job_free(&job);
}

void
results_take(struct runner *runner, enum channel channel, const char *dest,
	const char *name)
{
	char id[21];
	uint32_t number;

	if (layout_job_scan(name, id, &number) < 0)
		return;
	struct message *message = message_find(runner, id);
	struct job_slot *slot =
		message == NULL ? NULL
				: find_slot(message, channel, dest, number);
	if (slot != NULL && !slot->is_over)
		read_result(runner, message, slot);
}

void
results_sweep(struct runner *runner, struct message *message)
{
	char path[LAYOUT_PATH_MAX];
	struct stat st;

	for (unsigned i = 0; i < message->jobs; i++) {
		struct job_slot *slot = &message->job[i];

		if (slot->is_over)
			continue;
		layout_job(slot->channel, slot->dest, message->id, slot->number,
			path);
		if (fstatat(runner->queue, path, &st, AT_SYMLINK_NOFOLLOW) <
				0 ||
			(uint64_t)st.st_size != slot->octets)
			read_result(runner, message, slot);
	}
}
