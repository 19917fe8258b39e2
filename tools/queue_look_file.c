#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include "lib/ident.h"
#include "lib/records.h"
#include "queue/job_file.h"
#include "queue/layout.h"
#include "queue/limits.h"
#include "queue/message_file.h"
#include "tools/queue_check.h"

/* --- what a message file holds --- */

/*
 * After the last sound outcome record stands nothing, or a tail that was torn: a
 * part of a record, or octets that never reached the disk and are zero. A whole
 * record there has been spoiled, and hides all that follow it.
 */
static bool
has_spoiled_record(int fd, const struct message_file *message)
{
	unsigned char octets[4];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	uint64_t left = (uint64_t)st.st_size - message->end;
	if ((uint64_t)st.st_size < message->end || left < RECORD_OVERHEAD ||
		pread(fd, octets, sizeof octets, (off_t)message->end) !=
			sizeof octets)
		return false;
	uint64_t length = (uint64_t)octets[0] << 24 |
			  (uint64_t)octets[1] << 16 | (uint64_t)octets[2] << 8 |
			  octets[3];
	return length > 0 && length + RECORD_OVERHEAD <= left;
}

/* The part of a message file that message_read did not take. */
static enum check_what
bad_part(int fd)
{
	struct message_header header;
	struct message_file message;

	switch (message_read_header(fd, &header)) {
	case MESSAGE_BAD:
		return CHECK_HEADER;
	case MESSAGE_ERROR:
		return CHECK_UNREADABLE;
	default:
		break;
	}
	switch (message_read(fd, 0, &message)) {
	case MESSAGE_BAD:
		return CHECK_ENVELOPE;
	case MESSAGE_ERROR:
		return CHECK_UNREADABLE;
	default:
		message_free(&message);
		return CHECK_CONTENT;
	}
}

enum check_what
check_message_content(int fd)
{
	enum check_what what = CHECK_WHATS;
	struct message_file message;

	switch (message_read(fd, 1, &message)) {
	case MESSAGE_BAD:
		return bad_part(fd);
	case MESSAGE_ERROR:
		return CHECK_UNREADABLE;
	default:
		break;
	}
	if (!message.header.marked)
		what = CHECK_UNMARKED;
	else if (has_spoiled_record(fd, &message))
		what = CHECK_OUTCOMES;
	message_free(&message);
	return what;
}

/* --- incoming --- */

/* True if its age is that of litter; a clock that was put back makes none. */
static bool
is_old(const char *id)
{
	uint64_t now_us, then_us = ident_time_us(id);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	return now_us > then_us &&
	       now_us - then_us > (uint64_t)ORPHAN_AGE_S * 1000000;
}

/* True if the octets of the mark stand, whatever the header's check says. */
static bool
has_mark(int fd)
{
	static const unsigned char mark[4] = {0x4b, 0x45, 0x50, 0x54};
	unsigned char octets[4];

	return pread(fd, octets, sizeof octets, 12) == sizeof octets &&
	       memcmp(octets, mark, sizeof mark) == 0;
}

/*
 * A file in incoming/ that is not marked is being written, or what a broken
 * submission left. Its lock is tried only at an age that no submission reaches:
 * a lock taken here for a moment would be in the way of its writer.
 */
static enum check_what
unmarked_incoming(int fd, const char *id)
{
	if (!is_old(id) || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return CHECK_WHATS;
	(void)flock(fd, LOCK_UN);
	return CHECK_ORPHAN;
}

static enum check_what
look_inside(int fd, const char *folder, const char *id)
{
	struct message_header header;
	enum message_result result = MESSAGE_OK;

	if (strcmp(folder, QUEUE_INCOMING) == 0) {
		result = message_read_header(fd, &header);
		if (result == MESSAGE_BAD && has_mark(fd))
			return CHECK_HEADER;
		if (result == MESSAGE_BAD ||
			(result == MESSAGE_OK && !header.marked))
			return unmarked_incoming(fd, id);
	}
	return result == MESSAGE_ERROR ? CHECK_UNREADABLE
				       : check_message_content(fd);
}

/* --- one file --- */

/* Opens what check_stat showed. -1 if it is gone or cannot be read. */
static int
open_same(struct check *check, const char *path, struct stat *st)
{
	int fd = check_open_file(check->queue, path);

	if (fd < 0) {
		if (errno != ENOENT)
			check_unread(check, path);
		return -1;
	}
	if (fstat(fd, st) == 0 && S_ISREG(st->st_mode))
		return fd;
	close(fd);
	return -1;
}

static int
remember(struct check *check, const char *path, const char *id)
{
	if (check->ids == check->ids_room) {
		size_t room = check->ids_room ? check->ids_room * 2 : 256;
		struct check_id *more =
			reallocarray(check->seen, room, sizeof *more);

		if (more == NULL) {
			check_unread(check, path);
			return -1;
		}
		check->seen = more;
		check->ids_room = room;
	}
	struct check_id *new = &check->seen[check->ids++];
	snprintf(new->id, sizeof new->id, "%s", id);
	snprintf(new->path, sizeof new->path, "%.99s", path);
	return 0;
}

/* True if it is no regular file; then that is what there is to say of it. */
static bool
is_odd(struct check *check, const char *folder, const char *name,
	const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return false;
	check_found(check, S_ISDIR(st->st_mode) ? CHECK_FOLDER : CHECK_NO_FILE,
		folder, name, st);
	return true;
}

void
check_message(struct check *check, const char *folder, const char *name)
{
	char path[CHECK_PATH_MAX];
	struct stat st;

	if (check_stat(check, folder, name, &st) < 0 ||
		is_odd(check, folder, name, &st))
		return;
	if (!ident_valid(name, strlen(name))) {
		check_found(check, CHECK_NAME, folder, name, &st);
		return;
	}
	check_path(path, folder, name);
	int fd = open_same(check, path, &st);
	if (fd < 0 || remember(check, path, name) < 0) {
		if (fd >= 0)
			close(fd);
		return;
	}
	enum check_what what = look_inside(fd, folder, name);
	if (what == CHECK_UNREADABLE)
		check_unread(check, path);
	else if (what != CHECK_WHATS)
		check_found(check, what, folder, name, &st);
	close(fd);
	if (!check_owner_is(check, check_owner_of(path, S_IFREG), &st))
		check_found(check, CHECK_OWNER, folder, name, &st);
}

/* --- jobs --- */

/* True if the file is a job of this name and place. */
static bool
is_job(int fd, const char *channel, const char *dest, const char *id,
	bool *is_unread)
{
	char wanted[LAYOUT_DEST_LENGTH + 1];
	struct job job;
	bool result;

	switch (job_read(fd, &job)) {
	case JOB_BAD:
		return false;
	case JOB_NO_MEMORY:
		*is_unread = true;
		return true;
	default:
		break;
	}
	layout_dest(job.destination, wanted);
	result = strcmp(job.id, id) == 0 && strcmp(wanted, dest) == 0 &&
		 (strcmp(channel, "local") == 0) ==
			 (strcmp(job.destination, "local") == 0);
	job_free(&job);
	return result;
}

static void
look_into_job(struct check *check, const char *channel, const char *dest,
	const char *folder, const char *name, const char *id)
{
	char path[CHECK_PATH_MAX], active[LAYOUT_PATH_MAX];
	bool is_unread = false;
	struct stat st, message;

	check_path(path, folder, name);
	int fd = open_same(check, path, &st);
	if (fd < 0)
		return;
	if (!is_job(fd, channel, dest, id, &is_unread))
		check_found(check, CHECK_JOB, folder, name, &st);
	if (is_unread)
		check_unread(check, path);
	close(fd);
	layout_message(QUEUE_ACTIVE, id, active);
	if (fstatat(check->queue, active, &message, AT_SYMLINK_NOFOLLOW) < 0 &&
		errno == ENOENT)
		check_found(check, CHECK_JOB_ALONE, folder, name, &st);
	if (!check_owner_is(check, check_owner_of(path, S_IFREG), &st))
		check_found(check, CHECK_OWNER, folder, name, &st);
}

void
check_job(struct check *check, const char *channel, const char *dest,
	const char *name)
{
	char folder[LAYOUT_PATH_MAX], id[21];
	uint32_t number;
	struct stat st;

	snprintf(folder, sizeof folder, "jobs/%s/%s", channel, dest);
	if (check_stat(check, folder, name, &st) < 0 ||
		is_odd(check, folder, name, &st))
		return;
	if (name[0] == '.' && layout_job_scan(name + 1, id, &number) == 0)
		check_found(check, CHECK_JOB_TEMPORARY, folder, name, &st);
	else if (layout_job_scan(name, id, &number) < 0)
		check_found(check, CHECK_NAME, folder, name, &st);
	else
		look_into_job(check, channel, dest, folder, name, id);
}
