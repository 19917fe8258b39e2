#ifndef TOOLS_QUEUE_CHECK_H
#define TOOLS_QUEUE_CHECK_H

/*
 * What the files of queue-check share: the list of what is found, the look at
 * the queue (queue_look.c, queue_look_file.c), the tables of what can be found and of
 * owners (queue_what.c), and the mending (queue_mend.c).
 *
 * Everything in the queue is input: no link is ever followed, no path leaves the
 * queue folder, and what is opened is looked at again after it is open.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "lib/home.h"

/* The longest path, relative to the queue folder, with its NUL: two folders and
 * a name of NAME_MAX octets, which may be a stranger's. */
#define CHECK_PATH_MAX 400

enum check_what {
	CHECK_NAME,	  /* a file whose name means nothing here */
	CHECK_MISPLACED,  /* a message where no message stands */
	CHECK_NO_FILE,	  /* a link, FIFO, socket or device file */
	CHECK_FOLDER,	  /* a folder that means nothing here */
	CHECK_MISSING,	  /* a folder of the queue is not there */
	CHECK_EMPTY,	  /* a bucket with nothing in it */
	CHECK_BUCKET,	  /* a bucket whose name is none */
	CHECK_OWNER,	  /* owner, group or mode */
	CHECK_ORPHAN,	  /* the rest of a broken submission */
	CHECK_HEADER,	  /* of a message */
	CHECK_UNMARKED,	  /* not accepted, and past incoming/ */
	CHECK_ENVELOPE,	  /* lengths, envelope or the sense of its outcomes */
	CHECK_OUTCOMES,	  /* an outcome record fails its check */
	CHECK_CONTENT,	  /* of a message */
	CHECK_UNREADABLE, /* errno of the attempt is in the detail */
	CHECK_TWICE,	  /* an id in two folders */
	CHECK_JOB,	  /* not a job, or not of its name and folder */
	CHECK_JOB_ALONE,  /* a job of no active message */
	CHECK_JOB_TEMPORARY, /* a job that was never handed out */
	CHECK_WHATS,
};

/* A word for programs, and a sentence for people. */
const char *check_word(enum check_what what);
const char *check_sentence(enum check_what what);

struct check_finding {
	enum check_what what;
	char path[CHECK_PATH_MAX];  /* relative to the queue folder */
	char other[CHECK_PATH_MAX]; /* CHECK_TWICE: where it also is */
	dev_t device;
	ino_t inode; /* of path, when it was looked at */
};

/* A message's id and where it stands. */
struct check_id {
	char id[21];
	char path[100];
};

struct check {
	const struct home *home;
	int queue; /* the folder */
	struct check_finding *finding;
	size_t findings, findings_room;
	struct check_id *seen;
	size_t ids, ids_room;
	bool is_unread; /* something could not be read: errno in error */
	int error;
	char unread[CHECK_PATH_MAX];
};

/*
 * Looks at everything and fills check->finding. 0; or -1 with is_unread, unread
 * and error set if a folder could not be read, or with error ENOMEM.
 */
int check_look(struct check *check);

void check_free(struct check *check);

/* --- parts of the look --- */

/* Adds a finding about folder/name (folder "" is the queue's own). */
void check_found(struct check *check, enum check_what what, const char *folder,
	const char *name, const struct stat *st);

/* Remembers what could not be read, with errno. */
void check_unread(struct check *check, const char *path);

/* What stands at folder/name. 0, or -1 if it is gone or unreadable. */
int check_stat(struct check *check, const char *folder, const char *name,
	struct stat *st);

/* Opens a folder below the queue, no link followed on the way. The descriptor,
 * or -1 with errno. */
int check_open_folder(int queue, const char *folder);

/* Opens a regular file for reading, no link followed on the way; O_RDWR never. */
int check_open_file(int queue, const char *path);

/* folder/name. */
void
check_path(char path[CHECK_PATH_MAX], const char *folder, const char *name);

/* Looks at a message file in a folder where messages stand. */
void check_message(struct check *check, const char *folder, const char *name);

/* Looks at a job file. */
void check_job(struct check *check, const char *channel, const char *dest,
	const char *name);

/* Which of the checks a sound message passes; or CHECK_WHATS. Also used before
 * a file is moved. */
enum check_what check_message_content(int fd);

/*
 * Owner, group and mode that stand at a path: user and group are names of roles.
 * In private mode the owner alone counts.
 */
struct check_owner {
	const char *user, *group;
	mode_t mode;
};
bool check_owner_is(const struct check *check, const struct check_owner *owner,
	const struct stat *st);

/* Their numbers; in private mode the running ones. 0, or -1 if control/ids does
 * not name them. */
int check_owner_ids(const struct home *home, const struct check_owner *owner,
	uid_t *uid, gid_t *gid);

/* 0 if control/ids names them all; or -1 with a sentence in why. */
int check_owners_known(const struct home *home, char *why, size_t size);

/* What they must be at a path of this file type; NULL: anything. */
const struct check_owner *check_owner_of(const char *path, mode_t type);

/* --- queue_mend.c --- */

/*
 * Mends one finding, if it still stands. is_stopped: this process holds the
 * runner's lock. Writes what was done, or why nothing was, into done. True if
 * nothing is left to do.
 */
bool check_mend(struct check *check, const struct check_finding *finding,
	bool is_stopped, char *done, size_t size);

/* What check_mend would do, in a word. */
const char *check_remedy(enum check_what what);

#endif
