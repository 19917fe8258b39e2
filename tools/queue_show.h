#ifndef TOOLS_QUEUE_SHOW_H
#define TOOLS_QUEUE_SHOW_H

/*
 * The queue as a person reads it, what queue-list and mailq print; and as a
 * program reads it.
 */

#include "tools/queue_criteria.h"

enum show_form {
	SHOW_TEXT, /* for people: octets from strangers are escaped */
	SHOW_JSON, /* one object a line, nothing where the queue is empty */
};

/*
 * Prints the messages of HOME/queue that are so (NULL: all) on standard output: id, size, arrival,
 * where it is, reverse-path; then a line a recipient with its outcome, attempts
 * and last reply. With SHOW_JSON the same as objects. Returns the exit status:
 * STATUS_DONE, or STATUS_TEMPORARY after saying on stderr, as this program, why
 * the queue cannot be read.
 */
int queue_show(const char *program, enum show_form form,
	const struct criteria *criteria);

#endif
