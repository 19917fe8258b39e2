#ifndef POP3D_COMMANDS_H
#define POP3D_COMMANDS_H

/*
 * The commands of the TRANSACTION state (RFC 1939 sections 5 to 7, RFC 2449):
 * one table of verbs, and what each does to the state of the session. Every
 * answer's first line, and every line of a list, is at most 512 octets.
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/line.h"
#include "lib/output.h"
#include "pop3d/handover.h"
#include "pop3d/maildrop.h"

/* A client may be idle so long (RFC 1939 section 3: at least 10 minutes). */
#define POP3_IDLE_MS (10 * 60 * 1000)
/* The longest command with its CRLF (RFC 2449 section 4). */
#define POP3_COMMAND_MAX 255
/* After so many commands that are none the session ends. */
#define POP3_ERRORS_MAX 100

/* How the session goes on after a command. */
enum pop3_next {
	POP3_GO_ON,
	POP3_QUIT,    /* the UPDATE state is over and answered */
	POP3_ENOUGH,  /* too many errors, and that is answered: close */
	POP3_TROUBLE, /* a file failed in the middle of a message: close */
	POP3_LOST,    /* the client cannot be written to: close */
};

struct pop3_state {
	struct maildrop drop;
	struct line_reader reader;
	struct output output;
	struct pop3_handover handover; /* from here on all is zero at first */
	int64_t end_ms;		   /* of the session, if it is still on then */
	unsigned errors;	   /* commands that are none */
	size_t last;		   /* the highest number retrieved: LAST */
	size_t retrieved;	   /* answers to RETR that were sent whole */
	uint64_t retrieved_octets; /* in all answers to RETR and TOP */
	size_t deleted;		   /* messages that QUIT removed */
	uint64_t deleted_octets;   /* of their files */
};

/*
 * Puts one line of answer, formatted as printf does, with its CRLF; what is
 * longer than 510 octets is cut. Returns POP3_GO_ON or POP3_LOST.
 */
enum pop3_next pop3_answer(struct pop3_state *state, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * The same with -ERR for what is no command at all, of which there may be only so
 * many. Returns POP3_GO_ON, POP3_ENOUGH or POP3_LOST.
 */
enum pop3_next pop3_error(struct pop3_state *state, const char *text);

/*
 * Does what a line (without its end; any octets) asks for and puts the answer,
 * which is -ERR for whatever is no command, lacks an argument or has one too
 * many.
 */
enum pop3_next
pop3_command(struct pop3_state *state, const char *line, size_t length);

#endif
