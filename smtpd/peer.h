#ifndef SMTPD_PEER_H
#define SMTPD_PEER_H

/*
 * Who the client is: the connection's peer, as tcpserver says, or somebody
 * behind it, as a listed proxy says by a PROXY header before the greeting, or a
 * listed peer by XCLIENT.
 *
 * Once the client is another, nothing that tcpserver's rules gave the peer holds
 * any more: RELAYCLIENT and DATABYTES are those that the same rules give the
 * client's own address, and a client that they deny is sent away. A proxy that
 * does not say who stands behind it gets no relaying and control/databytes. The
 * same goes for a certificate that the peer showed.
 */

#include <stddef.h>
#include "lib/reply.h"
#include "smtpd/session.h"

/* How long the whole of a PROXY header may take to come. */
#define PEER_PROXY_MS (10 * 1000)
/* How long its first octet is waited for where it may be missing. */
#define PEER_PROXY_FIRST_MS (2 * 1000)

/* Address and name of the peer from tcpserver's variables. */
void peer_start(struct session *session);

/*
 * Reads the PROXY header, if the peer is one of control/proxies, and returns the
 * greeting; or 421 or 554 with close_after, or with is_lost, where the client
 * is to see nothing.
 */
struct reply peer_begin(struct session *session);

/*
 * The client is another: address as text, "unknown" if that is not known; name
 * "" if it is not. Decides by session->rules what it may. The reply is the
 * greeting, or one with close_after for who is denied.
 */
struct reply
peer_change(struct session *session, const char *address, const char *name);

#endif
