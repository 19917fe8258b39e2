#ifndef MAIL_UU_H
#define MAIL_UU_H

/*
 * Files that lie uuencoded in a text, as they did before MIME: a line "begin MODE
 * NAME", lines of data, and a line "end". What is not sound from begin to end is
 * text. Linear.
 */

#include <stddef.h>
#include <skalibs/stralloc.h>

struct uu_file {
	size_t start, end; /* all of it in the text, with its last line end */
	size_t data;	   /* where its lines of data start */
	const char *name;  /* in the text */
	size_t name_len;
};

/* The next file in text[at..len). 1, or 0: there is none. */
int uu_find(const char *text, size_t len, size_t at, struct uu_file *file);

/* Appends what is in a file that uu_find gave. 0, or -1 with errno ENOMEM. */
int uu_decode(const char *text, const struct uu_file *file, stralloc *into);

/* Appends the text without such files. 0, or -1 with errno ENOMEM. */
int uu_without(const char *text, size_t len, stralloc *into);

#endif
