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
#include "remote/remote.h"

/* Jobs that a worker has before it, so that it never waits for the next. */
#define AHEAD 2
/* A job whose worker died so often is deferred. */
#define DEATHS_MAX 3
/* A destination gets one more worker when a job has waited so long for those
 * that it has: a fast one never needs a second connection. */
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
	close(line->socket);
	free(line);
	remote->workers--;
}

/* Ends a worker that has nothing to do, so that another destination may have
 * one. False: all are at work. */
static bool
make_place(struct remote *remote)
{
	for (struct destination *destination = remote->first; destination;
		destination = destination->next)
		for (struct line *line = destination->line; line;
			line = line->next)
			if (line->sent == 0 && destination->first == NULL) {
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

	/* first those that have nothing to do at all */
	for (unsigned most = 1; most <= AHEAD; most++)
		for (struct line *line = destination->line;
			line != NULL && job != NULL; line = line->next)
			while (job != NULL && line->sent < most) {
				if (send_job(remote, destination, line, job) <
					0)
					break;
				job = first_unsent(destination);
			}
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
		if (destination->line != NULL &&
			deadline_now_ms() < job->since_ms + PATIENCE_MS)
			return job->since_ms + PATIENCE_MS;
		if (remote->workers >= remote->settings.workers &&
			!make_place(remote))
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

int64_t
lines_work(struct remote *remote)
{
	int64_t again_ms = DEADLINE_NEVER;
	struct destination *next;

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

void
lines_hear(struct remote *remote, struct destination *destination,
	struct line *line)
{
	union {
		struct task task;
		struct kept_note note;
		struct dead_note dead;
	} record;
	struct dead_note dead;
	struct mx_list list;
	struct task task;
	ssize_t got = recv(
		line->socket, &record, sizeof record, MSG_DONTWAIT | MSG_TRUNC);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0 && kept_read(&record, (size_t)got, &list) == 0) {
		kept_put(&remote->kept, destination->dest, &list,
			deadline_now_ms());
		return;
	}
	if (got > 0 && dead_read(&record, (size_t)got, &dead) == 0) {
		take_note(remote, line, &dead);
		return;
	}
	memcpy(&task, &record.task, sizeof task);
	if (got != (ssize_t)sizeof task ||
		memchr(task.name, 0, sizeof task.name) == NULL) {
		end_line(remote, destination, line);
		return;
	}
	for (struct waiting *job = destination->first; job; job = job->next)
		if (job->line == line && strcmp(job->name, task.name) == 0) {
			remote_drop_job(remote, destination, job);
			break;
		}
}
