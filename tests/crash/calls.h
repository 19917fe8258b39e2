#ifndef TESTS_CRASH_CALLS_H
#define TESTS_CRASH_CALLS_H

/* The system calls that trace looks at, and how it comes by them. */

#include <stdbool.h>
#include <sys/types.h>

enum call_kind {
	CALL_OPEN,
	CALL_WRITE,
	CALL_TRUNCATE,
	CALL_RENAME,
	CALL_UNLINK,
	CALL_OTHER, /* nothing but its paths matters */
	CALL_SEND,
	CALL_SEND_MESSAGE,
	CALL_MAP,
	CALL_PRCTL,
	CALL_READ,   /* nothing is changed by it, but it may fail */
	CALL_SOCKET, /* the same; makes a descriptor and has no path */
};

struct call {
	long number_of_call;
	enum call_kind kind;
	const char *record; /* its name in the log */
	/* Where its paths are, argument by argument: 'f' a descriptor, 'n' a
	 * name, 'a' a folder's descriptor and a name. */
	char where[3];
	unsigned number; /* the argument with flags or offset; 0: none */
	int parts;	 /* true: octets come as struct iovec */
};

/* The call of this number, or NULL. */
const struct call *calls_find(long number);

/* Makes each of these calls of this process, from now on, stop for its tracer;
 * of those that change nothing, CALL_READ and CALL_SOCKET, only if wanted. 0, or
 * -1 with errno. */
int calls_filter(bool with_reads);

/* Changes an argument (1 or 2) of the call at whose beginning pid is stopped. */
void calls_set_argument(pid_t pid, unsigned argument, unsigned long value);

/* Lets the call at whose beginning pid is stopped not happen, but fail with this
 * errno. Filters of the process do not see it again. */
void calls_fail(pid_t pid, int error);

#endif
