#ifndef TESTS_CRASH_CALLS_H
#define TESTS_CRASH_CALLS_H

/* The system calls that trace looks at, and how it comes by them. */

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

/* Makes each of these calls of this process, from now on, stop for its tracer.
 * 0, or -1 with errno. */
int calls_filter(void);

/* Changes an argument of the call at whose beginning pid is stopped. */
void calls_set_argument(pid_t pid, unsigned argument, unsigned long value);

#endif
