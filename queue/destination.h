#ifndef QUEUE_DESTINATION_H
#define QUEUE_DESTINATION_H

/*
 * What the runner answers when it is asked for its destinations (queue/request.h,
 * REQUEST_DESTINATIONS): the number of all that it knows, then those with most
 * mail, as records (lib/records.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <skalibs/stralloc.h>

/* Destinations that one answer holds. */
#define DESTINATIONS_MAX 1000
/* Octets of a destination and of a reply that are kept: no more is shown. */
#define DESTINATION_NAME_MAX 160
#define DESTINATION_REPLY_MAX 100

/* The numbers stand in files and never change. */
enum destination_state {
	DESTINATION_UP = 1,
	DESTINATION_DOWN, /* nothing is tried before the next probe */
	DESTINATION_PROBING,
};

struct destination {
	/* A domain or host as in the job, or the address of a local user; "": the
	 * runner has seen no mail for it since it started. Printable. */
	char name[DESTINATION_NAME_MAX + 1];
	bool is_local;
	enum destination_state state;
	uint32_t out, window; /* jobs under way, and how many may be */
	uint32_t ready;	      /* jobs that could be handed out */
	uint32_t messages;    /* in the runner's memory */
	bool has_waiting;     /* more lie in waiting/ */
	uint32_t failures;    /* probes that failed, one after the other */
	uint32_t probe_s;     /* to the next probe, if down */
	/* What was said last; "" if the last attempt was no failure. */
	char reply[DESTINATION_REPLY_MAX + 1];
};

/* Copies at most size - 1 octets, and '?' for what is not printable ASCII. */
void destination_text(char *into, size_t size, const char *text);

/* Appends the number of all destinations; goes first. 0, or -1 with ENOMEM. */
int destination_pack_count(stralloc *into, uint32_t count);

/* Appends one. 0, or -1 with ENOMEM. */
int destination_pack(stralloc *into, const struct destination *destination);

/*
 * Reads an answer: *count, and each(context, destination) for each. Returns 0,
 * or -1 if the octets are not whole and sound; each may have been called for
 * some.
 */
int destination_unpack(const void *octets, size_t length, uint32_t *count,
	void (*each)(void *context, const struct destination *destination),
	void *context);

#endif
