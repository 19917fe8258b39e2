#ifndef MAIL_FOLDER_H
#define MAIL_FOLDER_H

/*
 * The messages of a Maildir, in order of delivery: by the seconds that their names
 * begin with, then by name, as pop3d numbers them.
 */

#include <stddef.h>

struct folder_entry {
	char *path;	    /* "new/NAME" or "cur/NAME", below the Maildir */
	const char *unique; /* NAME; its part before the colon stays the same */
	unsigned long long delivered_s;
};

struct folder {
	int fd;
	struct folder_entry *entries;
	size_t count;
};

/*
 * Reads the lists of new and cur. 0, or -1 with errno (ENOTDIR: path is no folder,
 * or has neither of them). What it holds is freed by folder_free, after -1 too.
 */
int folder_read(const char *path, struct folder *folder);
void folder_free(struct folder *folder);

/*
 * The entry that a number (from 1 on) or a name's part before the colon means, or
 * NULL. A text of at most nine digits is a number.
 */
const struct folder_entry *
folder_find(const struct folder *folder, const char *wanted);

/*
 * Opens a message to read; never through a link, and regular files alone (EINVAL).
 * The descriptor, or -1 with errno.
 */
int folder_open(const struct folder *folder, const struct folder_entry *entry);

#endif
