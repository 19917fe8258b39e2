#ifndef LIB_VERP_H
#define LIB_VERP_H

/*
 * Variable envelope return paths in qmail's manner: a message whose reverse-path
 * is "list-@host-@[]" leaves for ann@example.org with the reverse-path
 * "list-ann=example.org@host", so that its reports say whom they are about. What
 * stands before the "-@[]" is a full mailbox, its base, to which go reports about
 * the message as a whole.
 */

#include <stddef.h>

/*
 * The octets of the base, if text[0..length) is such a reverse-path and its base a
 * mailbox; else 0.
 */
size_t verp_base(const char *text, size_t length);

/*
 * Writes the reverse-path for one recipient, with a NUL after it: one that is not
 * to be expanded as it is; the base alone if the recipient does not fit into a
 * local part. size is at least ADDRESS_TEXT_MAX + 1. Returns the length.
 */
size_t verp_expand(const char *reverse_path, const char *recipient,
	char *buffer, size_t size);

#endif
