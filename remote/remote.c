/*
 * remote takes the jobs of delivery to other hosts and gives each destination a
 * worker, a child that finds its hosts and sends all that waits for it over one
 * connection.
 *
 * Runs as _keep-remote, which may read the queue and connect to other hosts.
 * Is handed jobs by the runner, as files, and wake-ups.
 * Promises that a job gets its end record when every recipient has a result, and
 * not before; killed, it takes every job without one up again, except those that
 * a worker of its predecessor still holds.
 * Never opens a message for writing. A worker reads what strangers send, and may
 * open nothing at all.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/home.h"
#include "lib/log.h"
#include "lib/role.h"
#include "lib/settings.h"
#include "queue/job_check.h"
#include "queue/job_file.h"
#include "queue/limits.h"
#include "remote/worker.h"

/* Jobs in memory at one time; more wait in their folders. */
#define JOBS_MAX 5000
#define WORKERS_MAX 1000
/* Jobs that a worker has before it, so that it never waits for the next. */
#define AHEAD 2
/* A job whose worker died so often is deferred. */
#define DEATHS_MAX 3

static const struct role role = {
	.program = "remote",
	.user = "_keep-remote",
	.group = "_keep-remote",
	.groups = {"keep-read"},
	.path = {{"queue", ROLE_READ}, {"queue/jobs/remote", ROLE_WRITE},
		{"queue/wake", ROLE_WRITE}, {"control", ROLE_READ}},
	.reaches_network = true,
	.calls = CALLS_READ | CALLS_WRITE | CALLS_CONNECT | CALLS_FORK,
	.memory_octets = 256 * 1024 * 1024,
	.descriptors = WORKERS_MAX + 64,
};

struct remote_settings {
	char *me, *helohost;
	struct setting_list nameservers;
	int64_t allow_local, workers, port, timeout_connect_s, timeout_s;
};

#define AT(member) offsetof(struct remote_settings, member)
static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, AT(me), "this host's name"},
	{"helohost", SETTING_HOST, "@me", 0, 0, AT(helohost),
		"the name said in EHLO"},
	{"nameservers", SETTING_LIST, "", 0, 0, AT(nameservers),
		"recursive name servers, IP or IP:PORT; those of the system"},
	{"allowlocaladdresses", SETTING_SWITCH, "0", 0, 1, AT(allow_local),
		"1: MX records may lead to loopback and its kind"},
	{"concurrencyremote", SETTING_NUMBER, "20", 1, WORKERS_MAX, AT(workers),
		"workers at one time"},
	{"remoteport", SETTING_NUMBER, "25", 1, 65535, AT(port),
		"the port of MX hosts"},
	{"timeoutconnect", SETTING_NUMBER, "60", 1, 3600, AT(timeout_connect_s),
		"seconds that a connection may take"},
	{"timeoutremote", SETTING_NUMBER, "0", 0, 86400, AT(timeout_s),
		"seconds for each answer; 0: as RFC 5321 4.5.3.2 has it"},
};

struct waiting {
	struct waiting *next;
	char name[40]; /* ID.N */
	bool is_sent;  /* the worker has it */
	bool is_found; /* and not told of by the runner */
	unsigned deaths;
};

struct destination {
	struct destination *next;
	char dest[LAYOUT_DEST_LENGTH + 1];
	struct waiting *first, **last;
	unsigned sent;
	int worker; /* the socket to it; -1: none */
};

struct remote {
	struct home home;
	struct remote_settings settings;
	struct dns dns;
	const char *own[2];
	struct worker_options options;
	int queue, fifo;
	struct wakeup_writer runner;
	struct destination *first, **last;
	unsigned jobs, workers;
	bool has_backlog; /* there was no room for a job */
};

/* --- jobs and destinations --- */

static struct destination *
find_destination(const struct remote *remote, const char *dest)
{
	struct destination *destination = remote->first;

	while (destination && strcmp(destination->dest, dest) != 0)
		destination = destination->next;
	return destination;
}

static struct destination *
add_destination(struct remote *remote, const char *dest)
{
	struct destination *new = calloc(1, sizeof *new);

	if (new == NULL)
		return NULL;
	snprintf(new->dest, sizeof new->dest, "%s", dest);
	new->last = &new->first;
	new->worker = -1;
	*remote->last = new;
	remote->last = &new->next;
	return new;
}

static void
drop_destination(struct remote *remote, struct destination *destination)
{
	struct destination **link = &remote->first;

	while (*link != destination)
		link = &(*link)->next;
	*link = destination->next;
	if (remote->last == &destination->next)
		remote->last = link;
	free(destination);
}

static void
take_job(struct remote *remote, const char *dest, const char *name,
	bool is_found)
{
	struct destination *destination = find_destination(remote, dest);
	char id[21];
	uint32_t number;

	if (layout_job_scan(name, id, &number) < 0)
		return;
	if (destination != NULL)
		for (struct waiting *job = destination->first; job;
			job = job->next)
			if (strcmp(job->name, name) == 0)
				return;
	if (remote->jobs == JOBS_MAX) {
		remote->has_backlog = true;
		return;
	}
	struct waiting *new = calloc(1, sizeof *new);
	if (new != NULL && destination == NULL)
		destination = add_destination(remote, dest);
	if (destination == NULL || new == NULL) {
		free(new);
		return;
	}
	snprintf(new->name, sizeof new->name, "%s", name);
	new->is_found = is_found;
	*destination->last = new;
	destination->last = &new->next;
	remote->jobs++;
}

static void
drop_job(struct remote *remote, struct destination *destination,
	struct waiting *job)
{
	struct waiting **link = &destination->first;

	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
	if (destination->last == &job->next)
		destination->last = link;
	if (job->is_sent)
		destination->sent--;
	remote->jobs--;
	free(job);
}

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

/* --- workers --- */

static void
be_worker(struct remote *remote, int socket)
{
	char why[300];

	for (struct destination *other = remote->first; other;
		other = other->next)
		if (other->worker >= 0 && other->worker != socket)
			close(other->worker);
	close(remote->fifo);
	close(remote->queue);
	if (role_confine(NULL, true, CALLS_CONNECT, &remote->home, why,
		    sizeof why) < 0) {
		log_line("cannot confine a worker: %s", why);
		_exit(STATUS_TEMPORARY);
	}
	_exit(worker_run(&remote->options, socket, &remote->runner));
}

static void
start_worker(struct remote *remote, struct destination *destination)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		log_line("no socket for a worker: %s", strerror(errno));
		return;
	}
	wakeup_prepare(&remote->runner, remote->queue);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		be_worker(remote, ends[1]);
	}
	close(ends[1]);
	if (pid < 0) {
		log_line("cannot fork a worker: %s", strerror(errno));
		close(ends[0]);
		return;
	}
	destination->worker = ends[0];
	remote->workers++;
}

/* Sends jobs to the worker until it has AHEAD of them. */
static void
feed_worker(struct remote *remote, struct destination *destination)
{
	struct waiting *job = destination->first, *next;
	int descriptor[2];

	for (; job != NULL && destination->sent < AHEAD; job = next) {
		struct task task = {.magic = WORKER_MAGIC};

		next = job->next;
		if (job->is_sent)
			continue;
		if (open_job(remote, destination, job, descriptor) < 0) {
			drop_job(remote, destination, job);
			continue;
		}
		memcpy(task.dest, destination->dest, sizeof task.dest);
		memcpy(task.name, job->name, sizeof task.name);
		int sent = descriptors_send(
			destination->worker, &task, sizeof task, descriptor, 2);
		close(descriptor[0]);
		close(descriptor[1]);
		if (sent < 0)
			return; /* it has ended: its socket says so soon */
		job->is_sent = true;
		destination->sent++;
	}
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
	drop_job(remote, destination, job);
}

/* The worker has ended: what it had is to be done again. */
static void
end_worker(struct remote *remote, struct destination *destination)
{
	struct waiting *next;

	close(destination->worker);
	destination->worker = -1;
	remote->workers--;
	for (struct waiting *job = destination->first; job; job = next) {
		next = job->next;
		if (!job->is_sent)
			continue;
		job->is_sent = false;
		destination->sent--;
		if (++job->deaths == DEATHS_MAX)
			give_up(remote, destination, job);
	}
}

/* Tasks that come back. False: the worker has ended. */
static bool
hear_worker(struct remote *remote, struct destination *destination)
{
	struct task task;
	ssize_t got = recv(destination->worker, &task, sizeof task,
		MSG_DONTWAIT | MSG_TRUNC);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got != (ssize_t)sizeof task ||
		memchr(task.name, 0, sizeof task.name) == NULL)
		return false;
	for (struct waiting *job = destination->first; job; job = job->next)
		if (job->is_sent && strcmp(job->name, task.name) == 0) {
			drop_job(remote, destination, job);
			break;
		}
	return true;
}

/* --- the loop --- */

static void
take_line(void *context, const char *line)
{
	char dest[LAYOUT_DEST_LENGTH + 1];

	if (strlen(line) < LAYOUT_DEST_LENGTH + 2 ||
		!layout_dest_is_valid(line, LAYOUT_DEST_LENGTH) ||
		line[LAYOUT_DEST_LENGTH] != '/')
		return;
	memcpy(dest, line, LAYOUT_DEST_LENGTH);
	dest[LAYOUT_DEST_LENGTH] = 0;
	take_job(context, dest, line + LAYOUT_DEST_LENGTH + 1, false);
}

static DIR *
open_folder(const struct remote *remote, const char *path)
{
	int fd = openat(remote->queue, path,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);

	if (folder == NULL && fd >= 0)
		close(fd);
	return folder;
}

static void
sweep(struct remote *remote)
{
	struct dirent *entry, *inner;
	char path[LAYOUT_PATH_MAX];

	remote->has_backlog = false;
	DIR *folder = open_folder(remote, QUEUE_JOBS_REMOTE);
	if (folder == NULL) {
		log_line("cannot read queue/" QUEUE_JOBS_REMOTE ": %s",
			strerror(errno));
		return;
	}
	while ((entry = readdir(folder)) != NULL) {
		if (!layout_dest_is_valid(entry->d_name, strlen(entry->d_name)))
			continue;
		layout_job_folder(CHANNEL_REMOTE, entry->d_name, path);
		DIR *jobs = open_folder(remote, path);
		while (jobs != NULL && (inner = readdir(jobs)) != NULL)
			if (inner->d_name[0] != '.')
				take_job(remote, entry->d_name, inner->d_name,
					true);
		if (jobs != NULL)
			closedir(jobs);
	}
	closedir(folder);
}

/* Gives every destination with work a worker, as far as there may be more, and
 * every worker its work. */
static void
do_work(struct remote *remote)
{
	struct destination *next;

	for (struct destination *destination = remote->first; destination;
		destination = next) {
		next = destination->next;
		if (destination->worker < 0 && destination->first != NULL &&
			remote->workers < remote->settings.workers)
			start_worker(remote, destination);
		if (destination->worker >= 0)
			feed_worker(remote, destination);
		if (destination->worker < 0 && destination->first == NULL)
			drop_destination(remote, destination);
	}
}

static void
run(struct remote *remote)
{
	struct pollfd list[WORKERS_MAX + 1];
	struct destination *who[WORKERS_MAX + 1];
	int64_t sweep_ms = 0;

	for (;;) {
		unsigned count = 1;

		if (deadline_left_ms(sweep_ms) == 0 ||
			(remote->has_backlog && remote->jobs < JOBS_MAX / 2)) {
			sweep(remote);
			sweep_ms = deadline_after_ms(SWEEP_S * 1000);
		}
		do_work(remote);
		list[0] = (struct pollfd){.fd = remote->fifo, .events = POLLIN};
		for (struct destination *one = remote->first; one;
			one = one->next) {
			if (one->worker < 0)
				continue;
			list[count] = (struct pollfd){
				.fd = one->worker, .events = POLLIN};
			who[count++] = one;
		}
		if (poll(list, count, deadline_left_ms(sweep_ms)) < 0 &&
			errno != EINTR) {
			log_line("poll: %s", strerror(errno));
			return;
		}
		for (unsigned i = 1; i < count; i++)
			if (list[i].revents != 0 &&
				!hear_worker(remote, who[i]))
				end_worker(remote, who[i]);
		wakeup_read(remote->fifo, take_line, remote);
	}
}

/* --- the start --- */

static void
make_options(struct remote *remote)
{
	const struct remote_settings *settings = &remote->settings;
	struct client_timeouts *timeouts = &remote->options.timeouts;

	remote->own[0] = settings->me;
	remote->own[1] = settings->helohost;
	remote->options.mx = (struct mx_options){.dns = &remote->dns,
		.own = remote->own,
		.owns = 2,
		.allow_local = (int)settings->allow_local,
		.port = (uint16_t)settings->port};
	remote->options.helo = settings->helohost;
	*timeouts = CLIENT_TIMEOUTS;
	if (settings->timeout_s != 0) {
		int64_t each_ms = settings->timeout_s * 1000;

		*timeouts = (struct client_timeouts){.greeting_ms = each_ms,
			.mail_ms = each_ms,
			.rcpt_ms = each_ms,
			.data_ms = each_ms,
			.block_ms = each_ms,
			.final_ms = each_ms};
	}
	timeouts->connect_ms = settings->timeout_connect_s * 1000;
}

static int
open_queue(struct remote *remote, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	home_path(&remote->home, "queue", path);
	/* the group may pass through the queue folder, not list it */
	remote->queue = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int jobs = openat(remote->queue, QUEUE_JOBS_REMOTE,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (remote->queue < 0 || jobs < 0) {
		snprintf(why, size, "%s: %s; make-home makes it", path,
			strerror(errno));
		return -1;
	}
	remote->fifo =
		wakeup_open_reader(remote->queue, QUEUE_WAKE_REMOTE, 0622);
	if (remote->fifo < 0) {
		snprintf(why, size, "queue/" QUEUE_WAKE_REMOTE ": %s",
			strerror(errno));
		return -1;
	}
	/* A second remote is harmless but for the wake-ups that it takes: each
	 * job is locked by whoever does it. */
	close(jobs);
	return 0;
}

static int
start(struct remote *remote, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	if (home_open(&remote->home, why, size) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&remote->home, "control", path),
			&remote->settings, why, size) < 0 ||
		dns_start(&remote->dns, &remote->settings.nameservers, why,
			size) < 0)
		return -1;
	make_options(remote);
	if (role_take(&role, &remote->home, why, size) < 0)
		return -1;
	if (why[0] != 0)
		log_line("%s", why);
	return open_queue(remote, why, size);
}

int
main(int argc, char **argv)
{
	struct remote remote = {.runner = WAKEUP_WRITER(QUEUE_WAKE_RUNNER)};
	char why[300];

	(void)argv;
	log_start("remote");
	if (argc > 1) {
		log_line("usage: remote");
		return STATUS_MISUSE;
	}
	signal(SIGPIPE, SIG_IGN);
	/* children are reaped by the kernel; their sockets tell of their end */
	signal(SIGCHLD, SIG_IGN);
	remote.last = &remote.first;
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (start(&remote, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	log_line("takes jobs");
	/* from here on input is touched */
	run(&remote);
	return STATUS_TEMPORARY;
}
