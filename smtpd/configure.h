#ifndef SMTPD_CONFIGURE_H
#define SMTPD_CONFIGURE_H

/*
 * All that a session goes by: control files, checked as a whole before anything
 * is served, and the variables of tcpserver's rules.
 */

#include <stddef.h>
#include "smtpd/session.h"

/*
 * Reads control/ of session->home into session->settings and session->policy,
 * and the variables as configure_client does. Opens session->rules if the
 * client may turn out to be another (control/proxies, control/xclients):
 * is_always does it for every client. Returns 0; or -1 with a sentence in why
 * that names file, line and expectation.
 */
int configure(struct session *session, bool is_always, char *why, size_t size);

/*
 * Takes what the rules say of the client from the variables RELAYCLIENT and
 * DATABYTES; NULL for one that is not set. The texts are not copied. Returns as
 * configure.
 */
int configure_client(struct session *session, const char *relay_client,
	const char *databytes, char *why, size_t size);

/* Frees all of it. Safe twice. */
void configure_free(struct session *session);

#endif
