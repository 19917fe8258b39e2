#include "pop3d/retrieve.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/dots.h"
#include "lib/utf8.h"

#define BLOCK_OCTETS 32768

/* Where TOP ends: reads lines as they are stored. */
struct top {
	int whole;	     /* RETR: nowhere */
	int in_body;	     /* the empty line is behind */
	uint64_t lines_left; /* of the body */
	size_t line_octets;  /* before this octet, in its line */
	int only_cr;	     /* the line so far is one CR */
};

/* What one call of retrieve_message works with. */
struct retrieval {
	int fd;
	uint64_t at, end; /* octets of the file: read, and in all */
	bool is_ascii;	  /* the header must be, and it is not over */
	bool is_cut;	  /* the block before ended in the middle of a line */
	struct top top;
	struct dots_encoder encoder;
	struct output *output;
	int64_t idle_ms;
};

/* A line has ended. Returns whether TOP ends with it. */
static int
top_line_ends(struct top *top)
{
	int empty = top->line_octets == 0 || top->only_cr;

	top->line_octets = 0;
	top->only_cr = 0;
	if (top->in_body)
		top->lines_left--;
	else if (empty)
		top->in_body = 1;
	return top->in_body && top->lines_left == 0;
}

/* How many octets of block[0..length) are wanted; *ends if no more follow. */
static size_t
top_take(struct top *top, const char *block, size_t length, int *ends)
{
	const char *at = block, *end = block + length;

	*ends = 0;
	if (top->whole)
		return length;
	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		size_t octets = (size_t)((lf != NULL ? lf : end) - at);

		if (octets > 0) {
			top->only_cr = top->line_octets == 0 && octets == 1 &&
				       *at == '\r';
			top->line_octets += octets;
		}
		if (lf == NULL)
			return length;
		at = lf + 1;
		if (top_line_ends(top)) {
			*ends = 1;
			break;
		}
	}
	return (size_t)(at - block);
}

/* Encodes a block into the output's buffer. 0, or -1 with errno. */
static int
put_block(struct retrieval *work, const char *block, size_t length)
{
	while (length > 0) {
		size_t room, consumed, produced;
		char *space = output_space(work->output, &room);

		if (room < 2) {
			if (output_flush(work->output,
				    deadline_after_ms(work->idle_ms)) < 0)
				return -1;
			continue;
		}
		dots_encode(&work->encoder, block, length, &consumed, space,
			room, &produced);
		output_commit(work->output, produced);
		block += consumed;
		length -= consumed;
	}
	return 0;
}

/* One read of what is left. Returns the octets, or -1 with errno. */
static ssize_t
read_block(struct retrieval *work, char block[static BLOCK_OCTETS])
{
	uint64_t left = work->end - work->at;
	size_t wanted = left < BLOCK_OCTETS ? (size_t)left : BLOCK_OCTETS;

	for (;;) {
		ssize_t count = pread(work->fd, block, wanted, (off_t)work->at);

		if (count > 0) {
			work->at += (uint64_t)count;
			return count;
		}
		if (count == 0) {
			errno = ENODATA;
			return -1;
		}
		if (errno != EINTR)
			return -1;
	}
}

static bool
is_beyond_ascii(const char *text, size_t length)
{
	for (size_t at = 0; at < length; at++)
		if ((unsigned char)text[at] > 127)
			return true;
	return false;
}

/*
 * The lines of the header in a block: what is UTF-8 and beyond ASCII in them is
 * hidden. A line that the block cuts is left to the next block, unless the block
 * holds no other; returns how many octets are done.
 */
static size_t
hide_utf8(struct retrieval *work, char *block, size_t length)
{
	size_t at = 0;

	while (work->is_ascii && at < length) {
		char *line = block + at;
		char *lf = memchr(line, '\n', length - at);

		if (lf == NULL && at > 0 && work->at < work->end)
			return at;
		size_t octets = lf != NULL ? (size_t)(lf - line) : length - at;
		bool is_part = work->is_cut || lf == NULL;
		work->is_cut = lf == NULL;
		work->is_ascii = is_part || octets > 1 ||
				 (octets == 1 && line[0] != '\r');
		/* Of a line in several blocks any sequence may be cut. */
		if (is_beyond_ascii(line, octets) &&
			(is_part || utf8_valid(line, octets)))
			for (size_t i = 0; i < octets; i++)
				if ((unsigned char)line[i] > 127)
					line[i] = '?';
		at += octets + (lf != NULL);
	}
	return length;
}

static enum retrieve_result
put_message(struct retrieval *work)
{
	char block[BLOCK_OCTETS], end[DOTS_FINISH_MAX];
	int ends = 0;

	while (work->at < work->end && !ends) {
		ssize_t count = read_block(work, block);

		if (count < 0)
			return RETRIEVE_TROUBLE;
		size_t done = hide_utf8(work, block, (size_t)count);
		work->at -= (size_t)count - done;
		size_t taken = top_take(&work->top, block, done, &ends);
		if (put_block(work, block, taken) < 0)
			return RETRIEVE_LOST;
	}
	size_t length = dots_encode_finish(&work->encoder, end);
	if (output_put(work->output, end, length,
		    deadline_after_ms(work->idle_ms)) < 0)
		return RETRIEVE_LOST;
	return RETRIEVE_SENT;
}

enum retrieve_result
retrieve_message(struct maildrop *drop, struct maildrop_message *message,
	const struct retrieve_how *how, struct output *output)
{
	struct stat status;
	char answer[64] = "+OK message follows\r\n";
	bool is_whole = how->lines == RETRIEVE_ALL;

	/* The size first: to count it opens the file too. */
	uint64_t octets = is_whole ? maildrop_octets(drop, message) : 0;
	struct retrieval work = {
		.fd = maildrop_message_open(drop, message, &status),
		.is_ascii = !how->takes_utf8,
		.top = {.whole = is_whole, .lines_left = how->lines},
		.output = output,
		.idle_ms = how->idle_ms,
	};
	if (work.fd < 0)
		return RETRIEVE_NONE;
	work.end = (uint64_t)status.st_size;
	dots_encode_start(&work.encoder, DOTS_POP3);
	if (!is_whole)
		(void)snprintf(answer, sizeof answer,
			"+OK top of message follows\r\n");
	else if (maildrop_is_unchanged(drop, message, &status))
		(void)snprintf(answer, sizeof answer, "+OK %llu octets\r\n",
			(unsigned long long)octets);
	enum retrieve_result result = RETRIEVE_LOST;
	if (output_put(output, answer, strlen(answer),
		    deadline_after_ms(how->idle_ms)) == 0)
		result = put_message(&work);
	int saved = errno;
	close(work.fd);
	errno = saved;
	return result;
}
