#ifndef REMOTE_REACH_H
#define REMOTE_REACH_H

/*
 * A worker's way to its destination: the settings of the route, the hosts, and a
 * connection over which messages can be sent: greeted, encrypted and logged in as
 * the route wants it.
 *
 * TLS (RFC 3207, RFC 7435): with tls=may and no login a handshake that fails costs
 * one more connection to that address, in clear; otherwise nothing that was to be
 * encrypted ever passes in clear. Where the service tls-client does not run, "may"
 * is in clear.
 *
 * When nobody could be reached, the messages that came to be sent before that was
 * known get the same answer; one that came later is tried. A login that is rejected
 * is not tried at another address, nor for another message for a minute.
 *
 * Hosts that the DNS has named are good for as long as it says, and always for the
 * rest of the message at hand.
 *
 * Addresses that lately have not answered are left out (remote/dead.h), unless there
 * are no others.
 */

#include <stdbool.h>
#include "remote/client.h"
#include "remote/dead.h"
#include "remote/mx.h"
#include "remote/route.h"

/* What all workers need, made by the parent before it confines itself. */
struct reach_options {
	struct mx_options mx;
	struct client_timeouts timeouts;
	const char *helo; /* our name in EHLO */
	const char *tls_socket;
	uid_t secrets_owner; /* of secrets/smarthosts; its group is ours */
};

struct reach {
	const struct reach_options *options;
	int secrets; /* the open secrets/smarthosts, or -1; closed once the
			route is known */
	int secrets_errno;	 /* why it is not open */
	struct dead_table *dead; /* what is known of addresses */
	int parent;		 /* is told of them, in struct dead_note */
	bool has_route;
	struct route_target target;
	struct login login;   /* of auth=; else zero */
	struct client client; /* client.fd -1: not connected */
	bool is_used;	      /* a message has gone over this connection */
	int64_t since_ms;     /* when it was opened */
	bool needs_tls;	      /* the message at hand must not go in clear */
	struct mx_list hosts;
	bool has_hosts;
	int64_t good_until_ms; /* of hosts, by the DNS; monotonic */
	bool is_news;	       /* the hosts, or that they are not good, have not
				  been told to the parent */
	bool is_begun;	       /* no connection for the message at hand yet */
	int64_t asked_ms;      /* when the message came to be sent */
	unsigned at;	       /* the address in use, or to be tried next */
	uint32_t aside;	       /* a bit for each that is not for this message */
	bool is_tried;	       /* some address, for want of a connection */
	bool is_short;	 /* no connection, but that is not the hosts' fault */
	bool is_for_tls; /* none for needs_tls alone, at the last address */
	int64_t down_ms; /* when that was found; 0: never */
	int64_t down_until_ms;	   /* whatever is asked: a login was rejected */
	enum outcome down_outcome; /* what that means for recipients */
	char down_text[OUTCOME_TEXT_MAX + 1];
};

_Static_assert(MX_ADDRESSES_MAX <= 32, "there is a bit for each");

/*
 * Makes a way without a connection. secrets is the open file, which becomes the
 * way's; or -1 with error the errno of opening it. dead is the caller's, and is
 * changed by what happens; parent is a SOCK_SEQPACKET socket, the caller's too.
 */
void reach_start(struct reach *way, const struct reach_options *options,
	int secrets, int error, struct dead_table *dead, int parent);

/* Takes hosts that a worker before has found, good until then; those that the
 * route does not allow are left when it is known. */
void
reach_recall(struct reach *way, const struct mx_list *hosts, int64_t until_ms);

/* A message is at hand, which came to be sent at asked_ms (monotonic). */
void reach_begin(struct reach *way, int64_t asked_ms);

/*
 * True if a connection stands; one that is old, or has had as many messages as it
 * is to have, is closed for another. Otherwise nobody can be reached for now:
 * down_outcome, down_text and is_short say more. needs_tls: the message at hand
 * is better deferred than sent in clear: no connection is opened in clear for it
 * where TLS is offered, and one that stands is closed.
 */
bool reach_open(struct reach *way, const char *destination, bool needs_tls);

/* After CLIENT_NEXT_HOST: the connection ended untouched. Goes on behind its
 * address, unless it lay idle and may just have ended. */
void reach_pass(struct reach *way);

/* After CLIENT_NEXT_HOST with client.aside: the address, or all of IPv6, is not
 * for the message at hand; goes on with those that are left. */
void reach_put_aside(struct reach *way);

/* Whether none is left for the message at hand, each having been put aside. */
bool reach_all_aside(const struct reach *way);

/* Says QUIT and closes, if there is a connection. */
void reach_close(struct reach *way);

/* reach_close, and wipes the login. */
void reach_end(struct reach *way);

/* --- parts, in reach_aside.c --- */

/* Whether that address is not for the message at hand. */
bool reach_is_aside(const struct reach *way, unsigned index);

/* Whether the connection is of IPv6, and an address of IPv4 may be tried for the
 * message at hand. */
bool reach_has_v4(const struct reach *way);

/* --- parts, in reach_dead.c --- */

/* Whether the address is left out for now. */
bool reach_is_out(const struct reach *way, const struct mx_address *address);

/* The one to be tried all the same where all are left out: that whose time is over
 * first; hosts.count if none may. Else down_text is set. */
unsigned reach_find_probe(struct reach *way);

/* Connects to the address, and takes down and tells what that says of it. Returns
 * the descriptor, or -1 with errno. */
int reach_connect(struct reach *way, const struct mx_address *address,
	const struct sockaddr_storage *source);

#endif
