#ifndef POP3D_SCAN_H
#define POP3D_SCAN_H

/*
 * The list of a maildrop's messages, from one reading of each folder. Parts of
 * pop3d/maildrop.h that only its own files call.
 */

#include "pop3d/maildrop.h"

/*
 * Makes the list of messages from the open folders. Returns 0, or -1 with errno
 * and no list.
 */
int scan_messages(struct maildrop *drop);

/* Order of delivery; 0 for two names of the same message. */
int scan_compare(const struct maildrop_message *left,
	const struct maildrop_message *right);

/*
 * Copies a name to where it stays until scan_forget. Returns it, or NULL with
 * ENOMEM.
 */
const char *
scan_keep_name(struct maildrop_names **names, const char *name, size_t length);

/* Frees the list, and the names alone. */
void scan_forget(struct maildrop *drop);
void scan_forget_names(struct maildrop_names *names);

#endif
