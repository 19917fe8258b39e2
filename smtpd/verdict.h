#ifndef SMTPD_VERDICT_H
#define SMTPD_VERDICT_H

/*
 * What was decided, and by what: the reply for the client, and for people the rule,
 * the file and the line.
 */

#include <stddef.h>
#include "lib/reply.h"

#define VERDICT_FILE_MAX 120

struct verdict {
	struct reply reply; /* the whole of it, also when it is "yes" */
	const char *rule;   /* what decided: a name for people, a constant */
	/* The control file whose line decided, below the home; "" if none did.
	 * line is 0 where the file as a whole did, by being there or not. */
	char file[VERDICT_FILE_MAX];
	size_t line;
	char why[700]; /* a sentence for the log: rule, file and line */
};

/* By the line of control/file, or by the file as a whole where line is 0; file NULL:
 * by none. */
struct verdict verdict_by_line(
	const char *rule, const char *file, size_t line, struct reply reply);
struct verdict verdict_by_rule(const char *rule, struct reply reply);

/* The verdict with another sentence for the log. */
struct verdict verdict_with_reason(struct verdict verdict, const char *why);

#endif
