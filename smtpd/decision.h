#ifndef SMTPD_DECISION_H
#define SMTPD_DECISION_H

/*
 * The log of what was decided: one line for each decision, in one form, for
 * people and for programs. Fields have one order and are always there, "-" where
 * there is nothing to say; blanks and backslashes in them stand as \x20 and \x5c,
 * so that no stranger can add a field. Only why, the last one, has blanks.
 *
 *   verdict=refused at=RCPT client=192.0.2.1 helo=c.example
 *   from=<a@b.example> to=<c@d.example> rule=rcpthosts code=550
 *   id=01234567890123456789 recipients=0 octets=0 why=relaying denied
 */

#include <stdint.h>
#include "smtpd/session.h"

struct decision {
	const char *at; /* CONNECT, or the command, without blanks */
	/* Of the reply: 2xx accepted, 4xx deferred, 5xx refused; 0: lost. */
	int code;
	const char *rule;  /* what decided; NULL for nothing in particular */
	const char *why;   /* a sentence; NULL for none */
	const char *hello; /* NULL: what the client said at HELO or EHLO */
	const char *from;  /* NULL: the reverse-path, if there is one */
	const char *to;	   /* NULL: the only recipient, if there is one */
	uint64_t octets;   /* of the content */
};

/* A stranger's text as one word of the log, "-" for ""; what does not fit into
 * size (at least 12) ends in "...". Returns into. */
const char *decision_word(char *into, size_t size, const char *text);

void
decision_log(const struct session *session, const struct decision *decision);

#endif
