#ifndef TOOLS_SENDMAIL_OPTIONS_H
#define TOOLS_SENDMAIL_OPTIONS_H

/*
 * The arguments of sendmail. Programs call it with a wide choice of options of
 * half a dozen mail servers; those that mean nothing here are taken and passed
 * over, so that no caller breaks (the manual lists them).
 */

#include <stdint.h>

enum sendmail_mode {
	SENDMAIL_SUBMIT,  /* a message stands on descriptor 0 */
	SENDMAIL_LIST,	  /* -bp, mailq: print the queue */
	SENDMAIL_ALIASES, /* -bi, newaliases: compile the aliases */
	SENDMAIL_FLUSH,	  /* -q: try what waits now */
	SENDMAIL_VERIFY,  /* -bv: what becomes of these addresses? */
	SENDMAIL_SESSION, /* -bs: SMTP on descriptors 0 and 1 */
	SENDMAIL_NOTHING, /* -q15m: the runner looks by itself */
};

struct sendmail_options {
	enum sendmail_mode mode;
	int header_recipients; /* -t */
	int dot_ends;	       /* a line with a dot alone ends the message */
	const char *sender;    /* -f; NULL if not given */
	const char *name;      /* -F; NULL if not given */
	const char *envid;     /* -V; "" if not given */
	uint8_t notify;	       /* -N: bits of enum envelope_notify */
	uint8_t ret;	       /* -R: enum envelope_ret */
	char flush;	       /* of -q: 'I', 'R', 'S', or 0 for all */
	char *flush_value;     /* what stands behind that letter */
	char **recipient;      /* the arguments; NULL after the last */
};

/*
 * Reads the arguments. Returns 0, or -1 after telling a person on stderr what is
 * wrong (the exit status is then EX_USAGE). Texts point into argv.
 */
int
sendmail_options_read(int argc, char **argv, struct sendmail_options *options);

#endif
