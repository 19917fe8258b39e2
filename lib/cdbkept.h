#ifndef LIB_CDBKEPT_H
#define LIB_CDBKEPT_H

/*
 * A cdb that a long-lived program keeps mapped. Such a file is replaced by
 * rename, so one stat(2) for each question tells whether the map is still what
 * stands there: what is asked after a change is answered from the new file.
 */

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>
#include "lib/cdbfile.h"
#include "lib/home.h"

struct cdbkept {
	char path[HOME_NAME_MAX]; /* "" before the first cdbkept_at */
	struct cdbfile file;
	bool is_open;
	/* What the map is of. */
	dev_t device;
	ino_t inode;
	off_t octets;
	struct timespec changed;
};

/* The one at path, closed. Nothing is opened yet. */
void cdbkept_at(struct cdbkept *kept, const char *path);

/*
 * Makes sure that the map is of the file that stands at the path now. Returns 1,
 * and kept->file may be asked until the next call; 0: there is no such file; or
 * -1 with errno as cdbfile_open, and then there is no map.
 */
int cdbkept_fresh(struct cdbkept *kept);

/* Unmaps. Safe twice. */
void cdbkept_close(struct cdbkept *kept);

#endif
