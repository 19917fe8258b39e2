#ifndef QUEUE_FILTER_INTAKE_H
#define QUEUE_FILTER_INTAKE_H

/*
 * The server side of the submit protocol (queue/submit.h), as queue-filter needs
 * it twice: for the message that comes in, and for what a filter hands on. The
 * content goes to a file without a name, the envelope is unpacked. Nothing here is
 * durable: a message in an intake is nobody's yet but the submitter's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/envelope.h"
#include "lib/frames.h"
#include "lib/outcome.h"

struct filter_message {
	int file; /* owned, read-only, without a name; -1: none */
	uint64_t octets;
	struct envelope envelope; /* owned */
};

#define FILTER_MESSAGE_EMPTY ((struct filter_message){.file = -1})

enum intake_result {
	INTAKE_WAIT,  /* the deadline came first: call again */
	INTAKE_ASKED, /* the question is there: answer it, and call again */
	INTAKE_WHOLE, /* content and envelope are there */
	INTAKE_GONE,  /* the submitter has closed: it has taken it back */
	INTAKE_BAD,   /* code and why say what to answer; it is over */
};

struct intake {
	struct frame_reader reader;
	void *buffer; /* owned */
	bool asked;
	uint64_t size;	/* from the question: octets, 0 unknown */
	unsigned flags; /* from the question: SUBMIT_IS_… */
	int into;	/* the file being written; -1: none */
	uint64_t octets_max;
	/* Called with every piece of content, if it is set. */
	void (*still_there)(void *context);
	void *context;
	enum submit_code code;
	const char *why;
	struct filter_message message;
};

#define INTAKE_EMPTY ((struct intake){.into = -1, .message = {.file = -1}})

/*
 * Begins an intake from the connection (not owned), whose content may have so many
 * octets. The file is made in the folder under this name, which is removed at
 * once. 0, or -1 with errno. Afterwards intake_end is due, whatever happened.
 */
int intake_start(struct intake *intake, int connection, int folder,
	const char *name, uint64_t octets_max);

/* Takes what has come, and waits for more until the deadline. */
enum intake_result intake_step(struct intake *intake, int64_t deadline_ms);

/* Adds octets of our own to the content. 0, or -1 with code and why set. */
int intake_write(struct intake *intake, const void *octets, size_t length);

/* Frees all but the message, which the caller may have moved away. Safe twice. */
void intake_end(struct intake *intake);

/* Frees what the message owns and makes it empty. Safe twice. */
void filter_message_free(struct filter_message *message);

/*
 * What a filter handed on has addresses alone. Gives it the parameters of the
 * message before it: body, smtputf8, ret, envid, origin, and for each recipient
 * that was there before its notify and orcpt. 0, or -1 with ENOMEM.
 */
int filter_envelope_inherit(
	struct envelope *envelope, const struct envelope *before);

#endif
