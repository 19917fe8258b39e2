#ifndef LOCAL_MAILDIR_H
#define LOCAL_MAILDIR_H

/*
 * Delivery into a Maildir: the file is written below tmp/, made durable, and
 * appears in new/ whole or not at all. It runs as the owner of the mail, never
 * as root.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/outcome.h"

/* What is to be written: the trace lines (LF ended, "" for none), then octets of
 * fd from offset on, in stored form (LF line ends). fd's own position does not
 * matter and does not move. Nothing is owned. */
struct maildir_message {
	int fd;
	uint64_t offset, octets;
	const char *trace;
	const char *host; /* for the file's name; any text */
};

/*
 * Writes the message into the Maildir at path, relative to the open folder
 * (absolute if it begins with "/"). No component of the path may be a symbolic
 * link, and the Maildir must belong to the effective uid. Missing tmp/, new/ and
 * cur/ are created, the Maildir itself only if create is set (its parent must
 * exist). number tells this delivery from others of the same process.
 *
 * The file is named SEC.M<usec>P<pid>Q<number>.HOST,S=<size>,W=<size with CRLF
 * line ends>, mode 0600.
 *
 * Returns OUTCOME_DELIVERED once the file and its name are synced, text being
 * ""; or OUTCOME_DEFERRED with a reply text (4.2.2 quota, 4.3.1 disk full, 4.3.0
 * otherwise) and nothing left behind.
 */
enum outcome maildir_deliver(int folder, const char *path, bool create,
	const struct maildir_message *message, unsigned number,
	char text[OUTCOME_TEXT_MAX + 1]);

#endif
