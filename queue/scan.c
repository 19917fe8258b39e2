#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/durable.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "queue/runner.h"

/* Calls each(runner, folder, name) for every name in the folder but "." and "..",
 * until it returns false. */
static void
each_name(struct runner *runner, const char *folder,
	bool (*each)(
		struct runner *runner, const char *folder, const char *name))
{
	int fd = openat(runner->queue, folder,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *open_one = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (open_one == NULL) {
		if (errno != ENOENT)
			log_line("cannot read %s: %s", folder, strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(open_one)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
			strcmp(entry->d_name, "..") != 0 &&
			!each(runner, folder, entry->d_name))
			break;
	closedir(open_one);
}

static bool
is_id(const char *name)
{
	return ident_valid(name, strlen(name));
}

/* --- incoming --- */

static void
log_message(const struct message *message)
{
	log_line("new msg %s", message->id);
	log_line("info msg %s: bytes %llu from <%s> qp %s uid %u", message->id,
		(unsigned long long)message->file.header.content_octets,
		message->file.envelope.reverse_path, message->id,
		message->file.envelope.origin.uid);
}

/* True if the file is empty or has nothing but zeroes where its header would be:
 * its writer came no further. */
static bool
is_blank(int fd)
{
	unsigned char octets[MESSAGE_HEADER_OCTETS];
	ssize_t got = pread(fd, octets, sizeof octets, 0);

	for (ssize_t i = 0; i < got; i++)
		if (octets[i] != 0)
			return false;
	return got >= 0;
}

/* A file in incoming/ that nobody writes any more and that is not accepted:
 * litter, or damaged and therefore kept. */
static void
clear_away(const struct runner *runner, const char *id, bool is_damaged)
{
	char from[LAYOUT_PATH_MAX], to[LAYOUT_PATH_MAX];

	if (!is_damaged) {
		if (unlinkat(runner->incoming, id, 0) == 0)
			log_line(
				"removed incoming/%s, a broken submission", id);
		return;
	}
	layout_message(QUEUE_INCOMING, id, from);
	layout_message(QUEUE_DOUBTFUL, id, to);
	log_line("alarm: %s has a damaged header: moved to %s", from, to);
	if (renameat(runner->queue, from, runner->queue, to) < 0)
		log_line("cannot move it: %s", strerror(errno));
}

/* True if the open file in incoming/ is accepted mail; removes litter. */
static bool
is_accepted(const struct runner *runner, const char *id, int fd)
{
	struct message_header header;
	uint64_t age_us;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return false; /* it is being written */
	(void)flock(fd, LOCK_UN);
	enum message_result result = message_read_header(fd, &header);
	if (result == MESSAGE_OK && header.marked)
		return true;
	if (result == MESSAGE_ERROR) {
		log_line("cannot read incoming/%s: %s", id, strerror(errno));
		return false;
	}
	age_us = runner_now_ms() * 1000 - ident_time_us(id);
	if (age_us > (uint64_t)ORPHAN_AGE_S * 1000000 &&
		age_us < UINT64_MAX / 2)
		clear_away(runner, id, result == MESSAGE_BAD && !is_blank(fd));
	return false;
}

void
scan_take(struct runner *runner, const char *id, bool synced)
{
	if (message_find(runner, id) != NULL)
		return;
	if (runner->messages >= ACTIVE_MAX) {
		runner->has_backlog = true;
		return;
	}
	int fd = openat(runner->incoming, id,
		O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		if (errno != ENOENT)
			log_line("cannot open incoming/%s: %s", id,
				strerror(errno));
		return;
	}
	if (!is_accepted(runner, id, fd)) {
		close(fd);
		return;
	}
	/* Found without a wake-up: its writer may have died between the mark
	 * and the sync, so what is found is made durable before it is used. */
	if (!synced && (durable_sync_file(fd) < 0 ||
			       durable_sync_folder(runner->incoming) < 0)) {
		log_line("alarm: incoming/%s: sync: %s", id, strerror(errno));
		close(fd);
		return;
	}
	if (renameat(runner->incoming, id, runner->active, id) < 0) {
		log_line("cannot move incoming/%s to active: %s", id,
			strerror(errno));
		close(fd);
		return;
	}
	/* …and may not have reached the disk whole before a power cut. */
	struct message *message = message_load(runner, id, fd, !synced);
	if (message != NULL) {
		log_message(message);
		message_settle(runner, message);
	}
}

static bool
take_found(struct runner *runner, const char *folder, const char *name)
{
	(void)folder;
	if (is_id(name))
		scan_take(runner, name, false);
	return !runner->has_backlog;
}

void
scan_incoming(struct runner *runner)
{
	each_name(runner, QUEUE_INCOMING, take_found);
}

/* --- active, at the start --- */

static bool
load_active(struct runner *runner, const char *folder, const char *name)
{
	(void)folder;
	if (!is_id(name))
		return true;
	int fd = openat(runner->active, name,
		O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		log_line("cannot open active/%s: %s", name, strerror(errno));
	else
		(void)message_load(runner, name, fd, false);
	return true;
}

void
scan_active(struct runner *runner)
{
	each_name(runner, QUEUE_ACTIVE, load_active);
}

/* --- deferred and waiting --- */

static bool
activate(struct runner *runner, const char *folder, const char *name)
{
	char path[LAYOUT_PATH_MAX];

	if (!is_id(name) || message_find(runner, name) != NULL)
		return true;
	if (runner->messages >= ACTIVE_MAX) {
		runner->has_backlog = true;
		return false;
	}
	if (runner->turn == 0)
		return false;
	snprintf(path, sizeof path, "%s/%s", folder, name);
	int fd = openat(runner->queue, path,
		O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || renameat(runner->queue, path, runner->active, name) < 0) {
		log_line("cannot move %s to active: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return true;
	}
	struct message *message = message_load(runner, name, fd, false);
	if (message != NULL)
		message_settle(runner, message);
	runner->turn--;
	return true;
}

/* Takes everything out of one bucket, and removes it. */
static void
empty_bucket(struct runner *runner, const char *folder, const char *name)
{
	char path[LAYOUT_PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	each_name(runner, path, activate);
	(void)unlinkat(runner->queue, path, AT_REMOVEDIR);
}

static bool
look_at_bucket(struct runner *runner, const char *folder, const char *name)
{
	uint64_t minute;

	if (layout_minute_scan(name, &minute) == 0 &&
		(runner->is_forced ||
			schedule_bucket_is_due(minute, runner_now_ms())))
		empty_bucket(runner, folder, name);
	return !runner->has_backlog;
}

/* One turn of one destination. */
static bool
look_at_waiting(struct runner *runner, const char *folder, const char *name)
{
	char local[LAYOUT_DEST_LENGTH + 1];
	enum channel channel;

	if (!layout_dest_is_valid(name, strlen(name)))
		return true;
	layout_dest("local", local);
	channel = strcmp(name, local) == 0 ? CHANNEL_LOCAL : CHANNEL_REMOTE;
	if (runner->in_channel[channel] < CHANNEL_MESSAGES_MAX) {
		runner->turn = WAITING_TURN;
		empty_bucket(runner, folder, name);
		if (runner->turn > 0)
			return !runner->has_backlog;
	}
	runner->waits[channel] = true;
	return !runner->has_backlog;
}

bool
scan_waiting_is_due(const struct runner *runner)
{
	for (int channel = CHANNEL_LOCAL; channel <= CHANNEL_REMOTE; channel++)
		if (runner->waits[channel] &&
			runner->in_channel[channel] < CHANNEL_MESSAGES_MAX / 2)
			return runner->messages < ACTIVE_MAX;
	return false;
}

void
scan_waiting(struct runner *runner)
{
	runner->waits[CHANNEL_LOCAL] = runner->waits[CHANNEL_REMOTE] = false;
	each_name(runner, QUEUE_WAITING, look_at_waiting);
	runner->turn = 0;
}

void
scan_due(struct runner *runner)
{
	runner->turn = UINT_MAX;
	each_name(runner, QUEUE_DEFERRED, look_at_bucket);
	scan_waiting(runner);
}

/* --- jobs --- */

static enum channel
channel_of(const char *folder)
{
	return strncmp(folder, QUEUE_JOBS_LOCAL, strlen(QUEUE_JOBS_LOCAL)) == 0
		       ? CHANNEL_LOCAL
		       : CHANNEL_REMOTE;
}

static bool
adopt(struct runner *runner, const char *folder, const char *name)
{
	char path[LAYOUT_PATH_MAX * 3];

	jobs_adopt(runner, channel_of(folder), strrchr(folder, '/') + 1, name);
	/* an earlier run was stopped before it could give it its name */
	if (name[0] == '.') {
		snprintf(path, sizeof path, "%s/%s", folder, name);
		(void)unlinkat(runner->queue, path, 0);
	}
	return true;
}

static bool
adopt_destination(struct runner *runner, const char *folder, const char *name)
{
	char path[LAYOUT_PATH_MAX];

	if (layout_dest_is_valid(name, strlen(name))) {
		snprintf(path, sizeof path, "%s/%s", folder, name);
		each_name(runner, path, adopt);
	}
	return true;
}

void
scan_job_files(struct runner *runner)
{
	each_name(runner, QUEUE_JOBS_LOCAL, adopt_destination);
	each_name(runner, QUEUE_JOBS_REMOTE, adopt_destination);
}

static bool
remove_empty(struct runner *runner, const char *folder, const char *name)
{
	char path[LAYOUT_PATH_MAX];

	if (layout_dest_is_valid(name, strlen(name))) {
		snprintf(path, sizeof path, "%s/%s", folder, name);
		/* fails where a job is left, as it should */
		(void)unlinkat(runner->queue, path, AT_REMOVEDIR);
	}
	return true;
}

void
scan_empty_destinations(struct runner *runner)
{
	each_name(runner, QUEUE_JOBS_REMOTE, remove_empty);
}
