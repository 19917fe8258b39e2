#include "pop3d/retrieve.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/dots.h"

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
	uint64_t left; /* octets of the file not yet read */
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
	size_t wanted =
		work->left < BLOCK_OCTETS ? (size_t)work->left : BLOCK_OCTETS;

	for (;;) {
		ssize_t count = read(work->fd, block, wanted);

		if (count > 0) {
			work->left -= (size_t)count;
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

static enum retrieve_result
put_message(struct retrieval *work)
{
	char block[BLOCK_OCTETS], end[DOTS_FINISH_MAX];
	int ends = 0;

	while (work->left > 0 && !ends) {
		ssize_t count = read_block(work, block);

		if (count < 0)
			return RETRIEVE_TROUBLE;
		size_t taken =
			top_take(&work->top, block, (size_t)count, &ends);
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
	uint64_t lines, struct output *output, int64_t idle_ms)
{
	struct stat status;
	char answer[64] = "+OK message follows\r\n";

	/* The size first: to count it opens the file too. */
	uint64_t octets =
		lines == RETRIEVE_ALL ? maildrop_octets(drop, message) : 0;
	struct retrieval work = {
		.fd = maildrop_message_open(drop, message, &status),
		.top = {.whole = lines == RETRIEVE_ALL, .lines_left = lines},
		.output = output,
		.idle_ms = idle_ms,
	};
	if (work.fd < 0)
		return RETRIEVE_NONE;
	work.left = (uint64_t)status.st_size;
	dots_encode_start(&work.encoder, DOTS_POP3);
	if (lines != RETRIEVE_ALL)
		(void)snprintf(answer, sizeof answer,
			"+OK top of message follows\r\n");
	else if (maildrop_is_unchanged(message, &status))
		(void)snprintf(answer, sizeof answer, "+OK %llu octets\r\n",
			(unsigned long long)octets);
	enum retrieve_result result = RETRIEVE_LOST;
	if (output_put(output, answer, strlen(answer),
		    deadline_after_ms(idle_ms)) == 0)
		result = put_message(&work);
	int saved = errno;
	close(work.fd);
	errno = saved;
	return result;
}
