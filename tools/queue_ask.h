#ifndef TOOLS_QUEUE_ASK_H
#define TOOLS_QUEUE_ASK_H

/*
 * Puts requests into the queue and fetches the runner's answers
 * (queue/request.h, doc/queue.md).
 */

#include <stddef.h>
#include "queue/request.h"

struct ask {
	const char *program; /* for stderr */
	int queue_folder;
	int requests_folder; /* opened by queue_ask_open */
	uid_t runner;	     /* whose answers are believed */
	size_t refused;	     /* messages for which the answer was no */
	/* Reads an answer that is no list of messages: 0, or -1 if it is
	 * none. NULL: it is printed. */
	int (*read)(void *context, const void *octets, size_t length);
	void *context;
};

/* Opens the folder of requests. 0; or an exit status after telling a person on
 * stderr what is wrong: STATUS_MISUSE if the caller may not ask. */
int queue_ask_open(struct ask *ask, const char *program, int queue_folder);

/* Puts one request, durably, and rings for the runner. 0 and its name, or -1
 * after a message. */
int queue_ask_put(const struct ask *ask, const struct request *request,
	char name[IDENT_LENGTH + 1]);

/* True if a runner listens. */
bool queue_ask_is_heard(const struct ask *ask);

/*
 * Waits for the answer until the deadline, prints what it says of each message,
 * and removes it. 0; or -1: there is none yet (nothing was printed), or it is
 * none of the runner's (a message was).
 */
int queue_ask_fetch(struct ask *ask, const char *name, int64_t deadline_ms);

#endif
