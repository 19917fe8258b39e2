#ifndef MAIL_SHOW_H
#define MAIL_SHOW_H

/*
 * What mail-show prints.
 */

#include <stdbool.h>
#include "mail/folder.h"
#include "mail/message.h"

struct show_options {
	bool is_json;
	bool all_fields;
	const char *charset; /* the terminal's; NULL: UTF-8 */
};

/* Prints a message: its header, its text, and a list of its other parts. 0, or -1
 * with errno ENOMEM. */
int
show_message(const struct message *message, const struct show_options *options);

/*
 * Prints a line for each message of a Maildir: number, date, sender, subject. With
 * JSON an object a line, which has the name too. Messages that go away meanwhile
 * are left out. 0, or -1 with errno: one could not be read.
 */
int
show_folder(const struct folder *folder, const struct show_options *options);

#endif
