#ifndef TOOLS_AUTH_EXCHANGE_H
#define TOOLS_AUTH_EXCHANGE_H

/*
 * One exchange with one asker (lib/auth.h), in a process of its own: from its
 * first record to the verdict, and for POP3 to the session.
 */

#include "tools/auth_check.h"
#include "tools/auth_limits.h"

/* How long a client may take to log in, once it has begun. */
#define EXCHANGE_MS (5 * 60 * 1000)

/* Returns the process's exit status. Closes nothing. */
int exchange_run(const struct auth_place *place,
	const struct auth_limits *limits, int fd);

/* Answers that nobody can tell now, and never waits for it. */
void exchange_turn_away(int fd);

#endif
