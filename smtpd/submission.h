#ifndef SMTPD_SUBMISSION_H
#define SMTPD_SUBMISSION_H

/*
 * smtpd as the server of our own users' mail programs (RFC 6409): what the
 * settings submission, hideclient, senderlogin, senderlogins, accounthourly,
 * accountdaily and submitsocket mean. One service among several has the switches
 * by variables of their names in capital letters, which stand above the files:
 * tools/service/submission/run sets SUBMISSION.
 *
 * Whoever learns a client's login calls submission_login, and nothing else has to
 * know where it came from.
 */

#include <stdbool.h>
#include <stddef.h>
#include "lib/reply.h"
#include "smtpd/judge.h"
#include "smtpd/session.h"

/* How long countd may take for an answer. */
#define SUBMISSION_COUNT_MS (2 * 1000)

/*
 * Takes the variables, checks values, and takes SMTPLOGIN as the login of the
 * connection's peer. 0, or -1 with a sentence in why.
 */
int submission_configure(struct session *session, char *why, size_t size);

/*
 * The client has logged in under this name, of printable ASCII ("" for nobody any
 * more): with submission, it may send to any domain.
 */
void submission_login(struct session *session, const char *login);

/* Whether senders are compared with the login. */
bool submission_has_owner(const struct session *session);

/*
 * MAIL: with submission, 530 for who has neither a login nor RELAYCLIENT, and 553
 * for a sender that is another's. Code 0: nothing against it; otherwise *rule is
 * what decided.
 */
struct reply submission_judge_sender(const struct session *session,
	const struct path *sender, const char **rule);

/*
 * The content of a transaction begins: counts its recipients for the login.
 * Code 0, or the refusal; it is in the log.
 */
struct reply submission_begin(struct session *session);

/*
 * submission_content.c: sends content on to the queue; with submission, the header is held back until
 * it is whole, looked at and added to. Code 0, or the refusal of the message; then
 * *rule is what decided, or NULL if it is in the log already.
 */
struct reply submission_content(struct session *session, const char *octets,
	size_t len, const char **rule);

/* The content has ended: the same for a message that is a header alone. */
struct reply submission_end(struct session *session, const char **rule);

/* --- a part, for its test --- */

/* The key of a login's counter; long ones end in a sum of all of it. */
void submission_key(char key[COUNTER_KEY_MAX + 1], const char *login);

#endif
