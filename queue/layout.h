#ifndef QUEUE_LAYOUT_H
#define QUEUE_LAYOUT_H

/*
 * Every path name in the queue. doc/queue.md has the table of states; here each
 * name is made in one place, from parts that are validated first, so that no
 * text from a stranger ever becomes part of a path.
 *
 * Names are relative to the queue folder, whose descriptor a program opens once.
 */

#include <stddef.h>
#include <stdint.h>

#define QUEUE_INCOMING "incoming"
#define QUEUE_ACTIVE "active"
#define QUEUE_DEFERRED "deferred"
#define QUEUE_WAITING "waiting"
#define QUEUE_HELD "held"
#define QUEUE_DOUBTFUL "doubtful"
#define QUEUE_REQUESTS "requests"
#define QUEUE_STALLED "stalled" /* only in wake-ups: before a destination */
#define QUEUE_JOBS_LOCAL "jobs/local"
#define QUEUE_JOBS_REMOTE "jobs/remote"
#define QUEUE_WAKE_RUNNER "wake/runner"
#define QUEUE_WAKE_LOCAL "wake/local"
#define QUEUE_WAKE_REMOTE "wake/remote"

/* Octets of a destination's folder name, and of any path made here. */
#define LAYOUT_DEST_LENGTH 32
#define LAYOUT_MINUTE_LENGTH 10
#define LAYOUT_PATH_MAX 120

enum channel { CHANNEL_LOCAL, CHANNEL_REMOTE };

/* Both are named once, for paths, wake-ups and log lines: "local", "remote". */
const char *channel_name(enum channel channel);

/*
 * The folder name of a destination: 32 hexadecimal digits, the BLAKE2s hash of 16
 * octets of its text, and a NUL.
 */
void layout_dest(const char *destination, char dest[LAYOUT_DEST_LENGTH + 1]);

/* True if the text is a destination's folder name. */
int layout_dest_is_valid(const char *text, size_t length);

/*
 * Make the path of a message in a state folder ("incoming", "active", "held",
 * "doubtful"), in the bucket of a minute, or waiting with a flow, in a part of its
 * folder (waiting.c); and of a job. The id, dest must be valid (asserted).
 */
void
layout_message(const char *folder, const char *id, char path[LAYOUT_PATH_MAX]);
void layout_bucket(uint64_t minute, char path[LAYOUT_PATH_MAX]);
void
layout_deferred(uint64_t minute, const char *id, char path[LAYOUT_PATH_MAX]);
void layout_waiting_folder(const char *dest, char path[LAYOUT_PATH_MAX]);
void layout_waiting_part(
	const char *dest, const char *part, char path[LAYOUT_PATH_MAX]);
int layout_part_is_valid(const char *part);
void layout_waiting(const char *dest, const char *part, const char *id,
	char path[LAYOUT_PATH_MAX]);
void layout_job_folder(
	enum channel channel, const char *dest, char path[LAYOUT_PATH_MAX]);
void layout_job(enum channel channel, const char *dest, const char *id,
	uint32_t number, char path[LAYOUT_PATH_MAX]);

/*
 * True if the path is one that layout_message (incoming, active, held, doubtful),
 * layout_deferred or layout_waiting makes for this id.
 */
int layout_place_is_valid(const char *path, const char *id);

/* Reads a bucket's name. Returns 0 and the minute, or -1 if it is not one. */
int layout_minute_scan(const char *name, uint64_t *minute);

/*
 * Reads "ID.N", a job's file name. Returns 0 with the id (NUL-terminated) and
 * the number, or -1 if it is not one.
 */
int layout_job_scan(const char *name, char id[21], uint32_t *number);

#endif
