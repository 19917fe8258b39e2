#ifndef REMOTE_WORKER_H
#define REMOTE_WORKER_H

/*
 * A worker: the child of remote that sends all that waits for one destination,
 * over one connection as long as the other side keeps it.
 *
 * The parent sends tasks over a SOCK_SEQPACKET pair: a record of struct task,
 * with the job file (locked, open for appending) and the message file beside it.
 * When a job has its end record the worker rings the runner and sends the task
 * back, without descriptors; before that, if it has asked the DNS, a struct kept_note
 * of what that said. When its first connection is open it says so with WORKER_REACHED,
 * a record of these four octets. It ends when the parent closes, or when nothing came
 * for WORKER_IDLE_MS.
 */

#include "queue/layout.h"
#include "queue/wakeup.h"
#include "remote/reach.h"

#define WORKER_MAGIC 0x6b72776bu   /* "krwk" */
#define WORKER_REACHED 0x6b727772u /* "krwr" */
#define WORKER_IDLE_MS 2000

struct task {
	uint32_t magic;
	char dest[LAYOUT_DEST_LENGTH + 1];
	char name[40];	  /* ID.N */
	int64_t taken_ms; /* when the parent heard of it; monotonic */
};

/*
 * Serves tasks from the parent until there are none, on the way that was started.
 * The runner's FIFO is prepared. Returns an exit status.
 */
int worker_run(struct reach *way, int parent, struct wakeup_writer *runner);

#endif
