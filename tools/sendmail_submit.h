#ifndef TOOLS_SENDMAIL_SUBMIT_H
#define TOOLS_SENDMAIL_SUBMIT_H

/*
 * One message of sendmail's, from its envelope and the octets that were read to
 * the queue: what is missing in its header is added, what must not travel goes.
 *
 * Every function here returns 0 or an exit status of sysexits.h, and then a
 * sentence without control characters stands in why.
 */

#include <stddef.h>
#include "lib/address.h"
#include "lib/envelope.h"
#include "lib/home.h"
#include "queue/submit.h"
#include "tools/sendmail_options.h"
#include "tools/spool.h"

#define SENDMAIL_WHY_MAX 1000

struct sendmail {
	struct sendmail_options options;
	struct spool spool;
	struct envelope envelope;
	struct home home;
	char *me; /* owned: for addresses without a domain */
	char from[ADDRESS_TEXT_MAX + 1]; /* for a From field */
	struct submission submission;
	/* In the place of a submission: what QMAILQUEUE names, or NULL; and the
	 * message for it, or -1. */
	const char *program;
	int message;
	char why[SENDMAIL_WHY_MAX];
};

/* Sets why to "what: about", about escaped, and returns the status. */
int sendmail_fail(
	struct sendmail *work, int status, const char *what, const char *about);

/* Finds the home and reads the settings. */
int sendmail_configure(struct sendmail *work);

/* The sender is this text, or the caller if it is NULL. */
int sendmail_set_sender(struct sendmail *work, const char *text);

/* The sender is this path. */
int sendmail_set_path(struct sendmail *work, const struct path *given);

/* One more recipient; a path without a domain gets ours. */
int sendmail_add_recipient(struct sendmail *work, const struct path *given,
	uint8_t notify, const char *orcpt);

/* The message that stands on descriptor 0, for the options' recipients. */
int sendmail_run(struct sendmail *work);

/* What the spool holds, for the envelope: 0 only when it is durable. */
int sendmail_submit(struct sendmail *work);

/*
 * The length of what the spool holds of the header: all that is in memory. A header
 * that does not end within it cannot be rewritten: EX_DATAERR.
 */
int sendmail_check_header(struct sendmail *work, size_t *length);

/* Makes the envelope and the spool empty, for the next message. */
void sendmail_forget(struct sendmail *work);

/* Frees all of it. */
void sendmail_free(struct sendmail *work);

#endif
