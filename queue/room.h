#ifndef QUEUE_ROOM_H
#define QUEUE_ROOM_H

/*
 * Whether the queue has room for more: octets and inodes of its disk, and
 * messages that the runner has not taken yet. Part of queue-inject: its parent
 * keeps one struct room, and each child checks its own submission's size.
 */

#include <stdbool.h>
#include <stdint.h>
#include "lib/outcome.h"

/* Octets of a line for a log or a submitter, NUL included. */
#define ROOM_TEXT_MAX 160

/* What must stay free on a disk. */
struct room_left {
	uint64_t octets;
	uint64_t inodes; /* not looked at where a file system has no number */
};

/*
 * Whether so many octets more fit on the disk of the open file fd and leave free
 * what must stay free. Returns SUBMIT_ACCEPTED; or SUBMIT_WRITE, with the reason
 * in why.
 */
enum submit_code room_on_disk(int fd, const struct room_left *left,
	uint64_t octets, char why[ROOM_TEXT_MAX]);

/* Zero but for the first three members at the start. */
struct room {
	int folder; /* incoming/ */
	struct room_left left;
	uint64_t incoming_max; /* files in it */
	uint64_t files;	       /* at most so many are there */
	uint64_t made;	       /* of these, since they were counted */
	int64_t counted_ms;
	enum submit_code refusal; /* SUBMIT_ACCEPTED: it is open */
	char why[ROOM_TEXT_MAX];
};

/*
 * Looks whether there is room now for messages of others than the suite itself.
 * Costs one call; files are counted only if they may be too many by now, and then
 * once a second at most or after an eighth of the limit. Once closed it opens
 * again at a sixteenth (files: an eighth) beyond the limit that closed it, so that
 * it does not open and close with each message; the log is told of either. True if
 * open; if not, room->refusal and room->why say why.
 */
bool room_is_open(struct room *room);

/* To be told of each file that is made in the folder, and of each that the same
 * program removes. */
void room_file_made(struct room *room);
void room_file_removed(struct room *room);

#endif
