#ifndef TLS_SIGNER_H
#define TLS_SIGNER_H

/*
 * The signing part of tlsd: a process of its own that no octet of a client comes to.
 * It alone has private keys and may read the folder tls. It signs what has the form
 * of a signature, SIGN_SESSION_MAX times a session, and nothing else.
 */

#include "lib/home.h"

/*
 * Runs in a child of tlsd's parent, until the parent's end of control is closed and
 * the sessions at that time have what they asked for. Returns an exit status. Takes
 * the role by itself.
 */
int signer_run(const struct home *home, int control, unsigned sessions);

#endif
