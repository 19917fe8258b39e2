#ifndef REMOTE_REMOTE_H
#define REMOTE_REMOTE_H

/*
 * What the files of remote's parent share: jobs that wait, by destination, and
 * the lines to the workers that do them.
 *
 *   destinations.c  what waits for whom
 *   lines.c         workers: started, fed, heard, ended
 *   remote.c        settings, the loop
 *   worker.c        the child itself
 *   reach.c         its way to the destination
 *   kept.c          what workers tell of the DNS, for the next ones
 *   dead.c          and of addresses that do not answer
 *   dead_ask.c      who asks for those
 */

#include <stdbool.h>
#include <stdint.h>
#include "lib/home.h"
#include "lib/settings.h"
#include "queue/wakeup.h"
#include "remote/dns.h"
#include "remote/dead.h"
#include "remote/dead_ask.h"
#include "remote/kept.h"
#include "remote/worker.h"

/* Jobs in memory at one time; more wait in their folders. */
#define JOBS_MAX 5000
#define WORKERS_MAX 1000

struct remote_settings {
	char *me, *helohost;
	struct setting_list nameservers;
	int64_t allow_local, workers, port, timeout_connect_s, timeout_s;
};

/* The socket to a worker. */
struct line {
	struct line *next;
	int socket;
	unsigned notes;	  /* struct dead_note that came */
	unsigned sent;	  /* jobs that it has */
	bool has_reached; /* a host: it has, or has had, a connection */
	bool is_stalled;  /* it has not, for too long to be waited for */
	int64_t told_ms;  /* then the runner is told (again); monotonic */
};

struct waiting {
	struct waiting *next;
	char name[40];	   /* ID.N */
	struct line *line; /* of the worker that has it; NULL: none */
	int64_t since_ms;  /* when it was taken, monotonic */
	int64_t taken_ms;  /* when it was heard of; since_ms may be put off */
	bool is_found;	   /* at a look into the folder, not by a wake-up */
	unsigned deaths;
};

struct destination {
	struct destination *next;
	char dest[LAYOUT_DEST_LENGTH + 1];
	struct waiting *first, **last;
	struct line *line;
};

struct remote {
	struct home home;
	struct remote_settings settings;
	struct dns dns;
	const char *own[2];
	struct reach_options options;
	char tls_socket[HOME_NAME_MAX], secrets[HOME_NAME_MAX];
	int queue, fifo;
	struct wakeup_writer runner;
	struct destination *first, **last;
	struct kept_table kept;
	struct dead_table dead;
	struct dead_ask ask;
	unsigned jobs, workers;
	unsigned stalled; /* of the workers; they do not count */
	bool has_backlog; /* there was no room for a job */
};

/* --- destinations.c --- */

/* Notes a job, unless it is known or there is no room. */
void remote_take_job(struct remote *remote, const char *dest, const char *name,
	bool is_found);

/* Forgets a job; its file is nobody's business any more. */
void remote_drop_job(struct remote *remote, struct destination *destination,
	struct waiting *job);

/* Forgets a destination that has neither jobs nor lines. */
void
remote_drop_destination(struct remote *remote, struct destination *destination);

/* Notes every job that lies in the folders. */
void remote_sweep(struct remote *remote);

/* --- lines.c --- */

/*
 * Gives every destination with work a worker, or one more if its work has waited
 * for a while, as far as there may be more; and every worker its work. A worker
 * that has not reached anybody after STALL_MS does not count against the limit any
 * more, and the runner is told to give other destinations work: a host that does
 * not answer costs nobody else his turn. Returns when it is to be called again, if
 * nothing happens before.
 */
int64_t lines_work(struct remote *remote);

/* Takes in what the worker says. */
void lines_hear(struct remote *remote, struct destination *destination,
	struct line *line);

/* Ends the workers that have nothing to do, with all that they know. */
void lines_end_idle(struct remote *remote);

#endif
