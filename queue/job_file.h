#ifndef QUEUE_JOB_FILE_H
#define QUEUE_JOB_FILE_H

/*
 * A job: some recipients of one message, for one channel and destination.
 * doc/queue.md, "Jobs", has the octets and who writes what. The runner makes and
 * removes job files; `local` and `remote` read them and append results. Both
 * sides validate what they read.
 */

#include <stddef.h>
#include <stdint.h>
#include <skalibs/stralloc.h>
#include "lib/outcome.h"

/* The longest destination text, in octets. */
#define JOB_DESTINATION_MAX 800

struct job_recipient {
	uint32_t number; /* its place in the message's envelope */
	char *address;	 /* forward-path as text */
	uint8_t notify;
	char *orcpt;
	enum outcome outcome; /* 0 while there is no result */
	char *text;	      /* reply text; NULL while there is no result */
};

/* What an attempt showed of its destination, whatever became of recipients. */
enum job_reach {
	JOB_REACHED,	 /* somebody spoke with us */
	JOB_BROKE,	 /* … but the connection broke or was refused more */
	JOB_UNREACHABLE, /* no host could be found, connected to, or greeted */
};

struct job {
	char id[21];	     /* of the message */
	uint32_t attempt;    /* counted from 1 */
	uint64_t arrival_us; /* microseconds since the epoch */
	uint64_t content_octets;
	uint8_t body, smtputf8, requiretls, ret;
	char *destination;
	char *reverse_path;
	char *envid;
	struct job_recipient *recipient;
	uint32_t recipients;
	int ended;	 /* the end record stands */
	uint64_t octets; /* of its whole records: a torn tail comes after */
	uint8_t reach;	 /* enum job_reach, in the end record */
};

#define JOB_ZERO ((struct job){0})

/*
 * Append the J and T records of a job to *into, as the runner writes them.
 * Return 0, or -1 with errno ENOMEM or EINVAL.
 */
int job_pack(const struct job *job, stralloc *into);

enum job_result {
	JOB_OK,
	JOB_BAD,       /* not a job: torn, unknown record, bad address */
	JOB_NO_MEMORY, /* or a read error: errno says */
};

/*
 * Reads and validates a job file from a descriptor, from its start. Results are
 * filled in as far as they stand; a torn tail after the T records is ignored
 * (ended stays 0). On JOB_OK *job owns memory for job_free; else it is empty.
 */
enum job_result job_read(int fd, struct job *job);

/* The same from octets in memory. */
enum job_result job_unpack(const void *octets, size_t size, struct job *job);

/* True if the last record of an open job file is an end record: a quick look,
 * nothing is validated. */
int job_has_ended(int fd);

/*
 * Append the results of a job (an R record for each recipient that has an
 * outcome) and the end record to the file with one write. fd must be open with
 * O_APPEND. A torn tail, which an interrupted write left, is cut off before, or
 * nobody would find what comes after it. If the write is short or fails, the file
 * is cut back to what it was.
 * Return 0, or -1 with errno. No sync: jobs are soft state.
 */
int job_finish(int fd, const struct job *job);

/* Sets a recipient's result; text is copied, escaped and bounded. 0, or -1
 * with ENOMEM. */
int job_set_result(struct job_recipient *recipient, enum outcome outcome,
	const char *text);

void job_free(struct job *job);

#endif
