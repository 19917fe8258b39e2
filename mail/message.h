#ifndef MAIL_MESSAGE_H
#define MAIL_MESSAGE_H

/*
 * A message taken apart, by GMime: its fields decoded, its parts in order. What
 * stands in it is a stranger's; everything that comes out of here is sound UTF-8
 * but may hold control characters, so it is printed by charset_print alone.
 *
 * Bounds: MESSAGE_OCTETS_MAX of message, MESSAGE_DEPTH_MAX multiparts within one
 * another and MESSAGE_PARTS_MAX parts are looked at; what is deeper or more is
 * not, and `more` says so. A message within a message is one part; a file that lies
 * uuencoded in a text is a part behind all others, and not in that text.
 */

#include <stddef.h>
#include <skalibs/stralloc.h>

#define MESSAGE_OCTETS_MAX (128 * 1024 * 1024)
#define MESSAGE_DEPTH_MAX 40
#define MESSAGE_PARTS_MAX 1000

struct message_part {
	char *type;    /* "text/plain", in lower case */
	char *name;    /* what its sender calls it, UTF-8; NULL if nothing */
	char *charset; /* its label; NULL if none */
	size_t size;   /* octets, decoded */
	int is_text;   /* it belongs to the text that is to be read */
	char *octets;  /* all of it, if it lay uuencoded in a text; else NULL */
	void *object;  /* private */
};

struct message {
	char *octets; /* all of it, as it was read */
	size_t len;
	struct message_part *parts;
	size_t count;
	int more;   /* there is more than was looked at */
	void *root; /* private */
};

/* Call once, before all else here and in mail/compose.h. */
void message_library_start(void);

/*
 * Reads a message from a descriptor to its end. 0, or -1 with errno: EFBIG, ENOMEM,
 * EBADMSG (it is empty), ELOOP (mail/harm.h), or read()'s. What it holds is freed by message_free, after
 * -1 too.
 */
int message_read(int fd, struct message *message);
void message_free(struct message *message);

/* Appends the decoded octets of a part to *into. 0, or -1 with errno ENOMEM. */
int message_content(const struct message_part *part, stralloc *into);

/*
 * Appends what a person reads: every part with is_text, in UTF-8, HTML as text,
 * lines ended by LF, with an empty line between two. 0, or -1 with errno ENOMEM.
 */
int message_text(const struct message *message, stralloc *into);

/*
 * Appends the body of a field, unfolded and decoded (RFC 2047, and of fields that
 * hold addresses the phrases alone): UTF-8, no NUL in it and none after it. 0, or
 * -1 with errno ENOMEM.
 */
int
message_decode(const char *name, const char *body, size_t len, stralloc *into);

/*
 * Appends the first field of this name in block[0..len), decoded; nothing if there
 * is none. 0, or -1 with errno ENOMEM.
 */
int
message_field(const char *block, size_t len, const char *name, stralloc *into);

#endif
