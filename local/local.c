/*
 * local takes the jobs of local delivery: for each recipient it asks resolve what
 * the address means and the warden to deliver, and appends what became of it to
 * the job file.
 *
 * Runs as _keep-local, which may read the queue and ask resolve and the warden.
 * Is handed jobs by the runner, as files, and wake-ups.
 * Promises that a job gets its end record when every recipient has a result, and
 * not before; told to end, it finishes what is under way; killed, it takes every
 * job without an end record up again.
 * Never opens a mailbox, and reads no message: the warden's child gets the
 * descriptor.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/role.h"
#include "lib/settings.h"
#include "local/local.h"
#include "queue/limits.h"

/* How long deliveries may still take after SIGTERM. Those that take longer go on,
 * but are repeated, because nobody hears of their end. */
#define ENDING_MS 60000

static const struct role role = {
	.program = "local",
	.user = "_keep-local",
	.group = "_keep-local",
	.groups = {"keep-read", "keep-suite"},
	.path = {{"queue", ROLE_READ}, {"queue/jobs/local", ROLE_WRITE},
		{"queue/wake", ROLE_WRITE}, {"socket", ROLE_CONNECT}},
	.calls = CALLS_READ | CALLS_WRITE | CALLS_CONNECT,
	.memory_octets = 256 * 1024 * 1024,
	.descriptors = 2 * JOBS_MAX + 2 * DELIVERIES_MAX + STAYERS_MAX + 64,
};

static const struct setting settings_table[] = {
	{"concurrencylocal", SETTING_NUMBER, "20", 1, DELIVERIES_MAX,
		offsetof(struct local_settings, deliveries),
		"deliveries at one time"},
};

/* --- the loop --- */

/* "DEST/ID.N" */
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
	local_take_job(context, dest, line + LAYOUT_DEST_LENGTH + 1, false);
}

static int
open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Waits until something happens, and sees to it. 0, or -1. */
static int
wait_and_hear(struct local *local, int64_t next_ms)
{
	struct pollfd list[DELIVERIES_MAX + 2];
	struct signalfd_siginfo info;
	unsigned count = local->deliveries;

	list[count] = (struct pollfd){.fd = local->signals, .events = POLLIN};
	list[count + 1] = (struct pollfd){.fd = local->fifo, .events = POLLIN};
	for (unsigned i = 0; i < count; i++)
		list[i] = (struct pollfd){
			.fd = delivery_descriptor(&local->delivery[i]),
			.events = POLLIN};
	bool is_ending = local->end_ms != DEADLINE_NEVER;
	if (poll(list, count + (is_ending ? 0 : 2), deadline_left_ms(next_ms)) <
			0 &&
		errno != EINTR) {
		log_line("poll: %s", strerror(errno));
		return -1;
	}
	/* from the last on, because ending one moves the last */
	for (unsigned i = count; i-- > 0;)
		if (list[i].fd >= 0 && list[i].revents != 0)
			delivery_hear(local, &local->delivery[i]);
	if (is_ending)
		return 0;
	if (read(local->signals, &info, sizeof info) == sizeof info)
		local->end_ms = deadline_after_ms(ENDING_MS);
	else
		wakeup_read(local->fifo, take_line, local);
	return 0;
}

static int
run(struct local *local)
{
	int64_t sweep_ms = 0;

	while (local->end_ms == DEADLINE_NEVER) {
		if (deadline_left_ms(sweep_ms) == 0 ||
			(local->has_backlog && local->jobs < JOBS_MAX / 2)) {
			local_sweep(local);
			sweep_ms = deadline_after_ms(SWEEP_S * 1000);
		}
		deliveries_start(local);
		int64_t next_ms = stayers_do_due(
			local, deliveries_do_due(local, sweep_ms));
		if (wait_and_hear(local, next_ms) < 0)
			return STATUS_TEMPORARY;
	}
	while (deliveries_are_out(local) && deadline_left_ms(local->end_ms) > 0)
		if (wait_and_hear(local, local->end_ms) < 0)
			break;
	log_line("stops");
	return STATUS_DONE;
}

/* --- the start --- */

static int
start(struct local *local, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	if (home_open(&local->home, why, size) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&local->home, "control", path),
			&local->settings, why, size) < 0 ||
		role_take(&role, &local->home, why, size) < 0)
		return -1;
	if (why[0] != 0)
		log_line("%s", why);
	home_path(&local->home, "socket/resolve", local->resolve_path);
	home_path(&local->home, "socket/warden", local->warden_path);
	home_path(&local->home, "queue", path);
	/* the group may pass through the queue folder, not list it */
	local->queue = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int jobs = openat(local->queue, QUEUE_JOBS_LOCAL,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (local->queue < 0 || jobs < 0) {
		snprintf(why, size, "%s: %s; make-home makes it", path,
			strerror(errno));
		return -1;
	}
	/* held open, and with it the lock, until the end */
	if (flock(jobs, LOCK_EX | LOCK_NB) < 0) {
		snprintf(why, size, "another local has this queue");
		return -1;
	}
	local->fifo = wakeup_open_reader(local->queue, QUEUE_WAKE_LOCAL, 0622);
	if (local->fifo < 0) {
		snprintf(why, size, "queue/" QUEUE_WAKE_LOCAL ": %s",
			strerror(errno));
		return -1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct local local = {.warden = -1,
		.runner = WAKEUP_WRITER(QUEUE_WAKE_RUNNER),
		.end_ms = DEADLINE_NEVER};
	char why[300];

	(void)argv;
	log_start("local");
	if (argc > 1) {
		log_line("usage: local");
		return STATUS_MISUSE;
	}
	signal(SIGPIPE, SIG_IGN);
	local.last = &local.first;
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (start(&local, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	local.signals = open_signals();
	if (local.signals < 0) {
		log_line("no descriptor for signals: %s", strerror(errno));
		return STATUS_TEMPORARY;
	}
	log_line("takes jobs");
	/* from here on input is touched */
	return run(&local);
}
