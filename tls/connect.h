#ifndef TLS_CONNECT_H
#define TLS_CONNECT_H

/*
 * One session of tls-client, from the request to its end: lib/tls.h from the
 * service's side.
 *
 * The other host's certificate is always verified: against the authorities, and
 * for the name that was asked for, which must be one of its subjectAltNames (RFC
 * 9525: no common names; "*" only as the whole of the first label). With
 * TLS_CHECK_NAME the handshake ends where that fails; else it goes on, and the
 * facts tell.
 */

#include "tls/authorities.h"

/* How long the asker may take for its records, and a handshake in all. */
#define CONNECT_RECORD_MS (30 * 1000)
#define CONNECT_HANDSHAKE_MS (55 * 1000)

/* Serves one connection to the socket to its end, and that of the session. */
void connect_serve(const struct authorities *authorities, int connection);

#endif
