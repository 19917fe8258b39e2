#ifndef TOOLS_QUEUE_WALK_H
#define TOOLS_QUEUE_WALK_H

/*
 * Goes through the message files of a queue, for tools that only look. The
 * runner moves files meanwhile, so a message may be seen twice or not at all;
 * whoever needs more asks the runner.
 */

#include "queue/layout.h"

struct queue_entry {
	const char *folder; /* QUEUE_INCOMING … QUEUE_DOUBTFUL */
	const char *path;   /* relative to the queue folder */
	const char *id;	    /* the last part of path, a valid id */
};

/*
 * Calls each(context, entry) for every file with an id for a name: incoming,
 * active, deferred, waiting, held, doubtful, in this order and by age within a
 * folder. The entry lives until each returns. Returns 0, or -1 with errno if a
 * folder cannot be read; *bad is then its path.
 */
int queue_walk(int queue_folder,
	void (*each)(void *context, const struct queue_entry *entry),
	void *context, char bad[LAYOUT_PATH_MAX]);

/* The folders in that order; NULL after the last. */
extern const char *const queue_walk_folder[];

/*
 * Opens HOME/queue for looking. Returns the descriptor, or -1 after telling a
 * person on stderr, as this program, what is wrong and who may look; errno is EACCES if the caller may not.
 */
int queue_walk_open(const char *program);

#endif
