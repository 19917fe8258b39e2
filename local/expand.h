#ifndef LOCAL_EXPAND_H
#define LOCAL_EXPAND_H

/*
 * What happens to a message for an account that has targets: an alias, or a
 * mailbox whose mail goes on elsewhere. Done in a child of the warden that has
 * become the account's owner for good.
 *
 * All targets together get one new message, with "Delivered-To: ADDRESS" in
 * front (local/forward.h), so that an alias that leads to itself ends as a mail
 * loop. A mailbox that keeps a copy gets it first, by local/deliver.h; the copy's
 * report is the whole report if it fails.
 *
 * ":include:/path" stands for the addresses in that file, one or more a line with
 * commas between; "#" begins a comment. The file must be a regular one, reached
 * over no symbolic link in its last name, of root or of the account's owner, and
 * writable by its owner alone. Programs, files and further ":include:" in it are
 * refused, and then nothing is sent.
 *
 * The owner of an alias LOCAL is found as that of a list in .qmail files: by a file
 * .qmail-LOCAL-owner in the home of its account (local/newsender.h).
 */

#include "lib/accounts.h"
#include "local/deliver.h"

/* Octets of an included file. */
#define EXPAND_FILE_MAX (1024 * 1024)

/* Delivers. Takes and fills what deliver() does. */
void expand(struct deliver_settings *settings, const struct account *account,
	const struct warden_request *request, int content_fd,
	struct warden_report *report);

/* Called for each address of an included file. -1 ends it. */
struct expand_sink {
	int (*take)(void *context, const char *address);
	void *context;
};

/* Takes the text of an included file apart. 0, or -1 with a reply text in why. */
int expand_included(const char *text, size_t length,
	const struct expand_sink *sink, char *why, size_t size);

#endif
