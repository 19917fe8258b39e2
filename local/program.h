#ifndef LOCAL_PROGRAM_H
#define LOCAL_PROGRAM_H

/*
 * Runs one "|command" of a .qmail file with qmail's contract (qmail-command(8)):
 * /bin/sh -c COMMAND in the home folder, the message without trace lines on
 * descriptor 0 (seekable, at its start, a copy of its own), 1 and 2 gathered for
 * the report, every other descriptor closed, every signal as by default, umask
 * 077, in a session of its own. It runs as the owner of the mail, never as root.
 */

#include <stddef.h>
#include <stdint.h>

/* How long a command may take unless told otherwise, in milliseconds. */
#define PROGRAM_LIMIT_MS (60 * 60 * 1000)

/* Octets of output that are kept; the rest is read and dropped. */
#define PROGRAM_OUTPUT_MAX 900

/* Octets of output after which it is killed. */
#define PROGRAM_FLOOD (16 * 1024 * 1024)

struct program_call {
	const char *command;
	char *const *environment; /* "NAME=VALUE" and a NULL: nothing else */
	int home;		  /* the folder, open */
	int content;		  /* a descriptor; its position stays */
	uint64_t offset, octets;  /* of the content in it */
	int64_t limit_ms;
};

enum program_result {
	PROGRAM_DONE,	   /* exit 0: go on with the next line */
	PROGRAM_STOP,	   /* exit 99: done, later lines are not looked at */
	PROGRAM_FAILED,	   /* exit 64 65 70 76 77 78 100 112: never */
	PROGRAM_TEMPORARY, /* any other, a signal, the time limit, no resources */
};

/*
 * Runs the command and waits for its end. When limit_ms have passed, or it
 * has written more than PROGRAM_FLOOD octets, its process group is killed. A process that it leaves behind in the background is not
 * waited for, and its output is lost. Sets SIGCHLD to its default.
 *
 * why gets a sentence for anything but DONE and STOP (without an enhanced status
 * code); output what the command wrote, printable ASCII on one line; both with a
 * NUL.
 */
enum program_result program_run(const struct program_call *call, char *why,
	size_t why_size, char output[PROGRAM_OUTPUT_MAX + 1]);

#endif
