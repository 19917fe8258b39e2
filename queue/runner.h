#ifndef QUEUE_RUNNER_H
#define QUEUE_RUNNER_H

/*
 * What the files of queue-runner share: the messages that it holds in memory and
 * the steps that each of them takes.
 *
 *   take (scan.c) -> hand out (jobs.c) -> results (jobs.c) -> bounce (bounce.c)
 *                 -> commit (commit.c): removed, or deferred and forgotten
 *
 * Job files of an earlier run are taken up by adopt.c. A message that is due while
 * its channel is full goes to waiting/DEST, and comes back when there is room.
 *
 * message_settle (runner.c) decides which step is next. Nothing here is told to
 * anybody before it stands in the queue, so the runner may be killed between any
 * two lines.
 */

#include <stdbool.h>
#include <stdint.h>
#include "lib/domains.h"
#include "lib/home.h"
#include "lib/settings.h"
#include "queue/layout.h"
#include "queue/limits.h"
#include "queue/message_file.h"
#include "queue/wakeup.h"
#include "remote/route.h"

struct runner_settings {
	char *me, *bouncefrom, *bouncehost, *doublebounceto, *doublebouncehost;
	int64_t queuelifetime_s, bouncelifetime_s, concurrencylocal,
		concurrencyremote;
	int64_t delaywarning_s; /* 0: no reports of delays */
	int64_t bouncemaxbytes;
	struct setting_list locals, smtproutes, bouncetext;
};

/* A job that is out, or whose result waits to be committed. */
struct job_slot {
	enum channel channel;
	char dest[LAYOUT_DEST_LENGTH + 1];
	uint32_t number;
	unsigned long delivery; /* for the log */
	uint64_t octets;	/* of its file when it was handed out */
	bool is_over;		/* its result is recorded; its file must go */
};

struct message {
	struct message *next; /* in the table */
	char id[21];
	int fd;
	struct message_file file;
	uint32_t *in_hand;    /* a recipient: 1 + the number of its job; or 0 */
	struct job_slot *job; /* owned array */
	unsigned jobs, jobs_room;
	unsigned jobs_out;	  /* without a result */
	unsigned channel_jobs[2]; /* of these, by enum channel */
	/* Where it waits, because that one's channel is full; "": nowhere. */
	char waits_for[LAYOUT_DEST_LENGTH + 1];
	enum channel waits_in;
	uint32_t next_number; /* of a job */
	int64_t retry_ms;     /* settle it again then; 0: no need */
	bool is_dirty;	      /* the next commit has something to do for it */
	bool is_over;	      /* …and that is to let it go */
};

#define TABLE_SLOTS 1024

struct runner {
	struct home home;
	char control[HOME_NAME_MAX];
	struct runner_settings settings;
	struct domains locals;
	struct routes routes;
	int queue, incoming, active; /* folders */
	int fifo, signals;
	struct wakeup_writer channel[2]; /* by enum channel */
	struct message *table[TABLE_SLOTS];
	unsigned messages;
	unsigned long deliveries; /* counter, for the log */
	unsigned jobs_out[2];	  /* by enum channel */
	unsigned in_channel[2];	  /* messages that have jobs out there */
	bool waits[2];		  /* messages wait for room in the channel */
	unsigned turn; /* messages that scan_waiting may still take from DEST */
	unsigned outcomes; /* not committed yet */
	int64_t commit_ms; /* deadline of the next commit, or NEVER */
	bool has_backlog;  /* there was no room in memory for all that is due */
	bool is_forced;	   /* everything that is deferred counts as due */
	bool is_ending;
};

/* Milliseconds since the epoch. */
uint64_t runner_now_ms(void);

/* --- runner.c --- */

struct message *message_find(const struct runner *runner, const char *id);

/*
 * Puts a message file that is open in active/ into memory. Takes the descriptor.
 * A file that is not sound goes to doubtful/; that of the content is computed only
 * if check_content. One that cannot be read now (no memory) is put off for some
 * minutes. Returns the message or NULL after a log line.
 */
struct message *
message_load(struct runner *runner, const char *id, int fd, bool check_content);

/* Drops it from memory, nothing else. */
void message_forget(struct runner *runner, struct message *message);

/* Does the next step for a message that has no job out. */
void message_settle(struct runner *runner, struct message *message);

/* --- scan.c: finds messages --- */

/* Takes one from incoming/ if it is accepted; synced says that a wake-up came,
 * so that its writer has synced it. */
void scan_take(struct runner *runner, const char *id, bool synced);
void scan_incoming(struct runner *runner);
void scan_active(struct runner *runner);
void scan_due(struct runner *runner);
/* Takes up what waits for a channel that has room, some of each destination. */
void scan_waiting(struct runner *runner);
/* True if there may be something for scan_waiting to take. */
bool scan_waiting_is_due(const struct runner *runner);
void scan_job_files(struct runner *runner);
/* Removes folders of destinations that have no job. */
void scan_empty_destinations(struct runner *runner);

/* --- schedule.c: when the next attempt is due --- */

/*
 * Quadratic back-off as qmail has it: attempts are due at arrival + n² seconds,
 * where n grows by 10 (local) or 20 (remote) each time. Milliseconds since the
 * epoch.
 */
uint64_t
schedule_next_ms(uint64_t arrival_ms, uint64_t now_ms, enum channel channel);

/* Seconds after its arrival until a deferral counts as a failure. */
int64_t
runner_lifetime_s(const struct runner *runner, const struct message *message);

/* The minute, since the epoch, in which something due then is looked for. */
uint64_t schedule_minute(uint64_t due_ms);

/*
 * True if what is due then is due now: or if it lies further ahead than any
 * interval, so that a clock was wrong when it was put off.
 */
bool schedule_is_due(uint64_t due_ms, uint64_t now_ms);

/* True if the bucket of this minute counts as due now, by the same rule. */
bool schedule_bucket_is_due(uint64_t minute, uint64_t now_ms);

/* --- jobs.c: hands work out, takes results --- */

/* True if the recipient needs an attempt now. */
bool jobs_recipient_is_due(const struct runner *runner,
	const struct message *message, uint32_t recipient);

/* Makes jobs for every recipient that is due and in no job's hand. Those whose
 * channel is full are left out, and message->waits_for says so. 0, or -1 if some
 * could not be handed out now. */
int jobs_hand_out(struct runner *runner, struct message *message);

/* A channel says that a job file has its end record. */
void jobs_take_result(struct runner *runner, enum channel channel,
	const char *dest, const char *name);

/* Looks for results whose wake-up was lost. */
void jobs_sweep(struct runner *runner, struct message *message);

/* Counts a job that has gone out (1) or has come to its end (-1). */
void jobs_count(struct runner *runner, struct message *message,
	enum channel channel, int difference);

/* A new slot of the message, zeroed; NULL without memory. */
struct job_slot *jobs_add_slot(struct message *message);

/* --- adopt.c: job files of an earlier run --- */

/* A job file was found at the start: its job goes on, or the file is removed. */
void jobs_adopt(struct runner *runner, enum channel channel, const char *dest,
	const char *name);

/* --- commit.c: what is recorded becomes durable, in groups --- */

void commit_note(struct runner *runner, struct message *message);
void commit_all(struct runner *runner);

/* --- bounce.c --- */

/*
 * Tells the sender what it is owed and has not been told: recipients that
 * failed, that are delayed, and that were reached if it asked for that. Returns 0 if nothing is owed any more (the notice is durable and recorded), or
 * -1 if it must be tried again later.
 */
int bounce_send(struct runner *runner, struct message *message);

#endif
