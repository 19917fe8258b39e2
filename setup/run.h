#ifndef SETUP_RUN_H
#define SETUP_RUN_H

/*
 * Runs another program to its end, with what it reads, and keeps what it says.
 */

#include <stddef.h>
#include <stdint.h>

#define RUN_OUTPUT_MAX 65536

struct run {
	int status; /* its exit status; -1: it was ended by a
					    signal or by the deadline */
	char output[RUN_OUTPUT_MAX +
		    1]; /* standard output; what is beyond it is
					    read and dropped */
	char said[400]; /* the first line of standard error, or why not */
};

/*
 * Runs argv[0] (a path, or a name in PATH) with input on standard input ("" for none), until it ends
 * or the deadline comes, when it is killed. It gets our environment. 0 if it ended
 * with status 0; otherwise -1 with a sentence in run->said.
 */
int run_program(struct run *run, char *const argv[], const char *input,
	int64_t deadline_ms);

#endif
