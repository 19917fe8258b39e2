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
	message->is_dirty = true;
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

/* When the next of its recipients is due, in milliseconds since the epoch. */
static uint64_t
next_due_ms(const struct message *message)
{
	uint64_t due_ms = UINT64_MAX;

	for (uint32_t i = 0; i < message->file.envelope.recipients; i++) {
		const struct message_recipient_state *state =
			&message->file.state[i];

		if (state->outcome == OUTCOME_DEFERRED &&
			state->next_due_ms < due_ms)
			due_ms = state->next_due_ms;
	}
	return due_ms;
}

/* Moves it to the folder of the minute in which it is due, or of the destination
 * for which it waits, and forgets it. */
static void
put_off(struct runner *runner, struct message *message)
{
	char from[LAYOUT_PATH_MAX], to[LAYOUT_PATH_MAX],
		bucket[LAYOUT_PATH_MAX];
	uint64_t minute = schedule_minute(next_due_ms(message));

	layout_message(QUEUE_ACTIVE, message->id, from);
	if (message->waits_for[0] != 0) {
		snprintf(bucket, sizeof bucket, QUEUE_WAITING "/%s",
			message->waits_for);
		layout_waiting(message->waits_for, message->id, to);
	} else {
		layout_bucket(minute, bucket);
		layout_deferred(minute, message->id, to);
	}
	if ((mkdirat(runner->queue, bucket, 0755) < 0 && errno != EEXIST) ||
		renameat(runner->queue, from, runner->queue, to) < 0) {
		log_line("cannot move %s to %s: %s; it stays active", from, to,
			strerror(errno));
		message->retry_ms = deadline_after_ms(SWEEP_S * 1000);
		return;
	}
	if (message->waits_for[0] != 0)
		runner->waits[message->waits_in] = true;
	message_forget(runner, message);
}

static void
finish(struct runner *runner, struct message *message)
{
	remove_jobs(runner, message);
	message->is_dirty = false;
	if (message->jobs_out > 0)
		return;
	if (message->is_over) {
		log_line("end msg %s", message->id);
		message_forget(runner, message);
	} else if (message->waits_for[0] != 0 ||
		   next_due_ms(message) != UINT64_MAX) {
		put_off(runner, message);
	}
}

/* Makes what one message has to record durable. 1 if a name was removed. */
static int
sync_message(struct runner *runner, struct message *message)
{
	if (!message->is_over) {
		if (fdatasync(message->fd) < 0)
			log_line("alarm: active/%s: sync: %s", message->id,
				strerror(errno));
		return 0;
	}
	if (unlinkat(runner->active, message->id, 0) < 0 && errno != ENOENT) {
		log_line("alarm: cannot remove active/%s: %s", message->id,
			strerror(errno));
		message->is_over = false;
		message->retry_ms = deadline_after_ms(SWEEP_S * 1000);
	}
	return 1;
}

void
commit_all(struct runner *runner)
{
	int removed = 0;

	runner->outcomes = 0;
	runner->commit_ms = DEADLINE_NEVER;
	for (unsigned i = 0; i < TABLE_SLOTS; i++)
		for (struct message *message = runner->table[i]; message;
			message = message->next)
			if (message->is_dirty)
				removed |= sync_message(runner, message);
	if (removed && durable_sync_folder(runner->active) < 0)
		log_line("alarm: active: sync: %s", strerror(errno));
	for (unsigned i = 0; i < TABLE_SLOTS; i++) {
		struct message *message = runner->table[i], *next;

		for (; message != NULL; message = next) {
			next = message->next;
			if (message->is_dirty)
				finish(runner, message);
		}
	}
}
