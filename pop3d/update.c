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
/* What a message's name in cur/ ends in that was seen. */
#define SEEN_SUFFIX ":2,S"

/*
 * Whether the name that is known still is this message's: 1, 0, or -1 with
 * errno.
 */
static int
is_in_place(const struct maildrop *drop, const struct maildrop_message *message)
{
	struct stat status;

	if (fstatat(drop->folder[message->folder], message->name, &status,
		    AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	return S_ISREG(status.st_mode) && status.st_ino == message->inode;
}

/*
 * Removes a message's file. 1: it is removed; 0: it is not under this name;
 * -1 with errno: it stays.
 */
static int
remove_file(struct maildrop *drop, const struct maildrop_message *message)
{
	int in_place = is_in_place(drop, message);

	if (in_place <= 0)
		return in_place;
	if (unlinkat(drop->folder[message->folder], message->name, 0) < 0)
		return errno == ENOENT ? 0 : -1;
	drop->changed[message->folder] = 1;
	return 1;
}

/*
 * Tries once to remove every marked message. Messages that are not under their
 * names, and those with another name, are left for the next round: returns how
 * many. Those that are removed become gone.
 */
static size_t
remove_round(struct maildrop *drop, struct maildrop_update *update)
{
	size_t missed = 0;

	for (size_t at = 0; at < drop->messages; at++) {
		struct maildrop_message *message = &drop->message[at];

		if (!message->deleted || message->gone)
			continue;
		int removed = remove_file(drop, message);
		if (removed < 0)
			update->error = errno;
		else if (removed == 1 && !message->linked)
			message->gone = 1;
		else
			missed++;
	}
	return missed;
}

static void
remove_marked(struct maildrop *drop, struct maildrop_update *update)
{
	size_t missed = 0;

	/* What was gone earlier may only have been between two names. */
	for (size_t at = 0; at < drop->messages; at++)
		missed += drop->message[at].deleted && drop->message[at].gone;
	missed += remove_round(drop, update);
	for (int round = 1; missed > 0 && round < ROUNDS_MAX; round++) {
		if (maildrop_refresh(drop) < 0) {
			update->error = errno;
			break;
		}
		missed = remove_round(drop, update);
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

/* Moves a message that is in new/ to cur/. 1: moved; 0: not under this name;
 * -1 with errno. */
static int
move_to_cur(struct maildrop *drop, struct maildrop_message *message)
{
	char name[NAME_MAX + 1];
	int length = snprintf(name, sizeof name, "%.*s" SEEN_SUFFIX,
		(int)message->base_length, message->name);
	int in_place = is_in_place(drop, message);

	if (in_place <= 0)
		return in_place;
	if (length < 0 || (size_t)length >= sizeof name) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (drop->folder[MAILDROP_CUR] < 0) {
		errno = ENOTDIR;
		return -1;
	}
	if (durable_publish(drop->folder[MAILDROP_NEW], message->name,
		    drop->folder[MAILDROP_CUR], name) < 0)
		return errno == ENOENT ? 0 : -1;
	drop->changed[MAILDROP_NEW] = drop->changed[MAILDROP_CUR] = 1;
	return 1;
}

/* A message that another program took from new/ meanwhile needs no move. */
static void
move_retrieved(struct maildrop *drop, struct maildrop_update *update)
{
	for (size_t at = 0; at < drop->messages; at++) {
		struct maildrop_message *message = &drop->message[at];

		if (!message->retrieved || message->deleted || message->gone ||
			message->folder != MAILDROP_NEW)
			continue;
		int moved = move_to_cur(drop, message);
		if (moved < 0) {
			update->error = errno;
			update->unmoved++;
		} else {
			update->moved += moved == 1;
		}
	}
}

int
maildrop_update(struct maildrop *drop, struct maildrop_update *update)
{
	int synced = 1;

	*update = (struct maildrop_update){0};
	remove_marked(drop, update);
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
	return synced && update->remaining == 0 ? 0 : -1;
}
