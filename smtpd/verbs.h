#ifndef SMTPD_VERBS_H
#define SMTPD_VERBS_H

/*
 * The commands of SMTP (RFC 5321 section 4.1) as one table in verbs.c: the word,
 * the states in which it is legal, whether an argument belongs to it, and the
 * routine that carries it out. verbs_run checks all of that; a handler gets only
 * what is in order.
 */

#include <stdbool.h>
#include <stddef.h>
#include "lib/reply.h"
#include "smtpd/session.h"

/*
 * Carries out a command with its argument (argument[0..len), blanks at both ends
 * stripped) and returns the reply; with close_after the session ends after it,
 * and with session->is_lost it has ended already and the reply is not sent. A code
 * of 0 is no reply: all has been said.
 */
typedef struct reply
verb_handler(struct session *session, const char *argument, size_t len);

verb_handler verb_helo, verb_ehlo;			  /* verb_hello.c */
verb_handler verb_mail;					  /* verb_mail.c */
verb_handler verb_rcpt;					  /* verb_rcpt.c */
verb_handler verb_xclient;				  /* verb_xclient.c */
verb_handler verb_auth;					  /* verb_auth.c */
verb_handler verb_etrn;					  /* verb_etrn.c */
verb_handler verb_starttls;				  /* verb_tls.c */
verb_handler verb_data;					  /* verb_data.c */
verb_handler verb_bdat;					  /* verb_bdat.c */
verb_handler verb_rset, verb_noop, verb_quit, verb_vrfy;  /* verb_rest.c */
verb_handler verb_help, verb_unimplemented, verb_foreign; /* verb_rest.c */

/*
 * Finds the command in line[0..len) (without its line end) and runs it. Bad
 * commands are counted (limits_error): too many end the session.
 */
struct reply verbs_run(struct session *session, const char *line, size_t len);

/* Whether a line begins with a command of the table. */
bool verbs_are(const char *line, size_t len);

/* The same for a line that is no command: counts it, and gives the reply. */
struct reply verbs_refuse(struct session *session, const char *text);

/* The same for a line with a CR or LF of its own. */
struct reply
verbs_refuse_bare(struct session *session, const char *line, size_t len);

/* The refusal of a command that is not legal in this state. */
struct reply
verbs_out_of_order(const struct session *session, verb_handler *handler);

/* Whether a path has octets beyond ASCII; and the refusal where SMTPUTF8 was not
 * given at MAIL (RFC 6531 section 3.5). */
bool verbs_need_utf8(const struct path *path);
struct reply verbs_utf8_refused(void);

/* The reply to a submission that failed: 4xx or 5xx by its code. Logs it. */
struct reply
verbs_submission_failed(const struct session *session, const char *at);

#endif
