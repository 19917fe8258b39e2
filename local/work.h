#ifndef LOCAL_WORK_H
#define LOCAL_WORK_H

/*
 * A job in hand: its file, the message's file, and which of its recipients have
 * been taken up.
 */

#include <stdbool.h>
#include <stdint.h>
#include "queue/job_file.h"
#include "queue/layout.h"

struct work {
	struct work *next; /* in the order in which they came */
	char dest[LAYOUT_DEST_LENGTH + 1];
	char name[40]; /* ID.N */
	int fd;	       /* the job file */
	int content;   /* the message file */
	struct job job;
	/* One for each recipient of the job. */
	bool *is_taken;
	uint32_t *owner;    /* work_owner of its address */
	uint32_t started;   /* recipients that have been taken up */
	uint32_t under_way; /* of those, without a result */
	int64_t finish_ms;  /* try to write the end record again then */
};

/*
 * Opens the job DEST/NAME below the queue folder and its message. is_found: no
 * wake-up told of it, so it may be one that a power cut has brought back
 * (queue/job_check.h). Returns it, the caller's to free; or NULL: it is no work
 * for us (any more), or there is trouble, which the log tells.
 */
struct work *
work_open(int queue, const char *dest, const char *name, bool is_found);

/* Closes and frees. NULL is taken. */
void work_free(struct work *work);

/*
 * A number that is the same for all addresses of one account: of the domain and
 * of the local part up to its first "-", whatever their case. Accounts whose names
 * hold a dash, and few others, share theirs.
 */
uint32_t work_owner(const char *address);

#endif
