#ifndef QUEUE_JOB_CHECK_H
#define QUEUE_JOB_CHECK_H

/*
 * Job files are not synced, and neither is their removal: after a power cut one
 * may stand there again whose results have long been recorded. The runner removes
 * it when it starts; a channel that starts sooner must not do it again.
 */

#include <stdbool.h>
#include "queue/job_file.h"

/*
 * True if the outcome records of the open message file say that the job is not
 * due: a recipient of it has a final outcome, or another attempt is the next one.
 * False if it is, and if the file cannot be read. Reads the whole envelope: for
 * jobs that were found, not for those that the runner tells of.
 */
bool job_is_stale(const struct job *job, int message);

/* The same of the job in an open file; false of what is no job. */
bool job_file_is_stale(int file, int message);

#endif
