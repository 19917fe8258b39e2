#ifndef QUEUE_FLOWS_H
#define QUEUE_FLOWS_H

/*
 * Flows: what the runner knows of a sender and of a destination. A message in
 * memory belongs to one sender's flow and to the flow of each destination that
 * it is going to. Fairness, concurrency and back-off are decided here, from
 * numbers alone: nothing in this module touches a file.
 *
 * Order of work: each piece of work (struct pick, runner.h) gets a tag from its
 * sender's flow when it becomes ready: one more than the sender's last tag, but
 * not less than the tag that was served last. So the work of a sender who has
 * thousands waiting is numbered far ahead, and that of another comes next.
 *
 * A destination takes at most `window` jobs at a time. The window grows by one
 * for each job that got through and is halved by each connection that broke. A
 * destination that cannot be reached is down: it gets nothing until `retry_ms`,
 * then one job, its probe; each failed probe doubles the time to the next.
 */

#include <stdbool.h>
#include <stdint.h>
#include "queue/heap.h"
#include "queue/layout.h"

enum flow_kind {
	FLOW_UNKNOWN, /* a folder in waiting/ that nobody has looked into */
	FLOW_SENDER,
	FLOW_DESTINATION,
};

enum flow_state {
	FLOW_UP,
	FLOW_DOWN,    /* nothing is tried before retry_ms */
	FLOW_PROBING, /* one job is ready or out */
};

struct flow {
	struct flow *next; /* in the table */
	char key[LAYOUT_DEST_LENGTH + 1];
	enum flow_kind kind;
	unsigned users; /* messages in memory that belong to it */

	uint64_t tag; /* of a sender's last work */

	enum channel channel;
	struct heap ready;     /* of a destination: picks, by class, then tag */
	struct heap_item turn; /* among the flows that may hand out a job */
	unsigned out, window;
	bool is_stalled; /* remote has not reached it yet: no more jobs, and
			    those that are out hold nobody up */
	enum flow_state state;
	unsigned failures;
	char *name;	  /* owned: of a destination, for people; or NULL */
	char *reply;	  /* owned: what was said last, or NULL */
	int64_t retry_ms; /* monotonic */

	/* mail in waiting/KEY */
	bool has_waiting;
	struct flow *next_waiting, *previous_waiting; /* a ring */
	void *folder;	/* waiting.c's: the part that it is reading */
	bool is_pinned; /* at work with it: it must not go */
};

#define FLOWS_SLOTS 4096
/* So many are remembered at most; mail for others waits by time alone. */
#define FLOWS_MAX 60000

struct flows {
	struct flow *slot[FLOWS_SLOTS];
	unsigned count;
	uint64_t served;      /* the tag that was served last */
	struct heap turns[2]; /* by enum channel */
	struct flow *waiting; /* some flow of the ring, or NULL */
	unsigned window_max;  /* settings */
	int64_t backoff_min_ms, backoff_max_ms;
};

/* Finds a flow by its key, or returns NULL. */
struct flow *flows_find(const struct flows *flows, const char *key);

/* Finds it or makes it (its kind is set if it was unknown). NULL: no memory, or
 * there are FLOWS_MAX. */
struct flow *
flows_get(struct flows *flows, const char *key, enum flow_kind kind);

/* The keys: that of a destination is its folder name in jobs/. A sender has a flow
 * for each channel, so that neither waits for the other. */
void flow_sender_key(const char *sender, enum channel channel,
	char key[LAYOUT_DEST_LENGTH + 1]);

/* Gives work of a sender its place in the order. */
uint64_t flow_next_tag(struct flows *flows, struct flow *sender);

/*
 * Says anew whether the flow may hand out a job now; call it after any change to
 * ready, out, window or state. 0, or -1 with ENOMEM (it gets no turn until the
 * next call).
 */
int flow_turn(struct flows *flows, struct flow *flow);

/* The flow of this channel whose work comes first, or NULL. */
struct flow *flows_first(const struct flows *flows, enum channel channel);

/* True if nothing may be tried for the destination now, because it is down or remote
 * has not reached it yet; a flow whose time has
 * come, and which has nobody on the way, is ready for its probe. */
bool flow_is_down(const struct flow *flow, int64_t now_ms);

/* What became of a job: it got through to the destination; its connection broke;
 * no host could be reached. True if the flow has just gone down. */
void flow_reached(struct flows *flows, struct flow *flow);
void flow_broke(struct flow *flow);
bool flow_unreachable(struct flows *flows, struct flow *flow, int64_t now_ms);

/* Keep a beginning of these texts, for people (queue/destination.h); without
 * memory none. A flow keeps its first name; reply NULL: nothing is wrong. */
void flow_set_name(struct flow *flow, const char *name);
void flow_set_reply(struct flow *flow, const char *reply);

/* It is to be tried now, whatever it did. */
void flow_retry_now(struct flow *flow, int64_t now_ms);

/* Enter into, or take out of, the ring of those with mail in waiting/. */
void flow_set_waiting(struct flows *flows, struct flow *flow, bool has);

/* Forgets the flow if nothing refers to it and nothing is to be remembered. */
void flow_release(struct flows *flows, struct flow *flow, int64_t now_ms);
void flows_release_idle(struct flows *flows, int64_t now_ms);

void flows_free(struct flows *flows);

#endif
