#ifndef TOOLS_QUEUE_PROGRAM_H
#define TOOLS_QUEUE_PROGRAM_H

/*
 * Runs the program that QMAILQUEUE names in the place of a submission, with
 * qmail-queue's contract: the message on descriptor 0, the envelope on descriptor
 * 1, the result in the exit status, and for the statuses 82 and 88 a reason on the
 * descriptor that ERROR_FD names (6). It runs as the caller, in the home folder,
 * with the caller's environment less KEEPMAIL_NEXT. Parameters of the envelope
 * that qmail-queue does not know (DSN) are lost.
 */

#include "lib/envelope.h"
#include "lib/outcome.h"
#include "queue/submit.h"

/* A file for the message, without a name. The descriptor, or -1 with errno. */
int queue_program_file(void);

/*
 * Runs the program (a path, from the folder home if it is relative) over the file
 * message from its start, and waits for its end. Returns SUBMIT_ACCEPTED, or the
 * reason with a sentence in text.
 */
enum submit_code
queue_program_run(const char *program, const char *home, int message,
	const struct envelope *envelope, char text[SUBMIT_TEXT_MAX + 1]);

#endif
