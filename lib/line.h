#ifndef LIB_LINE_H
#define LIB_LINE_H

/*
 * Reads lines of bounded length from a descriptor, against a deadline, into a
 * fixed buffer. What is already buffered can be taken as a block (for DATA and
 * BDAT), handed on, or thrown away (STARTTLS). The descriptor may block: each
 * read comes after poll() and is a single one. Nothing allocates.
 */

#include <stddef.h>
#include <stdint.h>

/* Octets of the buffer; a line with its end is never longer. */
#define LINE_BUFFER_OCTETS 32768
/* Of a line that is too long, at most so many octets are read and dropped. */
#define LINE_DRAIN_MAX (2 * 1024 * 1024)
/* Limits for line_read, CRLF included: SMTP commands with their extensions
 * (RFC 5321 section 4.5.3.1.4 and the additions of each extension) and lines
 * of
 * an AUTH exchange (RFC 4954 section 4). */
#define LINE_COMMAND_MAX 4096
#define LINE_AUTH_MAX 12288

struct line_reader {
	int fd;		   /* not owned */
	size_t start, end; /* unread octets are buffer[start..end) */
	char buffer[LINE_BUFFER_OCTETS];
};

enum line_result {
	LINE_OK,       /* a line that ended in CRLF, no other CR in it */
	LINE_TOO_LONG, /* dropped, up to and with its LF; in step again */
	LINE_BARE,     /* a line as for LINE_OK, but it ended in a bare LF, or
			  has a CR that no LF follows */
	LINE_EOF, /* the peer has closed; a line without an end is dropped */
	LINE_TIMEOUT, /* the deadline came; what arrived is still buffered */
	LINE_ERROR,   /* errno; EMSGSIZE: longer than LINE_DRAIN_MAX */
};

void line_start(struct line_reader *reader, int fd);

/*
 * Reads the next line, of at most max octets with its line end (max is at most
 * LINE_BUFFER_OCTETS). On LINE_OK and LINE_BARE *text and *len are the line
 * without its CRLF or LF, NUL octets and all, in the reader's buffer, valid
 * until the next call that takes the reader. Otherwise both are left as they
 * were. After LINE_TIMEOUT, LINE_EOF and LINE_ERROR the connection is of no
 * more use.
 */
enum line_result line_read(struct line_reader *reader, size_t max,
	int64_t deadline_ms, const char **text, size_t *len);

/* The unread octets in the buffer; *len is 0 when there are none. */
const char *line_buffered(const struct line_reader *reader, size_t *len);

/* Whether anything is buffered: a server flushes its replies when not. */
static inline int
line_is_empty(const struct line_reader *reader)
{
	return reader->start == reader->end;
}

/* Takes count octets (at most those buffered) away from the front. */
void line_consume(struct line_reader *reader, size_t count);

/* Throws away all that is buffered. */
void line_discard(struct line_reader *reader);

/*
 * One read, for who knows that it will not wait. LINE_OK with more in the buffer;
 * LINE_TIMEOUT if there was nothing after all; LINE_EOF, LINE_ERROR with errno;
 * LINE_TOO_LONG if the buffer is full.
 */
enum line_result line_take(struct line_reader *reader);

/*
 * Waits for input and adds at least one octet to the buffer. LINE_OK,
 * LINE_TOO_LONG if the buffer is full (nothing read), LINE_EOF, LINE_TIMEOUT
 * or LINE_ERROR. May move the unread octets: earlier pointers end here.
 */
enum line_result line_fill(struct line_reader *reader, int64_t deadline_ms);

#endif
