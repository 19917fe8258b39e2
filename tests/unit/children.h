#ifndef TESTS_UNIT_CHILDREN_H
#define TESTS_UNIT_CHILDREN_H

/*
 * Children of a test that do what may kill them, and how they ended.
 */

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/sanitized.h"
#include "tests/unit/temporary.h"

/* Added to the number of the signal that ended a child. */
#define KILLED 1000

/* In a child: the condition holds, or it says which does not, and returns 1. */
#define NEED(condition)                                                       \
	do {                                                                  \
		if (!(condition)) {                                           \
			dprintf(2, "# %s line %d: %s (errno %d)\n", __FILE__, \
				__LINE__, #condition, errno);                 \
			return 1;                                             \
		}                                                             \
	} while (0)

/* Starts a child that ends with what act returns. */
static inline pid_t
child_start(int (*act)(void *), void *context)
{
	fflush(NULL);
	pid_t pid = fork();

	temporary_need(pid >= 0, "fork");
	if (pid == 0)
		_exit(act(context));
	return pid;
}

/* How it ended: its exit status, or KILLED and the signal. */
static inline int
child_end(pid_t pid)
{
	int status;

	temporary_need(waitpid(pid, &status, 0) == pid, "waitpid");
	return WIFSIGNALED(status) ? KILLED + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

static inline int
child_ending(int (*act)(void *), void *context)
{
	return child_end(child_start(act, context));
}

#endif
