#ifndef QUEUE_FILTER_ENVIRONMENT_H
#define QUEUE_FILTER_ENVIRONMENT_H

/*
 * The environment of filter programs: what qmail-queue wrappers look for, and
 * nothing that a stranger could give a meaning. Of a stranger's texts only
 * letters, digits and . : _ @ + = [ ] - stay, all else becomes "?"; an address
 * that is none is left out.
 *
 *   PATH HOME TMPDIR KEEPMAIL    the service's own; HOME is filter/
 *   QMAILQUEUE                   what hands the message on: queue-submit
 *   KEEPMAIL_NEXT                where queue-submit hands it to
 *   KEEPMAIL_ID                  the message's id
 *   ERROR_FD                     6, for a line of reason
 *   PROTO TCPREMOTEIP TCPREMOTEHOST SMTPHELO
 *                                of a network client, where known
 *   TCPREMOTEINFO SMTPAUTHUSER RELAYCLIENT
 *                                of a client that has logged in: name, name, ""
 */

#include "lib/envelope.h"
#include "lib/home.h"

#define FILTER_VARIABLES_MAX 20

struct filter_environment {
	char *list[FILTER_VARIABLES_MAX + 1]; /* ends with NULL; into text */
	unsigned count;
	size_t used;
	char text[8192];
};

/*
 * Makes the environment. next is the path of KEEPMAIL_NEXT, queue_submit that of
 * the program. A variable for which there is no room is left out.
 */
void filter_environment_make(struct filter_environment *environment,
	const struct home *home, const char *queue_submit, const char *next,
	const char *id, const struct origin *origin);

#endif
