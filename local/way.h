#ifndef LOCAL_WAY_H
#define LOCAL_WAY_H

/*
 * The way to a mailbox that a user's instructions name, and what is said when it
 * cannot be used.
 */

#include <limits.h>
#include "lib/outcome.h"

/*
 * Opens the folder that holds what path names (relative to the open folder,
 * absolute if it begins with "/"), one component after the other, so that none is
 * a symbolic link; it need not be readable. The last component goes into last; it
 * is "." for a path that has none. Returns an O_PATH descriptor, the caller's to
 * close; or -1 with errno.
 */
int way_open(int folder, const char *path, char last[NAME_MAX + 1]);

/* Makes a new name in a folder durable; the descriptor may be one with O_PATH. 0,
 * or -1 with errno. */
int way_sync(int folder);

/* Closes, if it is a descriptor, without touching errno. */
void way_close(int fd);

/* Writes "4.x.x WHAT: cannot DOING: PATH: ERROR": 4.2.2 quota, 4.3.1 disk full,
 * 4.3.0 otherwise. */
void way_explain(const char *doing, const char *path, int error,
	char text[OUTCOME_TEXT_MAX + 1]);

#endif
