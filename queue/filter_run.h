#ifndef QUEUE_FILTER_RUN_H
#define QUEUE_FILTER_RUN_H

/*
 * Runs one filter program with qmail-queue's contract: the message on descriptor 0
 * (a file, at its start), the envelope on descriptor 1, a place for one line of
 * reason on the descriptor that ERROR_FD names (6), and the result in the exit
 * status:
 *
 *   0        go on; with the message that it handed on, if it did
 *   11 to 40 refused for good
 *   82, 88   the line on ERROR_FD says: "D…" refused for good, "Z…" for now
 *   others   refused for now; so is a program that dies, does not start, or is
 *            not done at the deadline
 *
 * A wrapper hands on by running what QMAILQUEUE names, or any queue-submit: the
 * variable KEEPMAIL_NEXT leads queue-submit to a socket of this module, which
 * takes the message back. It goes on only when the program has ended with 0.
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/outcome.h"
#include "queue/filter_intake.h"
#include "queue/submit.h"

/* The most that a filter may add to a message, in octets. */
#define FILTER_GROWTH_MAX (16 * 1024 * 1024)
/* Octets of a reason that are kept. */
#define FILTER_REASON_MAX 255

struct filter_call {
	char *const *words;	  /* program, arguments, NULL */
	char *const *environment; /* all of it */
	const struct filter_message *message;
	const char *id;	    /* of the submission */
	const char *number; /* names files of ours: unique among processes */
	int folder;	    /* filter/, open */
	int listener;	    /* on KEEPMAIL_NEXT; nobody else accepts from it */
	int64_t deadline_ms;
	/* Called at least every 30 seconds. */
	void (*still_there)(void *context);
	void *context;
};

struct filter_result {
	enum submit_code code;		   /* SUBMIT_ACCEPTED: go on */
	char text[FILTER_REASON_MAX + 1];  /* for the client */
	char why[FILTER_REASON_MAX + 101]; /* for the log; "" to go on */
	bool has_next;
	struct filter_message next; /* owned: what was handed on */
};

/* Runs it to its end; *result is set, and the program's processes are gone. */
void filter_run(const struct filter_call *call, struct filter_result *result);

#endif
