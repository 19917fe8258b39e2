#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/role.h"
#include "queue/job_check.h"
#include "queue/job_file.h"
#include "queue/limits.h"
#include "remote/remote.h"

/* Jobs that a worker has before it, so that it never waits for the next; where there
 * are several workers each job takes long, and the next may as well wait for
 * whoever is free first. */
#define AHEAD 2
/* A connection that is to come at all is there by then, nearly always. */
#define STALL_MS 250
/* Of so many workers one is only for a destination that has none: a slow one with
 * much mail does not get all. */
#define KEPT_FREE 8
/* Workers that may be stalled, for each that may be at work. */
#define STALLED_EACH 10
/* A job whose worker died so often is deferred. */
#define DEATHS_MAX 3
/* A destination gets one more worker when a job has waited so long, divided by
 * their number, for those that it has: a fast one never needs a second connection,
 * and a slow one soon has as many as there are jobs. */
#define PATIENCE_MS 250

/*
 * Opens job file and message. The lock on the job goes with its descriptor to the
 * worker: a worker that outlives its parent keeps the next parent from doing its
 * job again. Returns 0, or -1: it is no work (any more, or for now).
 */
static int
open_job(const struct remote *remote, const struct destination *destination,
	const struct waiting *job, int descriptor[2])
{
	char path[LAYOUT_PATH_MAX], id[21];
	uint32_t number;

	(void)layout_job_scan(job->name, id, &number);
	layout_job(CHANNEL_REMOTE, destination->dest, id, number, path);
	descriptor[0] = openat(remote->queue, path,
		O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (descriptor[0] < 0)
		return -1;
	layout_message(QUEUE_ACTIVE, id, path);
	descriptor[1] = openat(remote->queue, path,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (descriptor[1] >= 0 &&
		flock(descriptor[0], LOCK_EX | LOCK_NB) == 0 &&
		!job_has_ended(descriptor[0]) &&
		!(job->is_found &&
			job_file_is_stale(descriptor[0], descriptor[1])))
		return 0;
	close(descriptor[0]);
	if (descriptor[1] >= 0)
		close(descriptor[1]);
	return -1;
}

/* --- starting and ending --- */

/* The child: nothing is left to it but its end of the line, and the file of
 * logins until it knows its own. */
static void
be_worker(struct remote *remote, const char *dest, int socket)
{
	char why[300];

	for (struct destination *other = remote->first; other;
		other = other->next)
		for (struct line *line = other->line; line; line = line->next)
			close(line->socket);
	close(remote->fifo);
	close(remote->queue);
	dead_ask_end(&remote->ask);
	struct reach *way = malloc(sizeof *way);
	if (way == NULL)
		_exit(STATUS_TEMPORARY);
	/* Read anew by each worker, for the one login that it needs, and closed
	 * before it connects. */
	int secrets = open(remote->secrets,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	reach_start(
		way, &remote->options, secrets, errno, &remote->dead, socket);
	const struct kept *kept =
		kept_find(&remote->kept, dest, deadline_now_ms());
	if (kept != NULL)
		reach_recall(way, &kept->list, kept->until_ms);
	if (role_confine(NULL, true, CALLS_CONNECT, &remote->home, why,
		    sizeof why) < 0) {
		log_line("cannot confine a worker: %s", why);
		_exit(STATUS_TEMPORARY);
	}
	_exit(worker_run(way, socket, &remote->runner));
}

static struct line *
start_worker(struct remote *remote, struct destination *destination)
{
	struct line *line = calloc(1, sizeof *line);
	int ends[2];

	if (line == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC,
				    0, ends) < 0) {
		log_line("no line to a worker: %s", strerror(errno));
		free(line);
		return NULL;
	}
	wakeup_prepare(&remote->runner, remote->queue);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		be_worker(remote, destination->dest, ends[1]);
	}
	close(ends[1]);
	if (pid < 0) {
		log_line("cannot fork a worker: %s", strerror(errno));
		close(ends[0]);
		free(line);
		return NULL;
	}
	line->socket = ends[0];
	line->told_ms = deadline_after_ms(STALL_MS);
	line->next = destination->line;
	destination->line = line;
	remote->workers++;
	return line;
}

/* A job that kills its workers gets an end without results: deferred. */
static void
give_up(struct remote *remote, struct destination *destination,
	struct waiting *job)
{
	char line[WAKEUP_LINE_MAX + 1];
	struct job none = JOB_ZERO;
	int descriptor[2];

	log_line("job %s: its worker died %u times; deferred", job->name,
		job->deaths);
	if (open_job(remote, destination, job, descriptor) == 0) {
		(void)job_read(descriptor[0], &none);
		(void)job_finish(descriptor[0], &none);
		job_free(&none);
		close(descriptor[0]);
		close(descriptor[1]);
		snprintf(line, sizeof line, "remote/%s/%s", destination->dest,
			job->name);
		wakeup_ring(&remote->runner, remote->queue, line);
	}
	remote_drop_job(remote, destination, job);
}

/* The worker has ended, or is to: what it had is to be done again. */
static void
end_line(struct remote *remote, struct destination *destination,
	struct line *line)
{
	struct line **link = &destination->line;
	struct waiting *next;

	for (struct waiting *job = destination->first; job; job = next) {
		next = job->next;
		if (job->line != line)
			continue;
		job->line = NULL;
		if (++job->deaths == DEATHS_MAX)
			give_up(remote, destination, job);
	}
	while (*link != line)
		link = &(*link)->next;
	*link = line->next;
	remote->stalled -= line->is_stalled;
	remote->workers--;
	close(line->socket);
	free(line);
}

/* Ends a worker that has nothing to do, so that another destination may have
 * one; if that has none, also one that just could get work. False: all are at
 * work. */
static bool
make_place(struct remote *remote, bool has_none)
{
	for (struct destination *destination = remote->first; destination;
		destination = destination->next)
		for (struct line *line = destination->line; line;
			line = line->next)
			if (line->sent == 0 &&
				(destination->first == NULL ||
					(has_none && destination->line->next !=
							     NULL))) {
				end_line(remote, destination, line);
				return true;
			}
	return false;
}

void
lines_end_idle(struct remote *remote)
{
	struct line *next;

	for (struct destination *destination = remote->first; destination;
		destination = destination->next)
		for (struct line *line = destination->line; line; line = next) {
			next = line->next;
			if (line->sent == 0)
				end_line(remote, destination, line);
		}
}

/* --- work --- */

/* Sends a job to a worker. 0; 1: it was no work; -1: the worker has ended, its
 * socket says so soon. */
static int
send_job(struct remote *remote, struct destination *destination,
	struct line *line, struct waiting *job)
{
	struct task task = {.magic = WORKER_MAGIC, .taken_ms = job->taken_ms};
	int descriptor[2];

	if (open_job(remote, destination, job, descriptor) < 0) {
		remote_drop_job(remote, destination, job);
		return 1;
	}
	memcpy(task.dest, destination->dest, sizeof task.dest);
	memcpy(task.name, job->name, sizeof task.name);
	int sent = descriptors_send(
		line->socket, &task, sizeof task, descriptor, 2);
	close(descriptor[0]);
	close(descriptor[1]);
	if (sent < 0)
		return -1;
	job->line = line;
	line->sent++;
	return 0;
}

static struct waiting *
first_unsent(const struct destination *destination)
{
	struct waiting *job = destination->first;

	while (job != NULL && job->line != NULL)
		job = job->next;
	return job;
}

/* Sends what the workers of a destination may have. */
static void
feed(struct remote *remote, struct destination *destination)
{
	struct waiting *job = first_unsent(destination);
	unsigned ahead =
		destination->line != NULL && destination->line->next != NULL
			? 1
			: AHEAD;

	/* first those that have nothing to do at all */
	for (unsigned most = 1; most <= ahead; most++)
		for (struct line *line = destination->line;
			line != NULL && job != NULL; line = line->next)
			while (job != NULL && line->sent < most) {
				if (send_job(remote, destination, line, job) <
					0)
					break;
				job = first_unsent(destination);
			}
}

/* Whether one more worker could do any good: where the first has not come through,
 * another would not either. */
static bool
is_reached(const struct destination *destination)
{
	const struct line *line = destination->line;

	while (line != NULL && !line->has_reached)
		line = line->next;
	return line != NULL;
}

/* When the job may have one more worker. */
static int64_t
patience_ends(const struct destination *destination, const struct waiting *job)
{
	int64_t lines = 0;

	for (const struct line *line = destination->line; line;
		line = line->next)
		lines++;
	return lines == 0 ? 0 : job->since_ms + PATIENCE_MS / lines;
}

/* Whether a destination that has a worker, or none, may have one more. */
static bool
may_start(struct remote *remote, bool has_none)
{
	int64_t most = remote->settings.workers;

	if (!has_none)
		most -= most / KEPT_FREE;
	if (remote->workers < WORKERS_MAX &&
		remote->workers - remote->stalled < most)
		return true;
	return make_place(remote, has_none);
}

/* Sees to one destination. Returns when it may need another worker, or NEVER. */
static int64_t
see_to(struct remote *remote, struct destination *destination)
{
	feed(remote, destination);
	for (;;) {
		struct waiting *job = first_unsent(destination);

		if (job == NULL)
			return DEADLINE_NEVER;
		if (destination->line != NULL && !is_reached(destination))
			return DEADLINE_NEVER;
		int64_t end_ms = patience_ends(destination, job);
		if (deadline_now_ms() < end_ms)
			return end_ms;
		if (!may_start(remote, destination->line == NULL))
			return DEADLINE_NEVER; /* the next that ends will do */
		if (start_worker(remote, destination) == NULL)
			return DEADLINE_NEVER;
		feed(remote, destination);
		/* the next one only after as long again */
		for (job = destination->first; job; job = job->next)
			if (job->line == NULL)
				job->since_ms = deadline_now_ms();
	}
}

/* Notes whose workers are stalled. Returns when the next one may be, or NEVER. */
static int64_t
note_stalled(struct remote *remote, struct destination *destination)
{
	int64_t most = remote->settings.workers * STALLED_EACH;
	int64_t again_ms = DEADLINE_NEVER;
	char words[WAKEUP_LINE_MAX + 1];

	for (struct line *line = destination->line; line; line = line->next) {
		if (line->has_reached || line->sent == 0)
			continue;
		if (deadline_left_ms(line->told_ms) == 0 &&
			(line->is_stalled || remote->stalled < most)) {
			remote->stalled += !line->is_stalled;
			line->is_stalled = true;
			/* again later, for a runner that has started anew */
			line->told_ms = deadline_after_ms(SWEEP_S * 1000);
			snprintf(words, sizeof words, QUEUE_STALLED "/%s",
				destination->dest);
			wakeup_ring(&remote->runner, remote->queue, words);
		}
		/* one that is over: there are too many, until one ends */
		if (deadline_left_ms(line->told_ms) > 0 &&
			line->told_ms < again_ms)
			again_ms = line->told_ms;
	}
	return again_ms;
}

int64_t
lines_work(struct remote *remote)
{
	int64_t again_ms = DEADLINE_NEVER;
	struct destination *next;

	for (struct destination *one = remote->first; one; one = one->next) {
		int64_t due_ms = note_stalled(remote, one);
		if (due_ms < again_ms)
			again_ms = due_ms;
	}
	/* those without a worker come first */
	for (struct destination *one = remote->first; one; one = one->next)
		if (one->line == NULL)
			(void)see_to(remote, one);
	for (struct destination *destination = remote->first; destination;
		destination = next) {
		next = destination->next;
		int64_t due_ms = see_to(remote, destination);
		if (due_ms < again_ms)
			again_ms = due_ms;
		if (destination->line == NULL && destination->first == NULL)
			remote_drop_destination(remote, destination);
	}
	return again_ms;
}

/* What a worker says of an address. */
static void
take_note(
	struct remote *remote, struct line *line, const struct dead_note *note)
{
	uint32_t random = 0;
	char text[64];

	if (line->notes >= DEAD_NOTES_MAX)
		return;
	line->notes++;
	(void)getrandom(&random, sizeof random, GRND_NONBLOCK);
	const struct dead *dead =
		dead_take(&remote->dead, note, deadline_now_ms(), random);
	if (dead == NULL)
		return;
	dead_text(&dead->key, text, sizeof text);
	log_line("no answer from %s, port %u, %u times: left out for %lld s",
		text, (unsigned)dead->key.port, (unsigned)dead->failures,
		(long long)(dead->until_ms - dead->failed_ms) / 1000);
}

union record {
	struct task task;
	struct kept_note kept;
	struct dead_note dead;
	uint32_t reached;
};

/* Takes in a record that is a note. False: it is none. */
static bool
hear_note(struct remote *remote, const struct destination *destination,
	struct line *line, const union record *record, size_t length)
{
	struct dead_note dead;
	struct mx_list list;

	if (kept_read(record, length, &list) == 0) {
		kept_put(&remote->kept, destination->dest, &list,
			deadline_now_ms());
	} else if (dead_read(record, length, &dead) == 0) {
		take_note(remote, line, &dead);
	} else if (length == sizeof record->reached &&
		   record->reached == WORKER_REACHED) {
		remote->stalled -= line->is_stalled;
		line->is_stalled = false;
		line->has_reached = true;
	} else {
		return false;
	}
	return true;
}

void
lines_hear(struct remote *remote, struct destination *destination,
	struct line *line)
{
	union record record;
	ssize_t got = recv(
		line->socket, &record, sizeof record, MSG_DONTWAIT | MSG_TRUNC);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0 && (size_t)got <= sizeof record &&
		hear_note(remote, destination, line, &record, (size_t)got))
		return;
	const struct task *task = &record.task;
	if (got != (ssize_t)sizeof *task ||
		memchr(task->name, 0, sizeof task->name) == NULL) {
		end_line(remote, destination, line);
		return;
	}
	for (struct waiting *job = destination->first; job; job = job->next)
		if (job->line == line && strcmp(job->name, task->name) == 0) {
			remote_drop_job(remote, destination, job);
			break;
		}
}
