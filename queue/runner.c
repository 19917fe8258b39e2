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
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "lib/role.h"
#include "queue/runner.h"

/* When a message that cannot be read for want of memory is looked at again. */
#define UNREAD_MS (5 * 60 * 1000)

static const struct role role = {
	.program = "queue-runner",
	.user = "_keep-runner",
	.group = "_keep-runner",
	.groups = {"keep-read"},
	.path = {{"queue", ROLE_WRITE}, {"control", ROLE_READ},
		{"socket", ROLE_CONNECT}},
	.calls = CALLS_READ | CALLS_WRITE | CALLS_CONNECT,
	.memory_octets = 1024 * 1024 * 1024,
	.descriptors = ACTIVE_MAX + 64,
};

#define AT(member) offsetof(struct runner_settings, member)
static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, AT(me), "this host's name"},
	{"locals", SETTING_LIST, "", 0, 0, AT(locals),
		"domains that are delivered here; me if missing"},
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
	{"concurrencylocal", SETTING_NUMBER, "10", 1, 1000,
		AT(concurrencylocal), "of local; for the log"},
	{"concurrencyremote", SETTING_NUMBER, "20", 1, 1000,
		AT(concurrencyremote), "of remote; for the log"},
};

uint64_t
runner_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- the table of messages --- */

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

void
message_forget(struct runner *runner, struct message *message)
{
	struct message **link = &runner->table[slot_of(message->id)];

	while (*link != message)
		link = &(*link)->next;
	*link = message->next;
	runner->messages--;
	close(message->fd);
	message_free(&message->file);
	free(message->in_hand);
	free(message->job);
	free(message);
}

static void
set_apart(struct runner *runner, const char *id)
{
	char to[LAYOUT_PATH_MAX];

	layout_message(QUEUE_DOUBTFUL, id, to);
	log_line("alarm: active/%s is not a sound message file: moved to %s",
		id, to);
	if (renameat(runner->active, id, runner->queue, to) < 0)
		log_line("cannot move it: %s", strerror(errno));
}

/* Nobody has looked into it, so its own minute is not known: soon. */
static void
put_off_unread(struct runner *runner, const char *id)
{
	char to[LAYOUT_PATH_MAX], bucket[LAYOUT_PATH_MAX];
	uint64_t minute = schedule_minute(runner_now_ms() + UNREAD_MS);

	layout_bucket(minute, bucket);
	layout_deferred(minute, id, to);
	log_line("cannot read active/%s: %s; put off to %s", id,
		strerror(errno), to);
	if ((mkdirat(runner->queue, bucket, 0755) < 0 && errno != EEXIST) ||
		renameat(runner->active, id, runner->queue, to) < 0)
		log_line("cannot move it: %s; it is taken up at the next start",
			strerror(errno));
}

struct message *
message_load(struct runner *runner, const char *id, int fd, bool check_content)
{
	struct message *message = calloc(1, sizeof *message);
	enum message_result result = MESSAGE_ERROR;

	if (message != NULL)
		result = message_read(fd, check_content, &message->file);
	if (result == MESSAGE_OK)
		message->in_hand = calloc(message->file.envelope.recipients,
			sizeof *message->in_hand);
	if (result == MESSAGE_OK && message->in_hand != NULL) {
		memcpy(message->id, id, IDENT_LENGTH + 1);
		message->fd = fd;
		struct message **slot = &runner->table[slot_of(id)];
		message->next = *slot;
		*slot = message;
		runner->messages++;
		return message;
	}
	if (result == MESSAGE_BAD)
		set_apart(runner, id);
	else
		put_off_unread(runner, id);
	close(fd);
	if (message != NULL)
		message_free(&message->file);
	free(message);
	return NULL;
}

/* --- the next step --- */

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

static bool
any_is_due(const struct runner *runner, const struct message *message)
{
	for (uint32_t i = 0; i < message->file.envelope.recipients; i++)
		if (jobs_recipient_is_due(runner, message, i))
			return true;
	return false;
}

void
message_settle(struct runner *runner, struct message *message)
{
	if (message->jobs_out > 0)
		return;
	message->retry_ms = 0;
	message->waits_for[0] = 0;
	memset(message->in_hand, 0,
		message->file.envelope.recipients * sizeof *message->in_hand);
	if (any_is_due(runner, message)) {
		if (jobs_hand_out(runner, message) < 0)
			message->retry_ms = deadline_after_ms(SWEEP_S * 1000);
		if (message->jobs_out > 0 || message->retry_ms != 0)
			return;
	}
	if (bounce_send(runner, message) < 0) {
		message->retry_ms = deadline_after_ms(SWEEP_S * 1000);
		return;
	}
	message->is_over = every_recipient_is_final(message);
	commit_note(runner, message);
}

/* --- the loop --- */

/* "incoming/ID", "local/DEST/ID.N", "remote/DEST/ID.N". */
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
		jobs_take_result(runner, (enum channel)channel, dest,
			rest + LAYOUT_DEST_LENGTH + 1);
	}
}

/* What needs a look every SWEEP_S seconds, wake-ups or not. */
static void
sweep(struct runner *runner)
{
	runner->has_backlog = false;
	for (unsigned i = 0; i < TABLE_SLOTS; i++)
		for (struct message *message = runner->table[i]; message;
			message = message->next)
			jobs_sweep(runner, message);
	scan_incoming(runner);
	scan_due(runner);
	runner->is_forced = false;
	scan_empty_destinations(runner);
}

static void
settle_again(struct runner *runner)
{
	int64_t now_ms = deadline_now_ms();

	for (unsigned i = 0; i < TABLE_SLOTS; i++)
		for (struct message *message = runner->table[i]; message;
			message = message->next)
			if (message->retry_ms != 0 &&
				message->retry_ms <= now_ms)
				message_settle(runner, message);
}

static int read_control(struct runner *runner);

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
			runner->is_forced = true;
			break;
		case SIGHUP:
			if (read_control(runner) < 0)
				log_line("the old settings hold");
			else
				log_line("settings read again");
			break;
		}
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
		if (deadline_now_ms() >= sweep_ms || runner->is_forced ||
			(runner->has_backlog &&
				runner->messages < ACTIVE_MAX / 2)) {
			sweep(runner);
			settle_again(runner);
			sweep_ms = deadline_after_ms(SWEEP_S * 1000);
		}
		if (scan_waiting_is_due(runner))
			scan_waiting(runner);
		int64_t next_ms = sweep_ms < runner->commit_ms
					  ? sweep_ms
					  : runner->commit_ms;
		if (poll(wait, 2, deadline_left_ms(next_ms)) < 0 &&
			errno != EINTR) {
			log_line("poll: %s", strerror(errno));
			break;
		}
		take_signals(runner);
		wakeup_read(runner->fifo, take_line, runner);
		if (runner->outcomes >= COMMIT_OUTCOMES ||
			deadline_now_ms() >= runner->commit_ms)
			commit_all(runner);
	}
	commit_all(runner);
}

/* --- the start --- */

/* Reads control files; only a whole set of sound ones replaces what holds. */
static int
read_control(struct runner *runner)
{
	struct runner_settings settings = {0};
	struct domains locals = DOMAINS_ZERO;
	struct routes routes = ROUTES_ZERO;
	char why[300] = "out of memory";
	size_t i = 0;

	if (settings_read(settings_table, SETTINGS_COUNT(settings_table),
		    runner->control, &settings, why, sizeof why) < 0 ||
		routes_build(&routes, &settings.smtproutes, why, sizeof why) <
			0)
		goto fail;
	for (; i < settings.locals.count; i++)
		if (domains_add(&locals, settings.locals.line[i],
			    strlen(settings.locals.line[i])) < 0) {
			snprintf(why, sizeof why,
				"control/locals line %zu: expected a domain",
				settings.locals.number[i]);
			goto fail;
		}
	if (!settings.locals.present &&
		domains_add(&locals, settings.me, strlen(settings.me)) < 0)
		goto fail;
	settings_free(settings_table, SETTINGS_COUNT(settings_table),
		&runner->settings);
	domains_free(&runner->locals);
	routes_free(&runner->routes);
	runner->settings = settings;
	runner->locals = locals;
	runner->routes = routes;
	return 0;
fail:
	log_line("%s", why);
	settings_free(
		settings_table, SETTINGS_COUNT(settings_table), &settings);
	domains_free(&locals);
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

/* What an earlier run left: active messages, jobs that are out, results. */
static void
take_up(struct runner *runner)
{
	scan_active(runner);
	scan_job_files(runner);
	for (unsigned i = 0; i < TABLE_SLOTS; i++)
		for (struct message *message = runner->table[i]; message;
			message = message->next) {
			jobs_sweep(runner, message);
			if (!message->is_dirty)
				message_settle(runner, message);
		}
	log_line("runs; %u messages were active", runner->messages);
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
	log_start("queue-runner");
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
	/* from here on input is touched */
	take_up(&runner);
	run(&runner);
	log_line("stops");
	return STATUS_DONE;
}
