#ifndef LIB_SERVICE_H
#define LIB_SERVICE_H

/*
 * Local sockets: how a service takes its place in the file system, how a client
 * reaches it, and how a service that makes children waits.
 */

#include <stdint.h>
#include <sys/types.h>
#include "lib/home.h"

/*
 * Listens on a unix socket of the type SOCK_STREAM or SOCK_SEQPACKET at path. It
 * is made under a temporary name, gets its mode and group (gid -1: none), and is
 * then renamed into place, over what an earlier run left, so that no client ever
 * finds it half made. Non-blocking, close-on-exec. Returns the descriptor, or -1
 * with errno.
 */
int
service_listen(const char *path, int type, mode_t mode, gid_t gid, int backlog);

/*
 * The same for a service that only the suite's own programs ask: a SOCK_SEQPACKET
 * socket at socket/NAME below the home, for its user and the group keep-suite
 * (private mode: for the user). Returns the descriptor, or -1 with a sentence in
 * why.
 */
int service_listen_suite(const struct home *home, const char *name, int backlog,
	char *why, size_t size);

/*
 * Connects to a service. The descriptor is non-blocking and close-on-exec.
 * Returns it, or -1 with errno; ETIMEDOUT if its backlog stays full until the
 * deadline.
 */
int service_connect(const char *path, int type, int64_t deadline_ms);

/*
 * Blocks SIGCHLD and SIGTERM, which come at the descriptor that it returns from
 * then on, and ignores SIGPIPE. Non-blocking, close-on-exec. Returns the
 * descriptor, or -1 with errno. A child inherits the blocked signals: see
 * service_unblock_signals.
 */
int service_signals(void);

/* In a child that is to end by SIGTERM, or that runs another program. */
void service_unblock_signals(void);

/* What came; added up. */
#define SERVICE_STOP 1	     /* SIGTERM */
#define SERVICE_CHILD 2	     /* SIGCHLD: some child has ended */
#define SERVICE_CONNECTION 4 /* there is one to accept */

/* Takes all that has come at such a descriptor; does not wait. */
int service_take_signals(int signals);

/*
 * Waits for a signal, for a connection (listener -1: for none), or timeout_ms
 * milliseconds (-1: without end). Returns what came, 0 if nothing did, or -1 with
 * errno.
 */
int service_wait(int signals, int listener, int timeout_ms);

#endif
