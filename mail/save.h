#ifndef MAIL_SAVE_H
#define MAIL_SAVE_H

/*
 * Attachments as files.
 */

#include "mail/message.h"
#include "mail/name.h"

/*
 * Writes a part's content to a new file in the folder, with mode 0600, under the
 * name that name_for_file makes of its own; with "-2" and so on before the
 * extension if that is taken (EEXIST after 999). Nothing is ever written over or
 * through a link, and nothing outside of the folder. On 0 the file is on disk and
 * *name is what it is called; on -1, with errno, there is none.
 */
int save_part(int folder, const struct message_part *part, unsigned number,
	char name[NAME_MAX_OCTETS + 8]);

#endif
