#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

/* So many names are looked at before the runner sees to other things. */
#define SLICE 32

bool
scan_error_is_passing(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* Calls each(runner, folder, name) for every name in the folder but "." and "..",
 * until it returns false. 0, or -1 after a log line: it cannot be read to its end.
 */
static int
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
		return errno == ENOENT ? 0 : -1;
	}
	while (errno = 0, (entry = readdir(open_one)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
			strcmp(entry->d_name, "..") != 0 &&
			!each(runner, folder, entry->d_name))
			break;
	int result = entry == NULL && errno != 0 ? -1 : 0;
	if (result < 0)
		log_line("cannot read %s: %s", folder, strerror(errno));
	closedir(open_one);
	return result;
}

void
scan_walk_open(struct runner *runner, struct walk *walk, const char *path)
{
	int fd = openat(runner->queue, path,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	walk->folder = fd < 0 ? NULL : fdopendir(fd);
	snprintf(walk->path, sizeof walk->path, "%s", path);
	if (walk->folder == NULL) {
		if (errno != ENOENT)
			log_line("cannot read %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
}

const char *
scan_walk_next(struct walk *walk)
{
	struct dirent *entry;

	while ((entry = readdir(walk->folder)) != NULL)
		if (ident_valid(entry->d_name, strlen(entry->d_name)))
			return entry->d_name;
	closedir(walk->folder);
	walk->folder = NULL;
	return NULL;
}

static bool
is_id(const char *name)
{
	return ident_valid(name, strlen(name));
}

/* --- incoming --- */

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
	char path[LAYOUT_PATH_MAX];

	if (message_find(runner, id) != NULL)
		return;
	layout_message(QUEUE_INCOMING, id, path);
	int fd = openat(runner->queue, path,
		O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		if (errno != ENOENT)
			log_line("cannot open %s: %s", path, strerror(errno));
		return;
	}
	if (!is_accepted(runner, id, fd)) {
		close(fd);
		return;
	}
	/* Found without a wake-up: its writer may have died between the mark
	 * and the sync, so what is found is made durable, and checked, before
	 * it is used. */
	if (!synced && (durable_sync_file(fd) < 0 ||
			       durable_sync_folder(runner->incoming) < 0)) {
		log_line("alarm: %s: sync: %s", path, strerror(errno));
		close(fd);
		return;
	}
	struct message *message = message_load(runner, id, path, fd, !synced);
	if (message != NULL) {
		history_new(message);
		admit(runner, message, false);
	}
}

/* --- active, at the start --- */

/* It is due, and has to queue up. 0, or -1 after a log line. */
static int
put_later(struct runner *runner, const char *path, const char *id)
{
	char later[LAYOUT_PATH_MAX];

	layout_bucket(0, later);
	(void)mkdirat(runner->queue, later, 0755);
	layout_deferred(0, id, later);
	if (renameat(runner->queue, path, runner->queue, later) == 0)
		return 0;
	log_line("cannot move %s: %s", path, strerror(errno));
	return -1;
}

static bool
load_active(struct runner *runner, const char *folder, const char *name)
{
	char path[LAYOUT_PATH_MAX];

	(void)folder;
	if (!is_id(name))
		return true;
	layout_message(QUEUE_ACTIVE, name, path);
	if (runner->messages >= runner->active_max) {
		/* there was more memory once */
		runner->is_stuck |= put_later(runner, path, name) < 0;
		return !runner->is_stuck;
	}
	int fd = openat(runner->queue, path,
		O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		log_line("cannot open %s: %s", path, strerror(errno));
		/* nobody looks here again before the next start */
		runner->is_stuck =
			scan_error_is_passing(errno) ||
			(errno != ENOENT && put_later(runner, path, name) < 0);
	} else if (message_load(runner, name, path, fd, true) == NULL &&
		   faccessat(runner->queue, path, F_OK, 0) == 0) {
		runner->is_stuck = true;
	}
	return !runner->is_stuck;
}

void
scan_active(struct runner *runner)
{
	if (each_name(runner, QUEUE_ACTIVE, load_active) < 0)
		runner->is_stuck = true;
}

/* --- deferred --- */

static void
activate(struct runner *runner, const char *folder, const char *id)
{
	char path[LAYOUT_PATH_MAX];

	if (message_find(runner, id) != NULL)
		return;
	snprintf(path, sizeof path, "%.80s/%.20s", folder, id);
	int fd = openat(runner->queue, path,
		O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		log_line("cannot open %s: %s", path, strerror(errno));
		return;
	}
	struct message *message = message_load(runner, id, path, fd, false);
	if (message == NULL)
		return;
	message->due_before_ms = runner->forced_ms;
	admit(runner, message, false);
}

static int
compare_minutes(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static bool
note_bucket(struct runner *runner, const char *folder, const char *name)
{
	uint64_t minute, *more;

	(void)folder;
	if (layout_minute_scan(name, &minute) < 0 ||
		(runner->forced_ms == 0 &&
			!schedule_bucket_is_due(
				&runner->schedule, minute, runner_now_ms())))
		return true;
	if ((runner->buckets & (runner->buckets - 1)) == 0) {
		size_t room = runner->buckets == 0 ? 1 : runner->buckets * 2;

		more = reallocarray(runner->bucket, room, sizeof *more);
		if (more == NULL)
			return false; /* the rest at the next sweep */
		runner->bucket = more;
	}
	runner->bucket[runner->buckets++] = minute;
	return true;
}

/* The buckets that are due now; those that are made meanwhile are not among
 * them. */
static void
list_buckets(struct runner *runner)
{
	runner->buckets = runner->buckets_done = 0;
	(void)each_name(runner, QUEUE_DEFERRED, note_bucket);
	if (runner->buckets > 0)
		qsort(runner->bucket, runner->buckets, sizeof *runner->bucket,
			compare_minutes);
}

/* Takes some out of the buckets that are due. True if there is more. */
static bool
step_due(struct runner *runner)
{
	struct walk *walk = &runner->due;
	char path[LAYOUT_PATH_MAX];

	for (unsigned i = 0; i < SLICE; i++) {
		if (!admit_has_room(runner)) {
			runner->has_stalled = true;
			return false;
		}
		if (walk->folder == NULL) {
			if (runner->buckets_done == runner->buckets) {
				runner->forced_ms = 0;
				return false;
			}
			layout_bucket(
				runner->bucket[runner->buckets_done++], path);
			scan_walk_open(runner, walk, path);
			if (walk->folder == NULL)
				continue;
		}
		const char *id = scan_walk_next(walk);
		if (id != NULL)
			activate(runner, walk->path, id);
		else
			(void)unlinkat(runner->queue, walk->path, AT_REMOVEDIR);
	}
	return true;
}

/* --- both walks --- */

void
scan_begin(struct runner *runner)
{
	if (runner->new.folder == NULL)
		scan_walk_open(runner, &runner->new, QUEUE_INCOMING);
	if (runner->due.folder == NULL &&
		runner->buckets_done == runner->buckets)
		list_buckets(runner);
}

bool
scan_step(struct runner *runner)
{
	runner->has_stalled = false;
	for (unsigned i = 0; i < SLICE && runner->new.folder != NULL; i++) {
		const char *id = scan_walk_next(&runner->new);

		if (id != NULL)
			scan_take(runner, id, false);
	}
	bool more = step_due(runner);
	return more || runner->new.folder != NULL;
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
	return !runner->is_stuck;
}

static bool
adopt_destination(struct runner *runner, const char *folder, const char *name)
{
	char path[LAYOUT_PATH_MAX];

	if (layout_dest_is_valid(name, strlen(name))) {
		snprintf(path, sizeof path, "%s/%s", folder, name);
		if (each_name(runner, path, adopt) < 0)
			runner->is_stuck = true;
	}
	return !runner->is_stuck;
}

void
scan_job_files(struct runner *runner)
{
	if (each_name(runner, QUEUE_JOBS_LOCAL, adopt_destination) < 0 ||
		each_name(runner, QUEUE_JOBS_REMOTE, adopt_destination) < 0)
		runner->is_stuck = true;
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
	(void)each_name(runner, QUEUE_JOBS_REMOTE, remove_empty);
}
