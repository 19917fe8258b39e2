#ifndef TESTS_CRASH_FAIL_H
#define TESTS_CRASH_FAIL_H

/*
 * What may go wrong with a call, and with which calls: EIO with all that touch a
 * file; EROFS with all that change one; ENOMEM as EIO, but not with what is synced
 * or written; ENOSPC and EDQUOT where room is taken; EMFILE where a descriptor is
 * made; "short" writes half of what is to be written.
 */

#include <stdbool.h>
#include <sys/types.h>
#include "tests/crash/calls.h"

enum { FAULTS = 7 };

/* Their names: "EIO", "EROFS", "ENOMEM", "ENOSPC", "EDQUOT", "EMFILE", "short". */
extern const char *const fail_name[FAULTS];

/* The number of a fault by its name, or -1. */
int fail_find(const char *name);

/* True if the call with these arguments may fail so. */
bool fail_fits(
	int fault, const struct call *call, const unsigned long long *argument);

/* Makes the call at whose beginning pid is stopped go wrong. */
void fail_call(int fault, pid_t pid, const struct call *call,
	const unsigned long long *argument);

#endif
