#ifndef TOOLS_QUEUE_MEND_H
#define TOOLS_QUEUE_MEND_H

/*
 * What queue_mend.c, which chooses, and queue_mend_file.c, which moves files,
 * share.
 */

#include "tools/queue_check.h"

/* One finding in hand: its folder is open, and its name stands. */
struct mend {
	const struct check *check;
	enum check_what what;
	char path[CHECK_PATH_MAX];
	const char *name; /* the last part of path */
	int folder;
	struct stat st;
	bool is_apart; /* it goes to doubtful/ under a new id */
	char *done;
	size_t size;
};

/* Say what was done, or why it was not; true and false, to return. The last one
 * says errno. */
bool mend_is_done(const struct mend *mend, const char *done);
bool mend_is_left(const struct mend *mend, const char *why);
bool mend_has_failed(const struct mend *mend);

/* Opens the very file that was looked at; -1 with errno. */
int mend_open(const struct mend *mend);

/* 0, or -1 with errno. fd is open on what mend->st shows. */
int mend_set_owner(
	const struct mend *mend, int fd, const struct check_owner *owner);

/* Moves the file to doubtful/ with its reason, and raises an alarm. */
bool mend_set_apart(struct mend *mend);

/* Moves a sound message to incoming/, anything else to doubtful/. */
bool mend_bring_in(struct mend *mend);

#endif
