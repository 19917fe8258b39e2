#ifndef LIB_REPLY_H
#define LIB_REPLY_H

/*
 * Replies of SMTP (RFC 5321 section 4.2) with enhanced codes (RFC 3463, RFC
 * 2034): made and written by a server, read line by line by a client. Buffers
 * are fixed; nothing allocates; errno is not touched.
 *
 * In the text, lines are divided by '\n', and the enhanced code stands apart:
 * "550-5.1.1 no such" "550 5.1.1 user" is code 550, enhanced "5.1.1", text
 * "no such\nuser".
 */

#include <stddef.h>

/* The most text kept in a reply, in octets; more is cut. */
#define REPLY_TEXT_MAX 2000
/* The most lines kept or written. */
#define REPLY_LINES_MAX 64
/* The longest line written, CRLF included (RFC 5321 section 4.5.3.1.5). */
#define REPLY_LINE_MAX 512
/* The most octets of a server's reply that are read before it is refused. */
#define REPLY_OCTETS_MAX 65536
/* A buffer of this size holds any reply as it is written. */
#define REPLY_WIRE_MAX 4096

struct reply {
	int code;	   /* 200 to 599; 0: none yet */
	int close_after;   /* a server closes once this reply is sent */
	char enhanced[12]; /* "5.1.1", or "" for none */
	unsigned lines;	   /* lines in the text, or seen so far by a client */
	size_t octets;	   /* octets seen so far by a client */
	int complete;	   /* a client has seen the last line */
	size_t text_len;
	char text[REPLY_TEXT_MAX + 1]; /* NUL after text_len octets */
};

/*
 * A reply of one line. enhanced is "" or NULL for none. The text is made in
 * printf's manner; control characters in the result (line ends too) become
 * "?", so what a stranger sent can be an argument. Over-long text is cut.
 */
struct reply reply_make(int code, const char *enhanced, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds a line to a reply in the same manner. Drops it if there is no room. */
void reply_add(struct reply *reply, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Writes the reply as a server sends it: each line with code, "-" or " ", the
 * enhanced code if there is one, text, CRLF, cut to REPLY_LINE_MAX; octets
 * outside 32..126 become "?". Returns the octets written, without a NUL; 0 if
 * size is too small (REPLY_WIRE_MAX never is).
 */
size_t reply_write(const struct reply *reply, char *buffer, size_t size);

enum reply_result {
	REPLY_MORE, /* the line belongs to the reply, another follows */
	REPLY_DONE, /* the reply is complete */
	REPLY_BAD,  /* not a reply: the connection cannot be kept in step */
};

/* Makes *reply ready for a client's reply_take_line. */
void reply_begin(struct reply *reply);

/*
 * Takes the next line of a server's reply, without its line end. A code is
 * three digits, the first 2 to 5 (1 is never sent in SMTP), then "-", " " or
 * nothing; the same on each line. REPLY_BAD for anything else, a line after
 * the last, or more than REPLY_OCTETS_MAX octets. Text beyond the bounds is
 * dropped. The enhanced code is taken only if its class is that of the code;
 * on further lines it is removed where it is the same. Octets of the text are
 * kept as they came, NUL and '\n' as "?": escape before showing.
 */
enum reply_result
reply_take_line(struct reply *reply, const char *line, size_t len);

/*
 * Writes the reply as one line for a log, a bounce or a queue file: code,
 * enhanced code, lines joined by a space, all printable ASCII, NUL after it.
 * Cuts what does not fit (size must not be 0). Returns the length without the
 * NUL.
 */
size_t reply_summary(const struct reply *reply, char *buffer, size_t size);

/*
 * Goes through the lines of the text (EHLO's keywords). *at is 0 before the
 * first. Returns 1 with the next line, which lives in the reply, or 0 when
 * there is none.
 */
int reply_next_line(
	const struct reply *reply, size_t *at, const char **line, size_t *len);

/* The first digit: 2 done, 3 go on, 4 deferral, 5 failure; 0 for none. */
static inline int
reply_class(const struct reply *reply)
{
	return reply->code / 100;
}

#endif
