#ifndef LIB_DOTS_H
#define LIB_DOTS_H

/*
 * Transparency (RFC 5321 section 4.5.2, RFC 1939 section 3) and the law of
 * line ends, both ways. Stored content has LF at the end of a line; on the
 * wire it is CRLF and nothing else. Whoever moves mail between the two goes
 * through here: that is what keeps one message one message.
 *
 * All of it works on blocks and may be cut at any octet. Nothing allocates or
 * sets errno.
 *
 * Decoding, states (every other octet leads to "middle"):
 *
 *   line start --"."--> dot --CR--> dot CR --LF--> the end
 *   line start, middle, dot --CR--> CR --LF--> line start (an LF is written)
 *   a CR that no LF follows is bare, so is an LF that no CR precedes; neither
 *   begins a line: "." after it is an ordinary dot.
 *
 * The start is a line start, because the CRLF of the DATA command counts. A
 * dot at a line start that does not end the message is removed.
 */

#include <stddef.h>
#include <stdint.h>

enum dots_mode {
	DOTS_DATA,  /* after DATA: dots count, the end is CRLF.CRLF */
	DOTS_CHUNK, /* BDAT: line ends alone; the caller knows the end */
	DOTS_LOCAL, /* from a local program: CRLF, LF and CR each end a line,
		       none is noted (NUL is); dots do not count, the caller
		       knows the end */
};

/* What was seen in the content and must be answered after the end. */
enum dots_seen {
	DOTS_BARE_CR = 1,
	DOTS_BARE_LF = 2,
	DOTS_NUL = 4,
};

struct dots_decoder {
	enum dots_mode mode;
	int state;     /* private */
	unsigned seen; /* enum dots_seen, ored */
};

enum dots_result {
	DOTS_MORE, /* the input is used up (as far as there was room) */
	DOTS_END,  /* the end has been consumed; the rest is the next command */
};

void dots_decode_start(struct dots_decoder *decoder, enum dots_mode mode);

/*
 * Decodes wire octets from in[0..len) into content in out[0..size). *consumed
 * is how many were taken (less than len at the end, or if size is short),
 * *produced how many were written. Never writes more than one octet more than
 * it takes, so size len + 1 is always enough; size must be at least 2. Buffers
 * must not overlap. Bare CR, bare LF and NUL are noted in decoder->seen and
 * passed on as they are, and decoding goes on to the real end. After DOTS_END
 * consumes nothing.
 */
enum dots_result dots_decode(struct dots_decoder *decoder, const char *in,
	size_t len, size_t *consumed, char *out, size_t size, size_t *produced);

/*
 * The input has ended by itself (DOTS_CHUNK and DOTS_LOCAL; after a DATA that
 * was cut short the message is void anyway). Writes what a last CR stands for,
 * at most 1 octet, into out and returns how many. Does not add a line end that
 * is missing.
 */
size_t dots_decode_finish(struct dots_decoder *decoder, char out[1]);

enum dots_policy {
	DOTS_SMTP, /* a CR that no LF follows never leaves: it becomes CRLF */
	DOTS_POP3, /* a CR that no LF follows is kept, as it is stored */
	DOTS_BDAT, /* as DOTS_SMTP, but dots stay as they are, and the end is
		      nothing: its octets are counted beforehand */
};

struct dots_encoder {
	enum dots_policy policy;
	int state; /* private */
};

void dots_encode_start(struct dots_encoder *encoder, enum dots_policy policy);

/*
 * Encodes content from in[0..len) into wire octets in out[0..size): LF becomes
 * CRLF, CRLF stays one CRLF, and a dot that begins a line, the first of the
 * message included, is doubled (not with DOTS_BDAT). Stops when the input is used up or there is no
 * more room; *consumed and *produced tell how far it came. size must be at
 * least 2, and then a call with len > 0 makes progress. Buffers must not
 * overlap.
 */
void dots_encode(struct dots_encoder *encoder, const char *in, size_t len,
	size_t *consumed, char *out, size_t size, size_t *produced);

/* The most that dots_encode_finish writes. */
#define DOTS_FINISH_MAX 6

/*
 * Ends the message: a CRLF if the last line lacks it, then ".CRLF" (not with
 * DOTS_BDAT). Returns the octets written into out.
 */
size_t
dots_encode_finish(struct dots_encoder *encoder, char out[DOTS_FINISH_MAX]);

/*
 * Counts the octets that content has on the wire: what the encoder would send
 * without doubled dots and without ".CRLF" (the number for SIZE= and for
 * POP3's STAT, LIST and RETR).
 */
struct dots_counter {
	enum dots_policy policy;
	int state;	      /* private */
	uint64_t wire_octets; /* complete only after dots_count_finish */
};

void dots_count_start(struct dots_counter *counter, enum dots_policy policy);
void dots_count(struct dots_counter *counter, const char *in, size_t len);

/* Counts the CRLF that a last line lacks. Returns wire_octets. */
uint64_t dots_count_finish(struct dots_counter *counter);

#endif
