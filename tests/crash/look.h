#ifndef TESTS_CRASH_LOOK_H
#define TESTS_CRASH_LOOK_H

/* What can be seen of a process that is traced, while it is stopped. */

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

/* Copies octets of its memory. Returns how many could be read. */
size_t look_octets(pid_t pid, unsigned long long from, void *to, size_t length);

/* The path of what a descriptor of it leads to, "socket:[…]" and the like too, or
 * AT_FDCWD; "" if there is none. */
void look_descriptor(pid_t pid, int fd, char path[PATH_MAX]);

/* The path of a name in its memory, as seen from a folder's descriptor. */
void
look_name(pid_t pid, int folder, unsigned long long name, char path[PATH_MAX]);

/* Where the descriptor stands in its file; -1 if that cannot be told. */
long long look_position(pid_t pid, int fd);

#endif
