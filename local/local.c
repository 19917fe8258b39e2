/*
 * local takes the jobs of local delivery: for each recipient it asks resolve what
 * the address means and the warden to deliver, and appends what became of it to
 * the job file.
 *
 * Runs as _keep-local, which may read the queue and ask resolve and the warden.
 * Is handed jobs by the runner, as files, and wake-ups.
 * Promises that a job gets its end record when every recipient has a result, and
 * not before; killed, it takes every job without one up again.
 * Never opens a mailbox, and reads no message: the warden's child gets the
 * descriptor.
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
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/home.h"
#include "lib/log.h"
#include "lib/role.h"
#include "lib/settings.h"
#include "local/resolve.h"
#include "local/warden.h"
#include "local/work.h"
#include "queue/layout.h"
#include "queue/limits.h"
#include "queue/message_file.h"
#include "queue/wakeup.h"

/* Jobs in memory at one time; more wait in their folder. */
#define JOBS_MAX 500
#define DELIVERIES_MAX 1000
/* How long resolve may take for one answer, in milliseconds. */
#define RESOLVE_MS 15000
/* How long a busy service may take to be connected to: nothing else goes on. */
#define CONNECT_MS 1000
/*
 * A service that cannot be reached, or whose child died, is asked again after
 * RETRY_MS, for up to PATIENCE_MS: it is being started again, and nothing is won
 * by deferring the mail. A delivery that ended without a report is tried so often.
 */
#define RETRY_MS 250
#define PATIENCE_MS 60000
#define TRIES_MAX 3

static const struct role role = {
	.program = "local",
	.user = "_keep-local",
	.group = "_keep-local",
	.groups = {"keep-read", "keep-suite"},
	.path = {{"queue", ROLE_READ}, {"queue/jobs/local", ROLE_WRITE},
		{"queue/wake", ROLE_WRITE}, {"socket", ROLE_CONNECT}},
	.calls = CALLS_READ | CALLS_WRITE | CALLS_CONNECT,
	.memory_octets = 256 * 1024 * 1024,
	.descriptors = 2 * JOBS_MAX + 2 * DELIVERIES_MAX + 64,
};

struct local_settings {
	int64_t deliveries;
};

static const struct setting settings_table[] = {
	{"concurrencylocal", SETTING_NUMBER, "10", 1, DELIVERIES_MAX,
		offsetof(struct local_settings, deliveries),
		"deliveries at one time"},
};

/* A recipient under way. */
struct delivery {
	struct work *work;
	uint32_t recipient;
	uint32_t owner;	     /* work_owner */
	int question;	     /* connection with a question to resolve; or -1 */
	int64_t question_ms; /* its deadline */
	int report;	     /* of the warden's child; or -1. Both: ask again */
	int64_t again_ms;    /* ask (again) then */
	int64_t patience_ms; /* deadline for asking again */
	unsigned tries;	     /* that ended without a report */
};

struct local {
	struct home home;
	struct local_settings settings;
	int queue, fifo;
	int warden;		  /* connection; -1: none */
	int idle[DELIVERIES_MAX]; /* connections to resolve */
	unsigned idles;
	char resolve_path[HOME_NAME_MAX], warden_path[HOME_NAME_MAX];
	struct wakeup_writer runner;
	struct work *first, **last;
	unsigned jobs;
	bool has_backlog; /* there was no room for a job */
	struct delivery delivery[DELIVERIES_MAX];
	unsigned deliveries;
};

/* --- jobs come and go --- */

static bool
is_known(const struct local *local, const char *dest, const char *name)
{
	for (const struct work *work = local->first; work; work = work->next)
		if (strcmp(work->name, name) == 0 &&
			strcmp(work->dest, dest) == 0)
			return true;
	return false;
}

static void
drop(struct local *local, struct work *work)
{
	struct work **link = &local->first;

	while (*link != work)
		link = &(*link)->next;
	*link = work->next;
	if (local->last == &work->next)
		local->last = link;
	local->jobs--;
	work_free(work);
}

static void
take_job(struct local *local, const char *dest, const char *name, bool is_found)
{
	if (strlen(name) >= sizeof local->first->name ||
		is_known(local, dest, name))
		return;
	if (local->jobs == JOBS_MAX) {
		local->has_backlog = true;
		return;
	}
	struct work *work = work_open(local->queue, dest, name, is_found);
	if (work == NULL)
		return;
	*local->last = work;
	local->last = &work->next;
	local->jobs++;
}

/* Every recipient has a result: it becomes the runner's. */
static void
finish(struct local *local, struct work *work)
{
	char line[WAKEUP_LINE_MAX + 1];

	if (job_finish(work->fd, &work->job) < 0) {
		log_line("cannot record the results of job %s: %s", work->name,
			strerror(errno));
		work->finish_ms = deadline_after_ms(1000);
		return;
	}
	snprintf(line, sizeof line, "local/%s/%s", work->dest, work->name);
	wakeup_ring(&local->runner, local->queue, line);
	drop(local, work);
}

/* --- one recipient --- */

static void
end_delivery(struct local *local, struct delivery *delivery,
	enum outcome outcome, const char *text)
{
	struct work *work = delivery->work;

	if (delivery->report >= 0)
		close(delivery->report);
	/* without memory it has no result, which counts as deferred */
	(void)job_set_result(
		&work->job.recipient[delivery->recipient], outcome, text);
	*delivery = local->delivery[--local->deliveries];
	work->under_way--;
	if (work->under_way == 0 && work->started == work->job.recipients)
		finish(local, work);
}

/* Later, or never if patience is over. */
static void
ask_again(struct local *local, struct delivery *delivery, const char *text)
{
	if (deadline_left_ms(delivery->patience_ms) == 0)
		end_delivery(local, delivery, OUTCOME_DEFERRED, text);
	else
		delivery->again_ms = deadline_after_ms(RETRY_MS);
}

static void
ask_warden(struct local *local, struct delivery *delivery,
	const struct resolve_answer *means)
{
	const struct work *work = delivery->work;
	struct warden_request request = {.magic = WARDEN_MAGIC,
		.kind = WARDEN_DELIVER,
		.content_offset = MESSAGE_HEADER_OCTETS,
		.content_octets = work->job.content_octets};
	int ends[2];

	snprintf(request.account, sizeof request.account, "%s", means->account);
	snprintf(request.id, sizeof request.id, "%s", work->job.id);
	snprintf(request.address, sizeof request.address, "%s",
		work->job.recipient[delivery->recipient].address);
	snprintf(request.reverse_path, sizeof request.reverse_path, "%s",
		work->job.reverse_path);
	snprintf(request.dash, sizeof request.dash, "%s", means->dash);
	snprintf(request.extension, sizeof request.extension, "%s",
		means->extension);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		ask_again(local, delivery, "4.3.0 no descriptors");
		return;
	}
	const int descriptor[] = {work->content, ends[1]};
	int sent = warden_ask(&local->warden, local->warden_path, &request,
		descriptor, 2, deadline_after_ms(CONNECT_MS));
	close(ends[1]);
	if (sent < 0) {
		close(ends[0]);
		ask_again(
			local, delivery, "4.3.0 the warden cannot be reached");
		return;
	}
	delivery->report = ends[0];
}

/*
 * Asks what the address means. The answer is not waited for here: it may depend
 * on a user's home folder, and nobody else's mail waits for that.
 */
static void
ask(struct local *local, struct delivery *delivery)
{
	const char *address =
		delivery->work->job.recipient[delivery->recipient].address;
	int fd = local->idles > 0 ? local->idle[--local->idles] : -1;

	if (resolve_send(&fd, local->resolve_path, address,
		    deadline_after_ms(CONNECT_MS)) < 0) {
		ask_again(local, delivery, "4.3.0 resolve cannot be reached");
		return;
	}
	delivery->question = fd;
	delivery->question_ms = deadline_after_ms(RESOLVE_MS);
}

static void
take_answer(struct local *local, struct delivery *delivery,
	const struct resolve_answer *means)
{
	char text[300];

	switch ((enum resolve_meaning)means->meaning) {
	case RESOLVE_ACCOUNT:
		ask_warden(local, delivery, means);
		break;
	case RESOLVE_NOT_OURS:
		/* control/locals has changed since the runner chose */
		end_delivery(local, delivery, OUTCOME_DEFERRED,
			"4.3.5 the domain is not local any more");
		break;
	case RESOLVE_NOBODY:
		snprintf(text, sizeof text, "5.1.1 %s", means->text);
		end_delivery(local, delivery, OUTCOME_FAILED, text);
		break;
	case RESOLVE_TEMPORARY:
		snprintf(text, sizeof text, "4.3.0 %s", means->text);
		ask_again(local, delivery, text);
		break;
	}
}

/* The question has an answer, or its time is over. */
static void
read_answer(struct local *local, struct delivery *delivery)
{
	struct resolve_answer means;
	int result = resolve_receive(delivery->question, &means);

	if (result < 0 && deadline_left_ms(delivery->question_ms) > 0)
		return;
	int fd = delivery->question;
	delivery->question = -1;
	if (result == 1) {
		local->idle[local->idles++] = fd;
		take_answer(local, delivery, &means);
		return;
	}
	close(fd);
	ask_again(local, delivery, "4.3.0 resolve cannot be reached");
}

static void
read_report(struct local *local, struct delivery *delivery)
{
	struct warden_report report;

	switch (warden_report_read(delivery->report, &report)) {
	case 1:
		end_delivery(local, delivery, (enum outcome)report.outcome,
			report.text);
		break;
	case 0:
		close(delivery->report);
		delivery->report = -1;
		if (++delivery->tries == TRIES_MAX ||
			deadline_left_ms(delivery->patience_ms) == 0)
			end_delivery(local, delivery, OUTCOME_DEFERRED,
				"4.3.0 the delivery ended without a report");
		else
			delivery->again_ms = deadline_after_ms(RETRY_MS);
		break;
	}
}

/* How many places of all one account may have. */
static unsigned
share(const struct local *local)
{
	return local->settings.deliveries < 2
		       ? 1
		       : (unsigned)local->settings.deliveries / 2;
}

static unsigned
under_way_for(const struct local *local, uint32_t owner)
{
	unsigned count = 0;

	for (unsigned i = 0; i < local->deliveries; i++)
		count += local->delivery[i].owner == owner;
	return count;
}

static void
start_delivery(struct local *local, struct work *work, uint32_t recipient)
{
	struct delivery *new = &local->delivery[local->deliveries++];

	*new = (struct delivery){.work = work,
		.recipient = recipient,
		.owner = work->owner[recipient],
		.question = -1,
		.report = -1,
		.patience_ms = deadline_after_ms(PATIENCE_MS)};
	work->is_taken[recipient] = true;
	work->started++;
	work->under_way++;
	ask(local, new);
}

/*
 * Takes up recipients while there is room: the first that came, except that nobody
 * gets more than a share, so that one whose deliveries never end leaves room.
 */
static void
start_deliveries(struct local *local)
{
	struct work *work = local->first, *next;

	for (; work != NULL; work = next) {
		uint32_t left = work->job.recipients - work->started;

		next = work->next;
		/* with the last recipient the job may be over and gone */
		for (uint32_t i = 0; left > 0; i++) {
			if (local->deliveries >=
				(unsigned)local->settings.deliveries)
				return;
			if (work->is_taken[i])
				continue;
			left--;
			if (under_way_for(local, work->owner[i]) < share(local))
				start_delivery(local, work, i);
		}
	}
}

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
	take_job(context, dest, line + LAYOUT_DEST_LENGTH + 1, false);
}

/* Every job in one destination's folder. */
static void
sweep_folder(struct local *local, const char *dest)
{
	char path[LAYOUT_PATH_MAX];
	struct dirent *entry;

	layout_job_folder(CHANNEL_LOCAL, dest, path);
	int fd = openat(local->queue, path,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	if (folder == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(folder)) != NULL && !local->has_backlog)
		if (entry->d_name[0] != '.')
			take_job(local, dest, entry->d_name, true);
	closedir(folder);
}

static void
sweep(struct local *local)
{
	struct dirent *entry;

	local->has_backlog = false;
	int fd = openat(local->queue, QUEUE_JOBS_LOCAL,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	if (folder == NULL) {
		log_line("cannot read queue/" QUEUE_JOBS_LOCAL ": %s",
			strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(folder)) != NULL)
		if (layout_dest_is_valid(entry->d_name, strlen(entry->d_name)))
			sweep_folder(local, entry->d_name);
	closedir(folder);
}

/* When the delivery has something to do by the clock. */
static int64_t
due_ms(const struct delivery *delivery)
{
	if (delivery->question >= 0)
		return delivery->question_ms;
	return delivery->report >= 0 ? DEADLINE_NEVER : delivery->again_ms;
}

/* What is due by the clock. Returns the time of the next such thing. */
static int64_t
do_what_is_due(struct local *local, int64_t next_ms)
{
	int64_t now_ms = deadline_now_ms();
	struct work *next;

	/* from the last on, because ending one moves the last */
	for (unsigned i = local->deliveries; i-- > 0;) {
		struct delivery *delivery = &local->delivery[i];

		if (due_ms(delivery) > now_ms)
			continue;
		if (delivery->question >= 0)
			read_answer(local, delivery);
		else
			ask(local, delivery);
	}
	for (struct work *work = local->first; work; work = next) {
		next = work->next;
		if (work->finish_ms != 0 && work->finish_ms <= now_ms)
			finish(local, work);
	}
	for (unsigned i = 0; i < local->deliveries; i++)
		if (due_ms(&local->delivery[i]) < next_ms)
			next_ms = due_ms(&local->delivery[i]);
	for (struct work *work = local->first; work; work = work->next)
		if (work->finish_ms != 0 && work->finish_ms < next_ms)
			next_ms = work->finish_ms;
	return next_ms;
}

static void
run(struct local *local)
{
	struct pollfd list[DELIVERIES_MAX + 1];
	int64_t sweep_ms = 0;

	for (;;) {
		if (deadline_left_ms(sweep_ms) == 0 ||
			(local->has_backlog && local->jobs < JOBS_MAX / 2)) {
			sweep(local);
			sweep_ms = deadline_after_ms(SWEEP_S * 1000);
		}
		start_deliveries(local);
		int64_t next_ms = do_what_is_due(local, sweep_ms);
		unsigned count = local->deliveries;
		list[0] = (struct pollfd){.fd = local->fifo, .events = POLLIN};
		for (unsigned i = 0; i < count; i++) {
			const struct delivery *one = &local->delivery[i];

			list[i + 1] = (struct pollfd){
				.fd = one->question >= 0 ? one->question
							 : one->report,
				.events = POLLIN};
		}
		if (poll(list, count + 1, deadline_left_ms(next_ms)) < 0 &&
			errno != EINTR) {
			log_line("poll: %s", strerror(errno));
			return;
		}
		for (unsigned i = count; i-- > 0;) {
			struct delivery *one = &local->delivery[i];

			if (list[i + 1].fd < 0 || list[i + 1].revents == 0)
				continue;
			if (one->question >= 0)
				read_answer(local, one);
			else
				read_report(local, one);
		}
		wakeup_read(local->fifo, take_line, local);
	}
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
	struct local local = {
		.warden = -1, .runner = WAKEUP_WRITER(QUEUE_WAKE_RUNNER)};
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
	log_line("takes jobs");
	/* from here on input is touched */
	run(&local);
	return STATUS_TEMPORARY;
}
