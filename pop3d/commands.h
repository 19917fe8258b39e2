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
#include "pop3d/maildrop.h"

/* A client may be idle so long (RFC 1939 section 3: at least 10 minutes). */
#define POP3_IDLE_MS (10 * 60 * 1000)
/* The longest command with its CRLF (RFC 2449 section 4). */
#define POP3_COMMAND_MAX 255

/* How the session goes on after a command. */
enum pop3_next {
	POP3_GO_ON,
	POP3_QUIT,    /* the UPDATE state is over and answered */
	POP3_TROUBLE, /* a file failed in the middle of a message: close */
	POP3_LOST,    /* the client cannot be written to: close */
};

struct pop3_state {
	struct maildrop drop;
	struct line_reader reader;
	struct output output;
	size_t retrieved; /* answers to RETR that were sent whole */
	size_t deleted;	  /* messages that QUIT removed */
};

/*
 * Puts one line of answer, formatted as printf does, with its CRLF; what is
 * longer than 510 octets is cut. Returns POP3_GO_ON or POP3_LOST.
 */
enum pop3_next pop3_answer(struct pop3_state *state, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Does what a line (without its end; any octets) asks for and puts the answer,
 * which is -ERR for whatever is no command, lacks an argument or has one too
 * many.
 */
enum pop3_next
pop3_command(struct pop3_state *state, const char *line, size_t length);

#endif
