#ifndef SMTPD_XCLIENT_H
#define SMTPD_XCLIENT_H

/*
 * The argument of XCLIENT, by which a listed peer says who the client is:
 *
 *   attributes = attribute *( 1*SP attribute )
 *   attribute  = name "=" ( xtext / "[UNAVAILABLE]" / "[TEMPUNAVAIL]" )
 *
 * with the names NAME, ADDR (an IPv4 address, or "IPV6:" and an IPv6 one), PORT,
 * PROTO (SMTP or ESMTP), HELO and LOGIN, each at most once, in either case.
 */

#include <stdbool.h>
#include <stddef.h>
#include "lib/networks.h"
#include "smtpd/session.h"

/* A text is "" where the peer says that it is not available. */
struct xclient {
	bool has_name, has_address, has_port, has_protocol, has_hello,
		has_login;
	bool is_extended; /* PROTO=ESMTP */
	char name[SESSION_NAME_MAX + 1];
	char address[NETWORK_TEXT_MAX]; /* in its shortest form */
	char hello[SESSION_NAME_MAX + 1];
	char login[SESSION_NAME_MAX + 1];
};

/*
 * Reads text[0..len). 0; or -1 with a few words in why, for the reply: nothing
 * of it counts then. A value longer than its place is an error.
 */
int xclient_scan(struct xclient *xclient, const char *text, size_t len,
	const char **why);

#endif
