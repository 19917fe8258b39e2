/*
 * queue-runner owns every accepted message from its acceptance to its end: it
 * finds new ones, hands recipients out as jobs to `local` and `remote`, records
 * what became of them, tries again what was deferred, and tells the sender of
 * what failed.
 *
 * Runs as _keep-runner; the queue's folders are its own.
 * Is handed the queue folder, opened before it gives root up.
 * Promises that a message leaves the queue only when each recipient has a final
 * outcome and every bounce owed is durable.
 * Never delivers anything, and reads a message's content only to return it.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "lib/role.h"
#include "queue/runner.h"

/* How often those that wait are looked at, besides when something ends. */
#define WAITING_LOOK_MS 500
/* Beside those of messages: folders, FIFOs, and those of small senders. */
#define SPARE_DESCRIPTORS 300

static const struct role role = {
	.program = "queue-runner",
	.user = "_keep-runner",
	.group = "_keep-runner",
	.groups = {"keep-read", "keep-users"},
	.path = {{"queue", ROLE_WRITE}, {"control", ROLE_READ},
		{"users", ROLE_READ}, {"socket", ROLE_CONNECT}},
	.calls = CALLS_READ | CALLS_WRITE | CALLS_CONNECT,
	.memory_octets = 1024 * 1024 * 1024,
	.descriptors = ACTIVE_MAX + SPARE_DESCRIPTORS,
};

#define AT(member) offsetof(struct runner_settings, member)
static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, AT(me), "this host's name"},
	{"locals", SETTING_LIST, "", 0, 0, AT(locals),
		"domains that are delivered here; me if missing"},
	{"virtualdomains", SETTING_LIST, "", 0, 0, AT(virtualdomains),
		"[user@][domain]:prepend: delivered here as prepend-local"},
	{"smtproutes", SETTING_LIST, "", 0, 0, AT(smtproutes),
		"domain:relay:port, where mail goes instead of to MX hosts"},
	{"queuelifetime", SETTING_NUMBER, "604800", 1, 100000000,
		AT(queuelifetime_s), "seconds until a deferred message fails"},
	{"bouncelifetime", SETTING_NUMBER, "0", 0, 100000000,
		AT(bouncelifetime_s),
		"the same for messages without a sender; 0: queuelifetime"},
	{"delaywarning", SETTING_NUMBER, "0", 0, 100000000, AT(delaywarning_s),
		"seconds until the sender is told of a delay; 0: never"},
	{"bouncemaxbytes", SETTING_NUMBER, "65536", 0, 1000000000,
		AT(bouncemaxbytes),
		"octets of a message that a bounce returns whole"},
	{"bouncetext", SETTING_LIST, "", 0, 0, AT(bouncetext),
		"lines that stand in every report"},
	{"bouncefrom", SETTING_TEXT, "MAILER-DAEMON", 0, 0, AT(bouncefrom),
		"local part in a bounce's From"},
	{"bouncehost", SETTING_HOST, "@me", 0, 0, AT(bouncehost),
		"host in a bounce's From"},
	{"doublebounceto", SETTING_TEXT, "postmaster", 0, 0, AT(doublebounceto),
		"local part that gets double bounces"},
	{"doublebouncehost", SETTING_HOST, "@me", 0, 0, AT(doublebouncehost),
		"host that gets double bounces"},
	{"concurrencylocal", SETTING_NUMBER, "20", 1, 1000,
		AT(concurrencylocal), "deliveries that local does at one time"},
	{"concurrencyremote", SETTING_NUMBER, "60", 1, 1000,
		AT(concurrencyremote), "workers of remote at one time"},
	{"concurrencydestination", SETTING_NUMBER, "20", 1, 1000,
		AT(concurrencydestination),
		"jobs that one destination gets at one time"},
	{"backoffmin", SETTING_NUMBER, "300", 1, 86400, AT(backoffmin_s),
		"seconds until a destination that is down is tried again"},
	{"backoffmax", SETTING_NUMBER, "3600", 1, 86400, AT(backoffmax_s),
		"the same after many failures"},
	{"retryschedule", SETTING_LIST, "", 0, 0, AT(retryschedule),
		"ages of a message in seconds at which it is tried; if "
		"missing, the intervals grow with the square root of the age"},
};

/* --- the loop --- */

/* "incoming/ID", "requests/NAME", "retry/DOMAIN", "local/DEST/ID.N",
 * "remote/DEST/ID.N". */
static void
take_line(void *context, const char *line)
{
	struct runner *runner = context;
	char dest[LAYOUT_DEST_LENGTH + 1];

	if (strncmp(line, "incoming/", 9) == 0) {
		if (ident_valid(line + 9, strlen(line + 9)))
			scan_take(runner, line + 9, true);
		return;
	}
	if (strncmp(line, QUEUE_REQUESTS "/", 9) == 0) {
		if (ident_valid(line + 9, strlen(line + 9)))
			requests_take(runner, line + 9);
		return;
	}
	if (strncmp(line, QUEUE_STALLED "/", sizeof QUEUE_STALLED) == 0) {
		jobs_stall(runner, line + sizeof QUEUE_STALLED);
		return;
	}
	if (strncmp(line, "retry/", 6) == 0) {
		retries_take(runner, line + 6);
		return;
	}
	for (int channel = CHANNEL_LOCAL; channel <= CHANNEL_REMOTE;
		channel++) {
		const char *name = channel_name((enum channel)channel);
		size_t length = strlen(name);
		const char *rest = line + length + 1;

		if (strncmp(line, name, length) != 0 || line[length] != '/' ||
			strlen(rest) < LAYOUT_DEST_LENGTH + 2 ||
			rest[LAYOUT_DEST_LENGTH] != '/' ||
			!layout_dest_is_valid(rest, LAYOUT_DEST_LENGTH))
			continue;
		memcpy(dest, rest, LAYOUT_DEST_LENGTH);
		dest[LAYOUT_DEST_LENGTH] = 0;
		results_take(runner, (enum channel)channel, dest,
			rest + LAYOUT_DEST_LENGTH + 1);
	}
}

/* What needs a look every SWEEP_S seconds, wake-ups or not. */
static void
sweep(struct runner *runner)
{
	int64_t now_ms = deadline_now_ms();

	for (unsigned i = 0; i < TABLE_SLOTS; i++)
		for (struct message *message = runner->table[i]; message;
			message = message->next) {
			results_sweep(runner, message);
			if (message->retry_ms != 0 &&
				message->retry_ms <= now_ms)
				message_list(runner, message);
		}
	scan_begin(runner);
	waiting_start(runner);
	waiting_sweep(runner);
	requests_sweep(runner);
	scan_empty_destinations(runner);
	flows_release_idle(&runner->flows, now_ms);
}

static int read_control(struct runner *runner);

/* Whatever was put off before now is due, and no destination is down. */
static void
force(struct runner *runner)
{
	runner->forced_ms = runner_now_ms() + 1;
	runner->buckets_done = runner->buckets;
	for (unsigned i = 0; i < FLOWS_SLOTS; i++)
		for (struct flow *flow = runner->flows.slot[i]; flow != NULL;
			flow = flow->next)
			flow_retry_now(flow, deadline_now_ms());
	scan_begin(runner);
}

static void
take_signals(struct runner *runner)
{
	struct signalfd_siginfo info;

	while (read(runner->signals, &info, sizeof info) == sizeof info)
		switch (info.ssi_signo) {
		case SIGTERM:
			runner->is_ending = true;
			break;
		case SIGALRM:
			log_line("everything that is deferred is due now");
			force(runner);
			break;
		case SIGHUP:
			if (read_control(runner) < 0)
				log_line("the old settings hold");
			else
				log_line("settings read again");
			break;
		}
}

/* Everything that can be done without waiting, in slices, so that what is new is
 * never far behind. True if there is more. */
static bool
work(struct runner *runner)
{
	bool more = scan_step(runner);

	more |= waiting_step(runner);
	more |= requests_step(runner);
	more |= retries_step(runner);
	message_settle_listed(runner);
	jobs_hand_out(runner);
	if (runner->outcomes >= COMMIT_OUTCOMES ||
		deadline_now_ms() >= runner->commit_ms) {
		commit_all(runner);
		message_settle_listed(runner);
		jobs_hand_out(runner);
	}
	return more || runner->asked_is_ready;
}

static void
run(struct runner *runner)
{
	struct pollfd wait[] = {
		{.fd = runner->signals, .events = POLLIN},
		{.fd = runner->fifo, .events = POLLIN},
	};
	int64_t sweep_ms = 0;

	while (!runner->is_ending) {
		if (deadline_now_ms() >= sweep_ms) {
			sweep(runner);
			sweep_ms = deadline_after_ms(SWEEP_S * 1000);
		}
		bool more = work(runner);
		int64_t next_ms = sweep_ms < runner->commit_ms
					  ? sweep_ms
					  : runner->commit_ms;
		/* those that wait may have their turn by time alone */
		if (runner->flows.waiting != NULL || runner->has_stalled ||
			runner->retries.is_busy) {
			int64_t soon_ms = deadline_after_ms(WAITING_LOOK_MS);

			next_ms = soon_ms < next_ms ? soon_ms : next_ms;
		}
		log_write();
		if (poll(wait, 2, more ? 0 : deadline_left_ms(next_ms)) < 0 &&
			errno != EINTR) {
			log_line("poll: %s", strerror(errno));
			break;
		}
		take_signals(runner);
		wakeup_read(runner->fifo, take_line, runner);
	}
	commit_all(runner);
}

/* --- the start --- */

/* How many messages there is room for: as many as may be open. */
static unsigned
room_in_memory(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
		limit.rlim_cur >= ACTIVE_MAX + SPARE_DESCRIPTORS)
		return ACTIVE_MAX;
	return limit.rlim_cur > 2 * SPARE_DESCRIPTORS
		       ? (unsigned)limit.rlim_cur - SPARE_DESCRIPTORS
		       : SPARE_DESCRIPTORS;
}

/* Reads control files; only a whole set of sound ones replaces what holds. */
static int
read_control(struct runner *runner)
{
	struct runner_settings settings = {0};
	struct schedule schedule = {0};
	struct ours *ours = calloc(1, sizeof *ours);
	struct routes routes = ROUTES_ZERO;
	char why[300] = "out of memory";

	if (ours == NULL ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			runner->control, &settings, why, sizeof why) < 0 ||
		routes_build(&routes, &settings.smtproutes, why, sizeof why) <
			0)
		goto fail;
	if (why[0] != 0)
		log_line("%s", why);
	snprintf(why, sizeof why, "out of memory");
	if (schedule_read(&schedule, &settings.retryschedule, why, sizeof why) <
		0)
		goto fail;
	if (ours_build(ours, &runner->home, settings.me, &settings.locals,
		    &settings.virtualdomains, why, sizeof why) < 0)
		goto fail;
	settings_free(settings_table, SETTINGS_COUNT(settings_table),
		&runner->settings);
	if (runner->ours != NULL)
		ours_free(runner->ours);
	free(runner->ours);
	routes_free(&runner->routes);
	runner->settings = settings;
	runner->schedule = schedule;
	runner->flows.window_max = (unsigned)settings.concurrencydestination;
	runner->flows.backoff_min_ms = settings.backoffmin_s * 1000;
	runner->flows.backoff_max_ms = settings.backoffmax_s * 1000;
	runner->ours = ours;
	runner->routes = routes;
	return 0;
fail:
	log_line("%s", why);
	settings_free(
		settings_table, SETTINGS_COUNT(settings_table), &settings);
	free(ours);
	routes_free(&routes);
	return -1;
}

static int
open_folder(const struct runner *runner, const char *name, int how)
{
	char path[HOME_NAME_MAX];
	int fd = open(home_path(&runner->home, name, path),
		how | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		log_line("%s: %s; make-home makes it", path, strerror(errno));
	return fd;
}

static int
open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* After role_take: what the runner opens must be the runner's to open. */
static int
open_queue(struct runner *runner)
{
	/* keep-read may pass through the queue folder, not list it */
	runner->queue = open_folder(runner, "queue", O_PATH);
	runner->incoming =
		open_folder(runner, "queue/" QUEUE_INCOMING, O_RDONLY);
	runner->active = open_folder(runner, "queue/" QUEUE_ACTIVE, O_RDONLY);
	if (runner->queue < 0 || runner->incoming < 0 || runner->active < 0)
		return -1;
	if (flock(runner->active, LOCK_EX | LOCK_NB) < 0) {
		log_line("another queue-runner has this queue");
		return -1;
	}
	runner->fifo =
		wakeup_open_reader(runner->queue, QUEUE_WAKE_RUNNER, 0622);
	if (runner->fifo < 0) {
		log_line("queue/" QUEUE_WAKE_RUNNER ": %s", strerror(errno));
		return -1;
	}
	return 0;
}

/* What an earlier run left: active messages, jobs that are out, results. 0, or -1:
 * not all of it can be taken up now, and nobody would look at it later. */
static int
take_up(struct runner *runner)
{
	scan_active(runner);
	if (!runner->is_stuck)
		scan_job_files(runner);
	if (runner->is_stuck)
		return -1;
	for (unsigned i = 0; i < TABLE_SLOTS; i++)
		for (struct message *message = runner->table[i]; message;
			message = message->next) {
			results_sweep(runner, message);
			message_list(runner, message);
		}
	waiting_start(runner);
	log_line("runs; %u messages were active", runner->messages);
	return 0;
}

int
main(int argc, char **argv)
{
	struct runner runner = {
		.channel = {WAKEUP_WRITER(QUEUE_WAKE_LOCAL),
			WAKEUP_WRITER(QUEUE_WAKE_REMOTE)},
		.commit_ms = DEADLINE_NEVER,
	};
	char why[300];

	(void)argv;
	log_start(""); /* analysers count words from the time on */
	if (argc > 1) {
		log_line("usage: queue-runner");
		return STATUS_MISUSE;
	}
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (home_open(&runner.home, why, sizeof why) < 0 ||
		role_take(&role, &runner.home, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	if (why[0] != 0)
		log_line("%s", why);
	home_path(&runner.home, "control", runner.control);
	runner.signals = open_signals();
	if (runner.signals < 0 || read_control(&runner) < 0 ||
		open_queue(&runner) < 0)
		return STATUS_TEMPORARY;
	runner.active_max = room_in_memory();
	/* from here on input is touched */
	if (take_up(&runner) < 0) {
		log_line("cannot take up what is active: a new start may");
		return STATUS_TEMPORARY;
	}
	log_gather();
	run(&runner);
	log_line("stops");
	log_write();
	return STATUS_DONE;
}
