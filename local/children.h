#ifndef LOCAL_CHILDREN_H
#define LOCAL_CHILDREN_H

/*
 * The warden's children: how many there are, for whom, and until when. A child has
 * become the owner of an account, who may stop it by a signal (kill(2) asks for
 * no more than the same uid) or give it a file system that never answers. So no
 * child is trusted to end by itself, and no account gets all places.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "local/resolve.h"

struct child {
	pid_t pid;
	int64_t end_ms; /* deadline (lib/deadline.h); then it is killed */
	char account[ACCOUNT_KEY_MAX];
};

struct children {
	struct child *child;
	unsigned count, max;
	unsigned share; /* of one account */
};

/* Room for so many (at least 1), of which one account may have a quarter, and
 * never less than one. 0, or -1 with errno ENOMEM. */
int children_start(struct children *children, unsigned max);

/* Whether there is room for one more of this account (a key with its NUL). The
 * alias account, which belongs to nobody with a shell, has no share. */
bool children_has_room(const struct children *children, const char *account);

/* Takes a child up. There must be room. */
void children_add(struct children *children, pid_t pid, const char *account,
	int64_t end_ms);

/* A child has been waited for. Unknown ones are ignored. */
void children_remove(struct children *children, pid_t pid);

/*
 * Sends SIGKILL, which no stopped process escapes, to every child whose time is
 * over; they stay listed until they are removed. Returns how many.
 */
unsigned children_kill_overdue(struct children *children);

/* The deadline at which children_kill_overdue has something to do next. */
int64_t children_next_ms(const struct children *children);

void children_free(struct children *children);

#endif
