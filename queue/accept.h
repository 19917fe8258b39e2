#ifndef QUEUE_ACCEPT_H
#define QUEUE_ACCEPT_H

/*
 * One submission, served by a child of queue-inject that holds nothing but the
 * submitter's connection, the message's file and its folder.
 */

#include <stdint.h>
#include <sys/types.h>
#include "lib/outcome.h"
#include "queue/room.h"
#include "queue/wakeup.h"

struct acceptance {
	int connection; /* to the submitter */
	int file;	/* incoming/ID, new and locked */
	int folder;	/* incoming/ */
	char id[21];
	const char *host; /* control/me, for the Received field */
	uid_t peer_uid;	  /* of the submitter, from the kernel */
	int may_claim;	  /* it may say where the message comes from */
	int may_pass_on;  /* and that somebody else submitted it to it */
	int may_report;	  /* it may submit reports, which use the reserve */
	int may_retry;	  /* it may ask that mail for a domain is tried */
	struct room_left left;	      /* on the disk by what is no report, */
	struct room_left report_left; /* and by what is one */
	enum submit_code refusal;     /* of what is no report, */
	const char *why;	      /* if not SUBMIT_ACCEPTED, and its text */
	struct wakeup_writer *runner; /* prepared */
};

/*
 * Serves the submission to its end. Returns 0 if the message is accepted: it is
 * durable, and the submitter has been told so unless it is gone. Returns -1 if
 * not, and the submitter has not been told otherwise: queue-inject removes the
 * file, which has no mark unless the disk would not let it be withdrawn.
 */
int accept_submission(struct acceptance *acceptance);

#endif
