#ifndef REMOTE_ROUTE_H
#define REMOTE_ROUTE_H

/*
 * Where mail for a domain goes: the table of control/smtproutes, and the
 * destination texts of doc/queue.md: "mx:DOMAIN" or "mx:[ADDRESS]" for what a
 * recipient's domain says, "host:NAME:PORT" or "host:[ADDRESS]:PORT" for what
 * the administrator says. The two are kept apart because a route may lead
 * anywhere, but a stranger's domain or literal not to this host (remote/mx.h).
 * ADDRESS is IPv4 or IPv6 as inet_ntop writes it. Settings of the route may
 * follow, each after one blank (remote/route_words.h), so that mail that is to be
 * sent in another manner has another destination.
 *
 * A line of the table is "domain:relay:port", ".domain:relay:port" (all names
 * below) or ":relay:port" (all others); ":port" may be left out and is 25. An
 * empty relay ("domain:") means the domain's MX hosts. A domain or a relay in
 * brackets is an address literal; a relay may also be "[::1]". Settings may
 * follow, divided by blanks.
 *
 * The longest matching line holds; of two for the same domain, the first.
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/domains.h"
#include "lib/settings.h"
#include "remote/route_words.h"

/* Octets of the longest destination text, NUL included. */
#define ROUTE_TEXT_SIZE 801
#define ROUTE_PORT 25

struct routes {
	/* domain: a destination; or, for MX, "" or settings after a blank */
	struct domains table;
};

#define ROUTES_ZERO ((struct routes){DOMAINS_ZERO})

/*
 * Builds the table from the lines of control/smtproutes. Returns 0; or -1 with
 * a sentence in why that names file, line and expectation, and *routes empty.
 *
 * A line whose domain is sound, but not what it says of the way, makes the
 * destination "… unusable=LINE", to which nothing is sent: 0 is returned and why
 * says what is wrong with the first such line. Otherwise *why is "".
 */
int routes_build(struct routes *routes, const struct setting_list *list,
	char *why, size_t size);

/* Frees what the table owns and makes it empty. Safe twice. */
void routes_free(struct routes *routes);

/*
 * Writes the destination for a domain or address literal, NUL-terminated and in
 * lower case. Returns 0; or -1 with errno EINVAL (no domain and no literal) or
 * ENAMETOOLONG (the text does not fit into size; ROUTE_TEXT_SIZE fits all).
 */
int route_destination(const struct routes *routes, const char *domain,
	size_t len, char *destination, size_t size);

enum route_kind {
	ROUTE_MX = 1,  /* the MX hosts of name */
	ROUTE_HOST,    /* the addresses of the host name */
	ROUTE_ADDRESS, /* name is an IP address, without brackets */
};

struct route_target {
	enum route_kind kind;
	int routed;		       /* the administrator says so: "host:" */
	char name[ROUTE_NAME_MAX + 1]; /* lower case */
	uint16_t port; /* 0 unless routed: control/remoteport says */
	struct route_words words;
};

/*
 * Reads a destination text back. Returns 0, or -1 if it is none (then *target is
 * as it was). "local" is not a destination of `remote`.
 */
int route_parse(const char *destination, struct route_target *target);

#endif
