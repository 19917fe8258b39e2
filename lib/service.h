#ifndef LIB_SERVICE_H
#define LIB_SERVICE_H

/*
 * Local sockets: how a service takes its place in the file system, and how a
 * client reaches it.
 */

#include <stdint.h>
#include <sys/types.h>

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
 * Connects to a service. The descriptor is non-blocking and close-on-exec.
 * Returns it, or -1 with errno; ETIMEDOUT if its backlog stays full until the
 * deadline.
 */
int service_connect(const char *path, int type, int64_t deadline_ms);

#endif
