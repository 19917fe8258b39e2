#ifndef QUEUE_FILTER_SERVE_H
#define QUEUE_FILTER_SERVE_H

/*
 * One submission that goes through the filters, served by a child of
 * queue-filter: taken from the submitter, shown to each program in turn, and what
 * comes out of the last one is handed to queue-inject. The submission to
 * queue-inject is open from the submitter's question on, so that the message has
 * its id from the start.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/home.h"

/* The most filters, and the most words in a line of control/filters. */
#define FILTERS_MAX 32
#define FILTER_WORDS_MAX 32

struct filter_program {
	char *words[FILTER_WORDS_MAX + 1]; /* ends with NULL */
	size_t line;			   /* in control/filters */
};

struct filter_work {
	const struct home *home;
	const char *host;	  /* control/me, for the Received field */
	const char *queue_submit; /* the program's path */
	const struct filter_program *program;
	size_t programs;
	int64_t timeout_s; /* of all programs together */
	int connection;	   /* to the submitter */
	int folder;	   /* filter/ */
	uid_t peer_uid;	   /* of the submitter, from the kernel */
	bool may_claim;	   /* it may say where the message comes from */
};

/* Serves it to its end. 0 if the message is accepted, -1 if not. */
int filter_serve(const struct filter_work *work);

#endif
