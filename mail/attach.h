#ifndef MAIL_ATTACH_H
#define MAIL_ATTACH_H

/*
 * Files that are to be sent.
 */

#include <stddef.h>
#include <skalibs/stralloc.h>

/* All files of a message together. */
#define ATTACH_OCTETS_MAX (128 * 1024 * 1024)

/*
 * Appends all of a file, "-" being standard input. *left, which begins as
 * ATTACH_OCTETS_MAX, goes down by its size. 0, or -1 with errno (EFBIG).
 */
int attach_read(const char *path, stralloc *into, size_t *left);

/*
 * Cuts "FILE:type/subtype" in two: *type is where the type starts, or NULL if there
 * is none. A file whose name is all of it is that file. Returns the length of the
 * file's path.
 */
size_t attach_split(const char *text, const char **type);

#endif
