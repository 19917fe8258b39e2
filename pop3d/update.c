#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/durable.h"
#include "pop3d/maildrop.h"

/* So often is a file looked for that others rename meanwhile. */
#define ROUNDS_MAX 3
/* Maildir++: the quota's file. Who keeps it makes a new one long before this. */
#define QUOTA_NAME "maildirsize"
#define QUOTA_OCTETS_MAX (1024 * 1024)

/* What is to be taken off the quota. */
struct removed {
	uint64_t octets, files;
};

/*
 * Whether the name that is known still is this message's: 1 with its status, 0,
 * or -1 with errno.
 */
static int
is_in_place(const struct maildrop *drop, const struct maildrop_message *message,
	struct stat *status)
{
	if (fstatat(drop->folder[message->folder], message->name, status,
		    AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	return S_ISREG(status->st_mode) && status->st_ino == message->inode;
}

/* The flags in a message's name, "" for none. */
static const char *
flags_of(const struct maildrop_message *message)
{
	const char *info = message->name + message->base_length;

	return strncmp(info, ":2,", 3) == 0 ? info + 3 : "";
}

/*
 * Removes a message's file. 1: it is removed; 0: it is not under this name;
 * -1 with errno: it stays.
 */
static int
remove_file(struct maildrop *drop, struct maildrop_message *message,
	struct removed *removed)
{
	struct stat status;
	int in_place = is_in_place(drop, message, &status);

	if (in_place <= 0)
		return in_place;
	if (unlinkat(drop->folder[message->folder], message->name, 0) < 0)
		return errno == ENOENT ? 0 : -1;
	drop->changed[message->folder] = 1;
	if (status.st_nlink > 1)
		message->linked = 1;
	/* What is in the trash is not counted (Maildir++). */
	else if (strchr(flags_of(message), 'T') == NULL) {
		removed->octets += (uint64_t)status.st_size;
		removed->files++;
	}
	return 1;
}

/*
 * Tries once to remove every marked message. Messages that are not under their
 * names, and those with another name, are left for the next round: returns how
 * many. Those that are removed become gone.
 */
static size_t
remove_round(struct maildrop *drop, struct maildrop_update *update,
	struct removed *removed)
{
	size_t missed = 0;

	for (size_t at = 0; at < drop->messages; at++) {
		struct maildrop_message *message = &drop->message[at];

		if (!message->deleted || message->gone)
			continue;
		int result = remove_file(drop, message, removed);
		if (result < 0)
			update->error = errno;
		else if (result == 1 && !message->linked)
			message->gone = 1;
		else
			missed++;
	}
	return missed;
}

static void
remove_marked(struct maildrop *drop, struct maildrop_update *update,
	struct removed *removed)
{
	size_t missed = 0;

	/* What was gone earlier may only have been between two names. */
	for (size_t at = 0; at < drop->messages; at++)
		missed += drop->message[at].deleted && drop->message[at].gone;
	missed += remove_round(drop, update, removed);
	for (int round = 1; missed > 0 && round < ROUNDS_MAX; round++) {
		if (maildrop_refresh(drop) < 0) {
			update->error = errno;
			break;
		}
		missed = remove_round(drop, update, removed);
	}
	if (missed > 0 && maildrop_refresh(drop) < 0)
		update->error = errno;
	for (size_t at = 0; at < drop->messages; at++) {
		if (!drop->message[at].deleted)
			continue;
		if (drop->message[at].gone)
			update->deleted++;
		else
			update->remaining++;
	}
}

/*
 * The name in cur/ of a message that was seen: with S among its flags, which stand
 * in the order of ASCII. 0, or -1 with ENAMETOOLONG.
 */
static int
seen_name(const struct maildrop_message *message, char name[NAME_MAX + 1])
{
	const char *flags = flags_of(message);
	size_t before = 0;

	while (flags[before] != '\0' && flags[before] < 'S')
		before++;
	int length = snprintf(name, NAME_MAX + 1, "%.*s:2,%.*sS%s",
		(int)message->base_length, message->name, (int)before, flags,
		flags + before);
	if (length > 0 && length <= NAME_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

/* Makes a message seen. 1: it is; 0: not under this name; -1 with errno. */
static int
make_seen(struct maildrop *drop, struct maildrop_message *message)
{
	char name[NAME_MAX + 1];
	struct stat status;
	int in_place = is_in_place(drop, message, &status);

	if (in_place <= 0)
		return in_place;
	if (seen_name(message, name) < 0)
		return -1;
	if (drop->folder[MAILDROP_CUR] < 0) {
		errno = ENOTDIR;
		return -1;
	}
	if (durable_publish(drop->folder[message->folder], message->name,
		    drop->folder[MAILDROP_CUR], name) < 0)
		return errno == ENOENT ? 0 : -1;
	drop->changed[message->folder] = drop->changed[MAILDROP_CUR] = 1;
	return 1;
}

/* What says that a message was seen, and information that is not flags. */
static int
is_seen(const struct maildrop_message *message)
{
	const char *info = message->name + message->base_length;

	return message->folder == MAILDROP_CUR &&
	       ((*info != '\0' && strncmp(info, ":2,", 3) != 0) ||
		       strchr(flags_of(message), 'S') != NULL);
}

/* A message that another program took from its place meanwhile is left to it. */
static void
move_retrieved(struct maildrop *drop, struct maildrop_update *update)
{
	for (size_t at = 0; at < drop->messages; at++) {
		struct maildrop_message *message = &drop->message[at];

		if (!message->retrieved || message->deleted || message->gone ||
			is_seen(message))
			continue;
		int moved = make_seen(drop, message);
		if (moved < 0) {
			update->error = errno;
			update->unmoved++;
		} else {
			update->moved += moved == 1;
		}
	}
}

/*
 * Takes what was removed off the quota: one line more at the end of its file. It
 * is an estimate that whoever keeps it makes anew, so a failure is no trouble.
 */
static void
take_off_quota(const struct maildrop *drop, const struct removed *removed)
{
	struct stat status;
	char line[64];

	if (removed->files == 0 || drop->maildir < 0)
		return;
	int fd = openat(drop->maildir, QUOTA_NAME,
		O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
			O_CLOEXEC);
	if (fd < 0)
		return;
	int length = snprintf(line, sizeof line, "-%llu -%llu\n",
		(unsigned long long)removed->octets,
		(unsigned long long)removed->files);
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
		status.st_size < QUOTA_OCTETS_MAX)
		(void)durable_write_all(fd, line, (size_t)length);
	close(fd);
}

int
maildrop_update(struct maildrop *drop, struct maildrop_update *update)
{
	struct removed removed = {0};
	int synced = 1;

	*update = (struct maildrop_update){0};
	remove_marked(drop, update, &removed);
	update->octets = removed.octets;
	move_retrieved(drop, update);
	/* cur/ first: after a power cut between the two a moved message has
	 * two names, not none. */
	for (int folder = MAILDROP_CUR; folder >= MAILDROP_NEW; folder--) {
		if (!drop->changed[folder])
			continue;
		if (durable_sync_folder(drop->folder[folder]) < 0) {
			update->error = errno;
			synced = 0;
		}
	}
	take_off_quota(drop, &removed);
	return synced && update->remaining == 0 ? 0 : -1;
}
