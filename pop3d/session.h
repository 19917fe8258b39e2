#ifndef POP3D_SESSION_H
#define POP3D_SESSION_H

/*
 * The session part of the POP3 server (RFC 1939, TRANSACTION and UPDATE): runs in
 * a child of the warden that has become the mailbox's owner, and may touch that
 * Maildir alone.
 */

#include "lib/accounts.h"
#include "local/warden.h"

/*
 * Serves the account's maildrop to the client on in and out (one socket or two),
 * from the "+OK" that answers PASS to the end. login is the login part's end of
 * a socket pair: the lines that the client sent ahead (pipelined after PASS) come
 * over it first, then it ends; the login part itself holds the connection no
 * more. The caller has become the owner and has confined itself to the Maildir.
 * Returns an exit status (lib/outcome.h). Nothing is closed.
 */
int pop3_session(const struct account *account,
	const struct warden_request *request, int in, int out, int login);

#endif
