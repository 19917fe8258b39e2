#ifndef LOCAL_PROGRAM_H
#define LOCAL_PROGRAM_H

/*
 * Runs one "|command" of a .qmail file with qmail's contract (qmail-command(8)):
 * /bin/sh -c COMMAND in the home folder, the message without trace lines on
 * descriptor 0 (seekable, at its start, a copy of its own), 1 and 2 gathered for
 * the report, every other descriptor closed, every signal as by default, umask
 * 077, in a session of its own. It runs as the owner of the mail, never as root.
 *
 * Memory is limited for each process, and the processes of its owner in all are.
 * Files are not: how much of the disk is his, the file system's quota says, and a
 * limit on one file would cut an mbox that the command appends to.
 */

#include <stddef.h>
#include <stdint.h>

/* The longest that a command may be allowed to take, in seconds: less than what
 * the warden gives to a whole delivery. */
#define PROGRAM_LIMIT_S 7000

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
	int64_t memory;	   /* octets of address space a process; 0: no limit */
	int64_t processes; /* of its owner, all told; 0: no limit */
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
