#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/durable.h"
#include "lib/log.h"
#include "queue/runner.h"

/*
 * Outcomes are appended when they come and become durable in groups: what stays
 * is synced, what is over is unlinked and the folder synced once for all of it.
 * Only then do the job files go. A power cut before that repeats at most the
 * attempts of this group; a killed runner repeats none, because what it appended
 * is in the file and the job file still has the result.
 */

void
commit_note(struct runner *runner, struct message *message)
{
	if (!message->is_dirty) {
		message->is_dirty = true;
		message->next_dirty = runner->dirty;
		runner->dirty = message;
	}
	runner->outcomes++;
	if (runner->commit_ms == DEADLINE_NEVER)
		runner->commit_ms = deadline_after_ms(COMMIT_MS);
}

/* Removes the job files whose results are durable now. */
static void
remove_jobs(struct runner *runner, struct message *message)
{
	char path[LAYOUT_PATH_MAX];
	unsigned kept = 0;

	for (unsigned i = 0; i < message->jobs; i++) {
		struct job_slot *job = &message->job[i];

		if (!job->is_over) {
			message->job[kept++] = *job;
			continue;
		}
		layout_job(job->channel, job->dest, message->id, job->number,
			path);
		if (unlinkat(runner->queue, path, 0) < 0 && errno != ENOENT)
			log_line("cannot remove %s: %s", path, strerror(errno));
	}
	message->jobs = kept;
}

/* When the next of its recipients is due, in milliseconds since the epoch; 0: one
 * was not tried yet. */
static uint64_t
next_due_ms(const struct message *message)
{
	uint64_t due_ms = UINT64_MAX;

	for (uint32_t i = 0; i < message->file.envelope.recipients; i++) {
		const struct message_recipient_state *state =
			&message->file.state[i];

		if (state->outcome == 0)
			return 0;
		if (state->outcome == OUTCOME_DEFERRED &&
			state->next_due_ms < due_ms)
			due_ms = state->next_due_ms;
	}
	return due_ms;
}

/* Moves it to the folder of the minute in which it is due, and forgets it. */
static void
put_off(struct runner *runner, struct message *message, uint64_t minute)
{
	char path[LAYOUT_PATH_MAX];

	layout_bucket(minute, path);
	if (mkdirat(runner->queue, path, 0755) < 0 && errno != EEXIST) {
		log_line("cannot make %s: %s", path, strerror(errno));
		message->retry_ms = deadline_after_ms(SWEEP_S * 1000);
		return;
	}
	layout_deferred(minute, message->id, path);
	if (message_move(runner, message, path) < 0)
		message->retry_ms = deadline_after_ms(SWEEP_S * 1000);
	else
		message_forget(runner, message);
}

/* Everything of it is recorded and durable, and nothing is out. */
static void
finish(struct runner *runner, struct message *message)
{
	uint64_t due_ms = next_due_ms(message);

	if (message->is_over) {
		history_end(message);
		message_forget(runner, message);
		return;
	}
	struct flow *flow = admit_only_flow(runner, message);
	if (flow != NULL && flow_is_down(flow, deadline_now_ms()) &&
		!message_is_expired(runner, message)) {
		if (waiting_put(runner, message, flow) < 0)
			message->retry_ms = deadline_after_ms(SWEEP_S * 1000);
	} else if (schedule_is_due(
			   &runner->schedule, due_ms, runner_now_ms())) {
		message_list(runner, message);
	} else {
		put_off(runner, message, schedule_minute(due_ms));
	}
}

/* Makes what one message has to record durable. 1 if a name was removed. */
static int
sync_message(struct runner *runner, struct message *message)
{
	if (!message->is_over) {
		if (fdatasync(message->fd) < 0)
			log_line("alarm: %s: sync: %s", message->place,
				strerror(errno));
		return 0;
	}
	if (unlinkat(runner->queue, message->place, 0) < 0 && errno != ENOENT) {
		log_line("alarm: cannot remove %s: %s", message->place,
			strerror(errno));
		message->is_over = false;
		message->retry_ms = deadline_after_ms(SWEEP_S * 1000);
	}
	return 1;
}

void
commit_all(struct runner *runner)
{
	struct message *message, *next;
	int removed = 0;

	runner->outcomes = 0;
	runner->commit_ms = DEADLINE_NEVER;
	for (message = runner->dirty; message; message = message->next_dirty)
		removed |= sync_message(runner, message);
	if (removed && durable_sync_folder(runner->active) < 0)
		log_line("alarm: active: sync: %s", strerror(errno));
	message = runner->dirty;
	runner->dirty = NULL;
	for (; message != NULL; message = next) {
		next = message->next_dirty;
		message->is_dirty = false;
		remove_jobs(runner, message);
		if (message->jobs_out == 0 && message->pick == NULL &&
			!message->is_listed && message->retry_ms == 0 &&
			(!message->is_asked || message->is_over))
			finish(runner, message);
	}
}
