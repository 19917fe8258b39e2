#ifndef LIB_DESCRIPTORS_H
#define LIB_DESCRIPTORS_H

/*
 * Records with descriptors beside them, over SOCK_SEQPACKET sockets; and who is
 * at the other end, from the kernel.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DESCRIPTORS_MAX 4

struct peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* Who connected, as the kernel noted it. 0, or -1 with errno. */
int peer_identity(int fd, struct peer *peer);

/*
 * Sends one record and up to DESCRIPTORS_MAX descriptors (which stay the
 * caller's). 0, or -1 with errno (EAGAIN if the socket is non-blocking and
 * full; ETOOMANYREFS if too many of this user's descriptors were on their way
 * for two seconds). No SIGPIPE.
 */
int descriptors_send(int fd, const void *record, size_t length,
	const int *descriptor, unsigned descriptors);

/*
 * Receives one record and its descriptors, close-on-exec, the caller's to close.
 * *descriptors is how many came, at most max. Returns the record's length, 0 if
 * the peer closed, or -1 with errno; EMSGSIZE if the record was longer than size
 * or brought more descriptors than max, which are closed then.
 */
ssize_t descriptors_receive(int fd, void *record, size_t size, int *descriptor,
	unsigned max, unsigned *descriptors);

/*
 * The same two, waiting until the deadline (lib/deadline.h). descriptors_send_by
 * returns as descriptors_send; descriptors_receive_by takes no descriptors. -1
 * with ETIMEDOUT at the deadline.
 */
int descriptors_send_by(int fd, const void *record, size_t length,
	const int *descriptor, unsigned descriptors, int64_t deadline_ms);
ssize_t
descriptors_receive_by(int fd, void *record, size_t size, int64_t deadline_ms);

/* Makes sure that 0, 1 and 2 are open (on /dev/null if not), so that no file
 * ever lands there. 0, or -1 with errno. */
int descriptors_ensure_standard(void);

#endif
