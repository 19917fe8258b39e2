#ifndef LOCAL_FORWARD_H
#define LOCAL_FORWARD_H

/*
 * Forwards: all addresses of one .qmail file together get one new message, with
 * "Delivered-To: ADDRESS" in front, by the same way into the queue as everybody
 * else's. The reverse-path stays: "-owner" files are not looked at.
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/envelope.h"
#include "lib/outcome.h"

struct forward {
	const char *socket_path; /* of queue-inject */
	const char *address;	 /* the one that is forwarded from */
	const char *host;	 /* for addresses without a domain */
	const char *reverse_path;
	int content;
	uint64_t offset, octets;
	struct envelope envelope; /* recipients gather here; owned */
};

/*
 * Adds an address, canonical, with the host as its domain if it has none. 0, or
 * -1 with a reply text in why.
 */
int forward_add(
	struct forward *forward, const char *address, char *why, size_t size);

/*
 * Submits the message. OUTCOME_EXPANDED: it is durable, and text says "2.0.0
 * forwarded as ID"; OUTCOME_FAILED: refused for good; OUTCOME_DEFERRED: not now,
 * or the answer was lost (then a copy may exist). Frees the envelope.
 */
enum outcome
forward_submit(struct forward *forward, char text[OUTCOME_TEXT_MAX + 1]);

/* Frees the envelope if it was not submitted. Safe twice. */
void forward_free(struct forward *forward);

#endif
