#ifndef TOOLS_QUEUE_SHOW_H
#define TOOLS_QUEUE_SHOW_H

/*
 * The queue as a person reads it: what queue-list and mailq print.
 */

/*
 * Prints every message of HOME/queue on standard output: id, size, arrival,
 * where it is, reverse-path; then a line a recipient with its outcome, attempts
 * and last reply. Octets from strangers are escaped. Returns the exit status:
 * STATUS_DONE, or STATUS_TEMPORARY after saying on stderr, as this program, why
 * the queue cannot be read.
 */
int queue_show(const char *program);

#endif
