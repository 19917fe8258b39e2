#ifndef LIB_SASL_FRONT_H
#define LIB_SASL_FRONT_H

/*
 * The client's side of an exchange with authd: what AUTH of SMTP (RFC 4954) and
 * of POP3 (RFC 5034) have in common. Reads the client's lines, undoes the base64,
 * carries the octets to authd (lib/auth.h) and its challenges back. It decides
 * nothing.
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/auth.h"
#include "lib/line.h"

enum sasl_front_result {
	SASL_FRONT_YES,	      /* account is who logged in */
	SASL_FRONT_NO,	      /* wrong name or password: never which */
	SASL_FRONT_TEMPORARY, /* authd cannot tell; *error, 0 if it says so */
	SASL_FRONT_CANCELLED, /* the client sent "*" */
	SASL_FRONT_MALFORMED, /* not base64, or not the mechanism's */
	SASL_FRONT_TOO_LONG,  /* a line longer than LINE_AUTH_MAX */
	SASL_FRONT_TIMEOUT,   /* the client says nothing */
	SASL_FRONT_STOPPED,   /* must_stop said so */
	SASL_FRONT_LOST,      /* the connection is of no more use */
};

struct sasl_front {
	const char *socket_path; /* authd's */
	struct line_reader *input;
	/* Sends a challenge, as base64 (text[0..len), "" too), to the client at
	 * once. 0, or -1: the connection is lost. */
	int (*challenge)(void *context, const char *text, size_t len);
	/* Waits for a line of the client until the deadline, and says whether to
	 * give up instead of reading it. NULL: never. */
	bool (*must_stop)(void *context, int64_t deadline_ms);
	void *context;
	int64_t line_wait_ms; /* for each line of the client */
	int64_t auth_wait_ms; /* for each answer of authd */
	int fd;		      /* after SASL_FRONT_YES: the caller's to close */
	int error;	      /* errno, after SASL_FRONT_TEMPORARY */
	char account[AUTH_NAME_MAX]; /* after SASL_FRONT_YES */
};

/*
 * Carries an exchange out. begin is complete but for the initial response, which
 * is text[0..len): base64, "=" for an empty one; NULL for none. Forgets all that
 * the client sent. A client that has cancelled, or has gone, is nothing to authd.
 */
enum sasl_front_result sasl_front_run(struct sasl_front *front,
	struct auth_begin *begin, const char *text, size_t len);

/*
 * The same for what is no base64: octets[0..len) is the whole of what the client
 * says (USER and PASS, APOP). Ends with YES, NO, TEMPORARY or MALFORMED.
 */
enum sasl_front_result sasl_front_ask(struct sasl_front *front,
	struct auth_begin *begin, const void *octets, size_t len);

#endif
