#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/durable.h"
#include "local/mbox.h"
#include "local/way.h"

#define FROM "From "
#define COPY_SIZE 65536
/* How long until a lock is tried for again. */
#define LOCK_AGAIN_MS 50

struct delivery {
	int parent, file;
	char name[NAME_MAX + 1];
	bool is_new;
	const char *doing; /* for the text, should it fail */
};

/* --- writing, with what begins a message quoted --- */

struct writer {
	int fd;
	bool at_start;	/* of a line, but for ">" */
	size_t matched; /* octets of FROM that are held back */
	char last;	/* octet that was written */
	size_t held;
	char buffer[COPY_SIZE];
};

static int
flush(struct writer *writer)
{
	size_t held = writer->held;

	writer->held = 0;
	return durable_write_all(writer->fd, writer->buffer, held);
}

static int
put(struct writer *writer, const char *octets, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (writer->held == sizeof writer->buffer && flush(writer) < 0)
			return -1;
		writer->buffer[writer->held++] = octets[i];
		writer->last = octets[i];
	}
	return 0;
}

/* What was held back is no FROM. */
static int
let_go(struct writer *writer)
{
	size_t matched = writer->matched;

	writer->matched = 0;
	return put(writer, FROM, matched);
}

static int
put_octet(struct writer *writer, char octet)
{
	if (writer->at_start && octet == FROM[writer->matched]) {
		if (++writer->matched < strlen(FROM))
			return 0;
		writer->at_start = false;
		return put(writer, ">", 1) < 0 ? -1 : let_go(writer);
	}
	writer->at_start =
		octet == '\n' ||
		(writer->at_start && writer->matched == 0 && octet == '>');
	if (let_go(writer) < 0)
		return -1;
	return put(writer, &octet, 1);
}

static int
put_message(struct writer *writer, const struct maildir_message *message)
{
	char buffer[COPY_SIZE];
	uint64_t done = 0;

	while (done < message->octets) {
		uint64_t left = message->octets - done;
		ssize_t got = pread(message->fd, buffer,
			left < COPY_SIZE ? (size_t)left : COPY_SIZE,
			(off_t)(message->offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EIO; /* the message is shorter than promised */
		if (got <= 0)
			return -1;
		for (ssize_t i = 0; i < got; i++)
			if (put_octet(writer, buffer[i]) < 0)
				return -1;
		done += (uint64_t)got;
	}
	return let_go(writer);
}

static int
write_all(struct delivery *delivery, const char *line,
	const struct maildir_message *message)
{
	struct writer writer = {.fd = delivery->file, .at_start = true};

	delivery->doing = "write the message";
	if (put(&writer, line, strlen(line)) < 0 ||
		put(&writer, message->trace, strlen(message->trace)) < 0 ||
		put_message(&writer, message) < 0)
		return -1;
	if (writer.last != '\n' && put(&writer, "\n", 1) < 0)
		return -1;
	return put(&writer, "\n", 1) < 0 ? -1 : flush(&writer);
}

/* --- opening and locking --- */

static int
open_file(struct delivery *delivery)
{
	const int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK |
			  O_NOCTTY | O_CLOEXEC;
	struct stat st;

	delivery->doing = "open the mbox";
	delivery->file = openat(delivery->parent, delivery->name, flags);
	if (delivery->file < 0 && errno == ENOENT) {
		delivery->file = openat(delivery->parent, delivery->name,
			flags | O_CREAT | O_EXCL, 0600);
		delivery->is_new = delivery->file >= 0;
	}
	if (delivery->file < 0 || fstat(delivery->file, &st) < 0)
		return -1;
	if (S_ISREG(st.st_mode) && st.st_uid == geteuid())
		return 0;
	delivery->doing = "use as an mbox what is no file of its owner's";
	errno = EPERM;
	return -1;
}

/* 1: locked; 0: another one has it; -1 with errno. */
static int
try_lock(int fd)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
	if (fcntl(fd, F_SETLK, &all) == 0)
		return 1;
	int saved = errno;
	/* lest two wait for each other */
	(void)flock(fd, LOCK_UN);
	errno = saved;
	return errno == EACCES || errno == EAGAIN || errno == EINTR ? 0 : -1;
}

/* Whether the name still means the file that was opened. */
static bool
is_current(const struct delivery *delivery)
{
	struct stat here, there;

	return fstat(delivery->file, &here) == 0 &&
	       fstatat(delivery->parent, delivery->name, &there,
		       AT_SYMLINK_NOFOLLOW) == 0 &&
	       here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

/* Opens the file and locks it. 1; 0 when the time is over; -1 with errno. */
static int
open_locked(struct delivery *delivery, int64_t lock_ms)
{
	int64_t deadline_ms = deadline_after_ms(lock_ms);

	for (;;) {
		if (delivery->file < 0 && open_file(delivery) < 0)
			return -1;
		delivery->doing = "lock the mbox";
		int locked = try_lock(delivery->file);
		if (locked < 0 || (locked > 0 && is_current(delivery)))
			return locked;
		if (deadline_left_ms(deadline_ms) == 0)
			return 0;
		if (locked > 0 || !is_current(delivery)) {
			/* a reader has put another file in its place */
			close(delivery->file);
			delivery->file = -1;
		}
		(void)poll(NULL, 0, LOCK_AGAIN_MS);
	}
}

/* --- the delivery --- */

/* What ends the text before, should a delivery have been cut off amid it, so that
 * the next line "From " follows an empty line. NULL with errno. */
static const char *
gap_after(int fd, off_t length)
{
	char end[2] = "\n\n";
	size_t wanted = length < 2 ? (size_t)length : 2;
	ssize_t got;

	do
		got = pread(
			fd, end + 2 - wanted, wanted, length - (off_t)wanted);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return NULL;
	return end[1] != '\n' ? "\n\n" : end[0] != '\n' ? "\n" : "";
}

/* Writes all of it, or leaves the file as long as it was. */
static int
append(struct delivery *delivery, const char *line,
	const struct maildir_message *message)
{
	struct stat before;

	delivery->doing = "look at the mbox";
	if (fstat(delivery->file, &before) < 0)
		return -1;
	const char *gap = gap_after(delivery->file, before.st_size);
	if (gap == NULL)
		return -1;
	if (durable_write_all(delivery->file, gap, strlen(gap)) == 0 &&
		write_all(delivery, line, message) == 0) {
		delivery->doing = "sync the mbox";
		if (durable_sync_file(delivery->file) == 0 &&
			(!delivery->is_new || way_sync(delivery->parent) == 0))
			return 0;
	}
	int saved = errno;
	if (ftruncate(delivery->file, before.st_size) == 0)
		(void)durable_sync_file(delivery->file);
	errno = saved;
	return -1;
}

enum outcome
mbox_deliver(int folder, const char *path, const char *line,
	const struct maildir_message *message, int64_t lock_ms,
	char text[OUTCOME_TEXT_MAX + 1])
{
	struct delivery delivery = {.file = -1, .doing = "reach the mbox"};
	enum outcome outcome = OUTCOME_DEFERRED;
	int locked = -1;

	text[0] = 0;
	delivery.parent = way_open(folder, path, delivery.name);
	if (delivery.parent >= 0)
		locked = open_locked(&delivery, lock_ms);
	if (locked == 0)
		snprintf(text, OUTCOME_TEXT_MAX + 1,
			"4.2.0 mailbox is locked by another program");
	else if (locked < 0 || append(&delivery, line, message) < 0)
		way_explain(delivery.doing, path, errno, text);
	else
		outcome = OUTCOME_DELIVERED;
	way_close(delivery.file);
	way_close(delivery.parent);
	return outcome;
}
