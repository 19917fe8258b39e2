#ifndef LOCAL_LOCAL_H
#define LOCAL_LOCAL_H

/*
 * What the files of local share: jobs in hand, and their recipients under way.
 *
 *   jobs.c        job files come and go
 *   deliveries.c  one recipient: resolve is asked, then the warden
 *   stayers.c     children of the warden that wait for more
 *   local.c       settings, the loop
 */

#include <stdbool.h>
#include <stdint.h>
#include "lib/home.h"
#include "local/resolve.h"
#include "local/warden.h"
#include "local/work.h"
#include "queue/wakeup.h"

/* Jobs in memory at one time; more wait in their folder. */
#define JOBS_MAX 500
#define DELIVERIES_MAX 1000
/* Children of the warden that wait at one time: a fraction of concurrencywarden. */
#define STAYERS_MAX 32

struct local_settings {
	int64_t deliveries;
};

/* A recipient under way. */
struct delivery {
	struct work *work;
	uint32_t recipient;
	uint32_t owner;	     /* work_owner */
	int question;	     /* connection with a question to resolve; or -1 */
	int64_t question_ms; /* its deadline */
	int report;	     /* of the warden's child; or -1. Both: ask again */
	uint64_t version;    /* of resolve's databases, for this one */
	int64_t stay_ms;     /* the child is asked for more until then */
	char account[ACCOUNT_KEY_MAX];
	int64_t again_ms;    /* ask (again) then */
	int64_t patience_ms; /* deadline for asking again */
	unsigned tries;	     /* that ended without a report */
};

/* A child of the warden that waits for another message to its account. */
struct stayer {
	int report;
	int64_t stay_ms; /* and no longer, so that it knows the account as it is */
	int64_t idle_ms; /* it goes then, if there is nothing for it */
	char account[ACCOUNT_KEY_MAX];
};

struct local {
	struct home home;
	struct local_settings settings;
	int queue, fifo, signals;
	int warden;		  /* connection; -1: none */
	int idle[DELIVERIES_MAX]; /* connections to resolve */
	unsigned idles;
	char resolve_path[HOME_NAME_MAX], warden_path[HOME_NAME_MAX];
	struct wakeup_writer runner;
	struct work *first, **last;
	unsigned jobs;
	bool has_backlog; /* there was no room for a job */
	struct delivery delivery[DELIVERIES_MAX];
	unsigned deliveries;
	struct stayer stayer[STAYERS_MAX];
	unsigned stayers;
	uint64_t version; /* of resolve's databases, as last heard */
	int64_t end_ms; /* it ends then, or when nothing is under way; NEVER */
};

/* --- jobs.c --- */

/* Takes up a job, unless it is in hand, or no work (any more). */
void local_take_job(
	struct local *local, const char *dest, const char *name, bool is_found);

/* Every recipient of the job has a result: it becomes the runner's. */
void local_finish(struct local *local, struct work *work);

/* Takes up whatever lies in the folders. */
void local_sweep(struct local *local);

/* --- deliveries.c --- */

/*
 * Takes up recipients while there is room: the first that came, except that nobody
 * gets more than a share, so that one whose deliveries never end leaves room.
 */
void deliveries_start(struct local *local);

/* What delivery[i] waits for can be read: resolve's answer or a report. */
int delivery_descriptor(const struct delivery *delivery);
void delivery_hear(struct local *local, struct delivery *delivery);

/* True if the warden is delivering something. */
bool deliveries_are_out(const struct local *local);

/* Does what is due by the clock. Returns the time of the next such thing, next_ms
 * at the latest. */
int64_t deliveries_do_due(struct local *local, int64_t next_ms);

/* --- stayers.c --- */

/* Gives a request to a child that waits for this account. Its report descriptor,
 * with *stay_ms; or -1: there is none. */
int stayers_ask(struct local *local, const struct warden_request *request,
	int content, int64_t *stay_ms);

/* A child that has reported waits for more, or is let go. */
void stayers_add(
	struct local *local, const char *account, int report, int64_t stay_ms);

/* Lets all go: what they know of their accounts may have changed. */
void stayers_let_go(struct local *local);

/* Lets go who has waited for long enough. Returns when that is next the case,
 * next_ms at the latest. */
int64_t stayers_do_due(struct local *local, int64_t next_ms);

#endif
