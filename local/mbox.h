#ifndef LOCAL_MBOX_H
#define LOCAL_MBOX_H

/*
 * Delivery into an mbox: one file of messages, each after a line "From SENDER
 * DATE", each followed by an empty line, lines of the message that match ">*From "
 * with one ">" more (the form called mboxrd). It runs as the owner of the mail,
 * never as root.
 *
 * The file is locked with flock(2) and fcntl(2), which every reader on Linux uses
 * one of; there are no dot-locks. A delivery that fails leaves the file as long as
 * it was. After one that a crash has cut off, the next begins after an empty line.
 */

#include <stdint.h>
#include "local/maildir.h"

/* How long another one's lock is waited for, in milliseconds. */
#define MBOX_LOCK_MS 30000

/*
 * Appends the line, the message's trace lines and the message to the file at path,
 * relative to the open folder (absolute if it begins with "/"). The file is made if
 * it is missing, its folder is not. No component may be a symbolic link; the file
 * must be a regular one of the effective uid.
 *
 * Returns OUTCOME_DELIVERED once all of it is synced, text being ""; or
 * OUTCOME_DEFERRED with a reply text (4.2.0 locked, 4.2.2 quota, 4.3.1 disk full,
 * 4.3.0 otherwise) and nothing added.
 */
enum outcome mbox_deliver(int folder, const char *path, const char *line,
	const struct maildir_message *message, int64_t lock_ms,
	char text[OUTCOME_TEXT_MAX + 1]);

#endif
