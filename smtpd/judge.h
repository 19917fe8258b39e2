#ifndef SMTPD_JUDGE_H
#define SMTPD_JUDGE_H

/*
 * What the policy answers at each step, and why: the same functions for smtpd,
 * which sends the reply, and for smtp-why, which shows the rest. Each takes what
 * the client said, already read and found well-formed, and the session for what
 * is known by then. None of them opens a transaction or says anything to anybody
 * but the services resolve and lookup.
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/reply.h"
#include "smtpd/session.h"
#include "smtpd/verdict.h"

struct reply judge_greeting(const struct session *session);

/*
 * A client that is not the peer, by session->rules: sets what it may from now
 * on. 220, 554 if the rules deny it, 421 if they cannot be read. *log is a
 * sentence for the log where the rules themselves are wrong; "" otherwise.
 */
struct verdict judge_client(struct session *session, const char *address,
	const char *name, char *log, size_t size);

/* HELO and EHLO: 250, or 550 by badhelo. */
struct verdict
judge_hello(const struct session *session, const char *name, size_t len);

/*
 * MAIL: 250, 552 by databytes (size is 0 if none was given), 553 by badmailfrom,
 * 550 or 451 by mailfromcheck; *sender's domain becomes one of ASCII, 553 or 451
 * if that cannot be. Where badmailfrom is to refuse at RCPT, the
 * verdict is 250 and session->transaction.bad_sender_line is set.
 */
struct verdict
judge_sender(struct session *session, struct path *sender, uint64_t size);

/*
 * RCPT: 250, 251 or the refusal. *path becomes the address as it goes into the
 * envelope: a domain for postmaster, one of ASCII, RELAYCLIENT's value appended, the new address
 * of a user who has moved (control/moved). May ask
 * resolve over session->resolve_fd.
 */
struct verdict judge_recipient(struct session *session, struct path *path);

#endif
