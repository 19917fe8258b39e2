#ifndef LOCAL_FORWARD_H
#define LOCAL_FORWARD_H

/*
 * Forwards: all addresses of one .qmail file together get one new message, with
 * "Delivered-To: ADDRESS" in front, by the same way into the queue as everybody
 * else's. An address that is named twice gets it once.
 *
 * What the sender asked of reports goes on with it, RFC 3461 section 5.2.7:
 *
 *   5.2.7.1  a list (another reverse-path than the sender's): nothing goes on;
 *            the message is delivered with this.
 *   5.2.7.2  one address and nothing kept: all of it goes on, and there is no
 *            report here.
 *   5.2.7.3  several, or a copy is kept (c): NOTIFY without SUCCESS goes on,
 *            and RET, ENVID and ORCPT; a success is reported here.
 *
 * REQUIRETLS (RFC 8689) goes on always.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/domains.h"
#include "lib/envelope.h"
#include "lib/outcome.h"
#include "local/newsender.h"

/* The most addresses of one file. */
#define FORWARD_ADDRESSES_MAX 1000

struct forward {
	const char *socket_path;    /* of queue-inject */
	const char *address;	    /* forwarded from; NULL: no Delivered-To */
	const char *host;	    /* for addresses without a domain */
	const struct domains *ours; /* hosts of ours */
	const struct newsender *sender;
	const char *envid, *orcpt;
	uint8_t notify, ret, requiretls;
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
 * Submits the message; is_kept says that a copy stays here. When it is durable,
 * text says "2.0.0 forwarded as ID", and the outcome is that of 5.2.7 above:
 * OUTCOME_DELIVERED to a list, OUTCOME_RELAYED_DSN (its reports are another's
 * affair) or OUTCOME_EXPANDED. OUTCOME_FAILED: refused for good; OUTCOME_DEFERRED:
 * not now, or the answer was lost (then a copy may exist). Frees the envelope.
 */
enum outcome forward_submit(
	struct forward *forward, bool is_kept, char text[OUTCOME_TEXT_MAX + 1]);

/* Frees the envelope if it was not submitted. Safe twice. */
void forward_free(struct forward *forward);

#endif
