#ifndef SMTPD_TLS_H
#define SMTPD_TLS_H

/*
 * TLS with the client (RFC 3207, RFC 8314), by lib/tls_server.h: after STARTTLS, or
 * before the greeting where KEEPMAIL_TLS is "first".
 */

#include <stdbool.h>
#include "smtpd/session.h"

/* Whether STARTTLS would be carried out now. */
bool tls_is_offered(const struct session *session);

/* Asks for a session of TLS. 0, or -1: there is none; why is in the log. */
int tls_prepare(struct session *session);

/*
 * The handshake, after tls_prepare and what the client was told. 0: the session is
 * as at its beginning (RFC 3207 section 4.2), and the client's certificate has
 * been looked up in control/tlsclients. -1: the connection is lost; why is in the
 * log, and session->is_lost.
 */
int tls_start(struct session *session);

/* Both, before the greeting. */
int tls_start_first(struct session *session);

#endif
