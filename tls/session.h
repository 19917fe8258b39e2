#ifndef TLS_SESSION_H
#define TLS_SESSION_H

/*
 * One session of TLS, in a child of its own: what lib/tls.h says between an asker
 * and tlsd, the handshake, and all that comes after it. Everything that a client
 * sends is read here.
 */

#include "lib/descriptors.h"
#include "lib/home.h"
#include "tls/contexts.h"

/* How long the request may take to come, the descriptors after it, and the
 * handshake. */
#define SESSION_REQUEST_MS (10 * 1000)
#define SESSION_HAND_OVER_MS (60 * 1000)
#define SESSION_HANDSHAKE_MS (60 * 1000)

struct session {
	const struct home *home;
	const struct contexts *contexts;
	int connection; /* to the asker */
	struct peer asker;
	int *signer;	     /* where signatures are asked for */
	const char *refusal; /* why it is refused; NULL: it is not */
};

/* Serves it to its end. Closes connection and *signer (-1 then). */
void session_run(struct session *session);

#endif
