#ifndef TLS_PUMP_H
#define TLS_PUMP_H

/*
 * Carries octets between a session of TLS whose handshake is done and a socket on
 * which the same is in clear, until both directions have ended. Neither direction
 * waits for the other; each has one buffer of PUMP_BUFFER octets.
 *
 * An end on one side is told to the other, behind all that came before it: the
 * peer's close_notify becomes the end of file on the clear side, the end of file
 * there becomes a close_notify (RFC 8446 section 6.1), and the other direction goes
 * on. When the clear side is closed, and not only shut down for writing, what it
 * has said is still sent, within PUMP_FLUSH_MS, and all ends.
 *
 * There is no time limit while both sides are there: who speaks in clear has one.
 */

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

#define PUMP_BUFFER 16384
/* How long the peer may take for what was said to it by a side that has gone: for
 * any octet, and for all. */
#define PUMP_FLUSH_MS (60 * 1000)
#define PUMP_FLUSH_ALL_MS (600 * 1000)

struct pump_sums {
	uint64_t from_peer, to_peer; /* octets in clear */
	char why[160]; /* how it ended, if not in order; else "" */
};

/*
 * Runs to the end of both directions. The session's descriptors and clear become
 * non-blocking; all stay the caller's to close. SIGPIPE must be ignored. Returns 0
 * if each side said that it ended, or -1 with sums->why: the peer closed without
 * a close_notify, broke the protocol, or did not take what was left.
 */
int pump_run(SSL *ssl, int clear, struct pump_sums *sums);

/*
 * Ends what is said on output and waits a moment for the peer's end on input, so
 * that octets of it that nobody has read do not make the kernel take the last words
 * back. The descriptors stay open.
 */
void pump_linger(int input, int output);

/* Makes a descriptor non-blocking. 0, or -1 with errno. */
int pump_unblock(int fd);

#endif
