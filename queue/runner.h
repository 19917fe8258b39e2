#ifndef QUEUE_RUNNER_H
#define QUEUE_RUNNER_H

/*
 * What the files of queue-runner share: the messages that it holds in memory and
 * the steps that each of them takes.
 *
 *   scan.c     finds it: new in incoming/, due in deferred/
 *   admit.c    active, or to wait: for its destination or behind its sender
 *   waiting.c  the folders of those that wait, and the way back
 *   active.c   the table of messages in memory; which step is next
 *   picks.c    what is due becomes ready work, in a fair order (flows.c)
 *   jobs.c     ready work is handed out as job files
 *   results.c  what came of it is recorded
 *   bounce.c   senders are told
 *   requests.c what administrators ask: operate.c does it, search.c finds it
 *   retries.c  what clients of smtpd ask for: mail of a domain is tried now
 *   commit.c   what is recorded becomes durable: removed, or deferred
 *
 * Nothing is told to anybody before it stands in the queue, so the runner may be
 * killed between any two lines.
 */

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/ours.h"
#include "lib/home.h"
#include "lib/settings.h"
#include "queue/flows.h"
#include "queue/layout.h"
#include "queue/limits.h"
#include "queue/message_file.h"
#include "queue/request.h"
#include "queue/schedule.h"
#include "queue/wakeup.h"
#include "remote/route.h"

struct runner_settings {
	char *me, *bouncefrom, *bouncehost, *doublebounceto, *doublebouncehost;
	int64_t queuelifetime_s, bouncelifetime_s;
	int64_t delaywarning_s; /* 0: no reports of delays */
	int64_t bouncemaxbytes;
	int64_t concurrencylocal, concurrencyremote;
	int64_t concurrencydestination, backoffmin_s, backoffmax_s;
	struct setting_list locals, virtualdomains, smtproutes, retryschedule,
		bouncetext;
};

/* A job that is out, or whose result waits to be committed. */
struct job_slot {
	struct flow *flow; /* of the destination; NULL once it is over */
	enum channel channel;
	char dest[LAYOUT_DEST_LENGTH + 1];
	uint32_t number;
	unsigned long delivery; /* for the log */
	uint64_t octets;	/* of its file when it was handed out */
	bool is_over;		/* its result is recorded; its file must go */
};

struct message;
struct asked;

/* Recipients of one message that are due, for one destination: a job to be. */
struct pick {
	struct heap_item item; /* in its flow's ready heap: class, tag */
	struct pick *next;     /* of the message */
	struct message *message;
	struct flow *flow;
	char *destination;   /* owned */
	uint32_t *recipient; /* owned */
	uint32_t recipients;
};

/* A recipient whose work is ready and not handed out. */
#define IN_PICK UINT32_MAX

struct message {
	struct message *next; /* in the table */
	char id[21];
	unsigned long long inode;    /* its number in the log */
	char place[LAYOUT_PATH_MAX]; /* where its file is */
	int fd;
	struct message_file file;
	unsigned weight;      /* against ACTIVE_MAX */
	enum channel channel; /* remote, if any recipient is */
	struct flow *sender;  /* it counts for these flows */
	struct flow **flow;   /* owned: destinations that it has counted for */
	unsigned flows, flows_room;
	uint32_t *in_hand;    /* a recipient: 1 + the number of its job;
				 IN_PICK; or 0 */
	struct pick *pick;    /* ready, not handed out */
	struct job_slot *job; /* owned array */
	unsigned jobs, jobs_room;
	unsigned jobs_out;	/* without a result */
	uint32_t next_number;	/* of a job */
	int64_t retry_ms;	/* settle it again then; 0: no need */
	uint64_t due_before_ms; /* what was put off before counts as due */
	bool is_dirty;		/* the next commit has something to do for it */
	bool is_over;		/* …and that is to let it go */
	bool is_listed;		/* message_settle will be called for it */
	bool is_asked;		/* a request waits until no job of it is out */
	struct message *next_listed, *next_dirty;
};

#define TABLE_SLOTS 4096

/* search.c: a walk through all of deferred/ and waiting/. */
enum search_phase { SEARCH_IDLE, SEARCH_DEFERRED, SEARCH_WAITING };

struct search {
	enum search_phase phase;
	DIR *outer, *inner;
	char key[LAYOUT_DEST_LENGTH + 1]; /* of inner, in waiting/ */
};

/* A walk through a folder, a slice at a time. */
struct walk {
	DIR *folder;
	char path[LAYOUT_PATH_MAX];
};

/* retries.c: domains whose mail was asked for. */
#define RETRIES_MAX 16

enum retry_state {
	RETRY_OVER,
	RETRY_WANTED, /* …by the next walk */
	RETRY_SOUGHT, /* …by the one that is on its way */
};

struct retry {
	char domain[ROUTE_NAME_MAX + 1]; /* "": none; or with a dot before it */
	enum retry_state state;
	int64_t asked_ms; /* monotonic */
};

struct retries {
	struct retry retry[RETRIES_MAX];
	struct search search;
	struct walk walk;
	bool is_busy; /* something is wanted or sought */
	bool is_walking;
	int64_t began_ms, next_ms; /* of walks: the last one; no other before */
};

struct runner {
	struct home home;
	char control[HOME_NAME_MAX];
	struct runner_settings settings;
	struct schedule schedule;
	struct ours *ours; /* owned: what is delivered here */
	struct routes routes;
	int queue, incoming, active; /* folders */
	int fifo, signals;
	struct wakeup_writer channel[2]; /* by enum channel */

	struct message *table[TABLE_SLOTS];
	unsigned messages;   /* in memory */
	unsigned weight[2];  /* the sums of theirs, by enum channel */
	unsigned active_max; /* ACTIVE_MAX, or fewer if descriptors are few */
	struct message *listed, *dirty;

	struct flows flows;
	unsigned waiting_open;	  /* folders that flows keep open */
	unsigned long deliveries; /* counter, for the log */
	unsigned jobs_out[2];	  /* by enum channel */
	unsigned jobs_stalled; /* of the remote ones: out to flows that are */
	unsigned outcomes;     /* not committed yet */
	int64_t commit_ms;     /* deadline of the next commit, or NEVER */

	struct walk new, due; /* incoming/, and one bucket */
	uint64_t *bucket;     /* owned: minutes that are due, ascending */
	size_t buckets, buckets_done;
	uint64_t forced_ms;   /* what was put off before is due: SIGALRM */
	bool has_stalled;     /* a walk waits for room in memory */
	struct asked *asked;  /* owned list of requests at work (requests.c) */
	bool asked_is_full;   /* more lie in their folder */
	bool asked_is_ready;  /* …and some of it can be done */
	struct search search; /* for searching, if that is not NULL */
	struct asked *searching;
	struct retries retries;
	bool is_ending;
	bool is_stuck; /* what an earlier run left cannot be taken up now */
};

/* Milliseconds since the epoch. */
uint64_t runner_now_ms(void);

/* --- active.c: messages in memory --- */

struct message *message_find(const struct runner *runner, const char *id);

/*
 * Puts an open message file into memory, wherever it lies. Takes the descriptor.
 * check: its content is checked, too. A file that is not sound goes to doubtful/;
 * one that cannot be read now (no memory) is put off for some minutes. Returns the message or NULL after a
 * log line.
 */
struct message *message_load(struct runner *runner, const char *id,
	const char *place, int fd, bool check);

/* Moves its file. 0, or -1 after a log line. */
int
message_move(struct runner *runner, struct message *message, const char *place);

/* Drops it from memory, nothing else. It has no job out (or the runner ends). */
void message_forget(struct runner *runner, struct message *message);

/* The next step is to be looked for: message_settle, soon, once. */
void message_list(struct runner *runner, struct message *message);
void message_settle_listed(struct runner *runner);

/* Seconds after its arrival until a deferral counts as a failure. */
int64_t
runner_lifetime_s(const struct runner *runner, const struct message *message);

/* True if so many seconds have gone since its arrival that it is given up. */
bool
message_is_expired(const struct runner *runner, const struct message *message);

/* 0 first, 1 normal, 2 bulk. */
unsigned message_class(const struct message *message);

/* --- scan.c: finds messages --- */

/* Takes one from incoming/ if it is accepted; synced says that a wake-up came,
 * so that its writer has synced it. */
void scan_take(struct runner *runner, const char *id, bool synced);
/* Take up what an earlier run left. What cannot be for want of memory or
 * descriptors sets is_stuck, and is where it was: a start soon after will do. */
void scan_active(struct runner *runner);
void scan_job_files(struct runner *runner);

/* True for an errno that speaks of the system, not of one file. */
bool scan_error_is_passing(int error);

/* Begins walks through incoming/ and what is due; scan_step does a slice of
 * them. True if there is more to do at once. */
void scan_begin(struct runner *runner);
bool scan_step(struct runner *runner);

/* Opens a folder for a walk; walk->folder is NULL if that fails. */
void scan_walk_open(struct runner *runner, struct walk *walk, const char *path);

/* The next id in it, or NULL at its end (and it is closed). */
const char *scan_walk_next(struct walk *walk);

/* Removes folders of destinations that have no job. */
void scan_empty_destinations(struct runner *runner);

/* --- admit.c --- */

/*
 * Decides about a message that was just loaded: it becomes active and is listed,
 * or goes to wait. invited: it comes from waiting/ because its turn has come.
 */
void admit(struct runner *runner, struct message *message, bool invited);

/* True if there is room in memory for what is due or has waited, besides what is
 * new. */
bool admit_has_room(const struct runner *runner);
bool admit_channel_has_room(const struct runner *runner, enum channel channel);

/* If all that is left of the message goes to one remote destination, its flow,
 * else NULL. */
struct flow *admit_only_flow(struct runner *runner, struct message *message);

/* --- waiting.c --- */

/* Knows the folders that an earlier run left. */
void waiting_start(struct runner *runner);

/* Lets the message wait with this flow and forgets it. 0, or -1: it is where it
 * was. */
int
waiting_put(struct runner *runner, struct message *message, struct flow *flow);

/* Takes mail back as far as there is room. True if there is more at once. */
bool waiting_step(struct runner *runner);

/* Takes up what has waited so long that its sender is to be told. */
void waiting_sweep(struct runner *runner);

/* --- picks.c: what is due --- */

/* Where a recipient goes. The text is owned by the caller. 0; -1 with errno
 * ENOMEM, or EINVAL for a domain that leads nowhere. */
int pick_destination(const struct runner *runner, const struct message *message,
	const char *address, enum channel *channel, char **destination);

/* The flow that a recipient belongs to: a remote destination, or the account
 * that a local address names. */
void pick_key(enum channel channel, const char *destination,
	const char *address, char key[LAYOUT_DEST_LENGTH + 1]);

/* Names the flow, whose channel is set, for people, if it has no name. */
void pick_name(struct flow *flow, const char *destination, const char *address);

/* The flow of a recipient, if it is known; or NULL. */
struct flow *pick_flow(const struct runner *runner,
	const struct message *message, const char *address);

/*
 * Makes ready work of recipients that are due. Returns 0; 1 if the message is to
 * wait for *down, the only destination it has left; -1 if it must be tried again
 * later.
 */
int
picks_make(struct runner *runner, struct message *message, struct flow **down);

/* Withdraws work that was not handed out; of a message, or of a flow. The
 * messages of the latter are listed. */
void picks_drop(struct runner *runner, struct message *message);
void picks_drop_flow(struct runner *runner, struct flow *flow);
void pick_free(struct runner *runner, struct pick *pick);

/* The message counts for the flow from now on. 0, or -1 with ENOMEM. */
int message_join(struct message *message, struct flow *flow);

/* --- jobs.c: hands work out --- */

/* Hands out ready work as far as the channels may have more. */
void jobs_hand_out(struct runner *runner);

/* remote says that it has not reached the destination yet: what is out to it does
 * not count, and it gets no more, until it is heard of again. */
void jobs_stall(struct runner *runner, const char *dest);

/* A new slot of the message, zeroed; NULL without memory. */
struct job_slot *jobs_add_slot(struct message *message);

/* --- adopt.c: job files of an earlier run --- */

/* A job file was found at the start: its job goes on, or the file is removed. */
void jobs_adopt(struct runner *runner, enum channel channel, const char *dest,
	const char *name);

/* --- requests.c --- */

/* Reads the request of that name, a valid id, and puts it to work. */
void requests_take(struct runner *runner, const char *name);

/* Looks for requests whose wake-up was lost; removes what is left over. */
void requests_sweep(struct runner *runner);

/* --- destinations.c --- */

/* Appends the answer to REQUEST_DESTINATIONS (queue/destination.h). 0, or -1 with
 * ENOMEM. */
int destinations_pack(const struct runner *runner, stralloc *octets);

/* Carries out some of what is asked. True if there is more to do at once. */
bool requests_step(struct runner *runner);

/* --- operate.c --- */

enum operated {
	OPERATE_DONE,
	OPERATE_REFUSED,
	OPERATE_LATER, /* it is at work at a channel: message->is_asked is set,
			  and asked_is_ready will be; or descriptors lack */
	OPERATE_LOST,  /* nobody knows where it is */
};

/* Does to one message what is asked. On OPERATE_DONE or _REFUSED *why is what
 * was done or why not, a text that lives on. */
enum operated operate(struct runner *runner, const struct request *request,
	uid_t uid, const struct request_id *asked, const char **why);

/* --- search.c --- */

void search_begin(struct runner *runner, struct search *search);

/* The next folder that may hold messages, or "" for none at this step. False:
 * that was all, and it is ended. */
bool search_next(struct runner *runner, struct search *search,
	char path[LAYOUT_PATH_MAX]);
void search_end(struct search *search);

/* --- retries.c --- */

/*
 * Mail for the domain is to be tried now (for those below it, too, if it begins
 * with a dot), unless that was asked within the last minute.
 */
void retries_take(struct runner *runner, const char *domain);

/* Looks for it in deferred/ and waiting/. True if there is more to do at once. */
bool retries_step(struct runner *runner);

/* --- results.c --- */

/* A channel says that a job has its end record. */
void results_take(struct runner *runner, enum channel channel, const char *dest,
	const char *name);

/* Looks for results whose wake-up was lost. */
void results_sweep(struct runner *runner, struct message *message);

/* Records outcomes that no channel found out: a failure, or a deferral until
 * due_ms. 0, or -1 after a log line. */
int results_record(struct runner *runner, struct message *message,
	const uint32_t *recipient, uint32_t recipients, enum outcome outcome,
	uint64_t due_ms, const char *text);

/* --- history.c: the log as qmail's analysers read it --- */

void history_new(const struct message *message);
void history_start(const struct message *message, unsigned long delivery,
	enum channel channel, const char *address);
void
history_outcome(unsigned long delivery, enum outcome outcome, const char *text);
void history_status(const struct runner *runner);
void
history_bounce(const struct message *message, const char *kind, const char *id);
void history_end(const struct message *message);

/* --- commit.c: what is recorded becomes durable, in groups --- */

void commit_note(struct runner *runner, struct message *message);
void commit_all(struct runner *runner);

/* --- bounce.c --- */

/*
 * Tells the sender what it is owed and has not been told: recipients that
 * failed, that are delayed, and that were reached if it asked for that. Returns
 * 0 if nothing is owed any more (the notice is durable and recorded), or -1 if
 * it must be tried again later.
 */
int bounce_send(struct runner *runner, struct message *message);

/* True if it would tell of a delay. */
bool
bounce_owes_delay(const struct runner *runner, const struct message *message);

#endif
