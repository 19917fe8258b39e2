#ifndef LIB_OUTPUT_H
#define LIB_OUTPUT_H

/*
 * Writes to a descriptor against a deadline, through a fixed buffer, so that
 * all replies to pipelined commands leave in as few writes as may be: put
 * each, and flush before waiting for input (line_is_empty). The descriptor may
 * block; no write does: to a socket it is with MSG_DONTWAIT, to anything else
 * after poll() in pieces of at most PIPE_BUF. Nothing allocates.
 *
 * A write to a socket raises no SIGPIPE; to a pipe it may, so programs ignore
 * it.
 */

#include <stddef.h>
#include <stdint.h>

#define OUTPUT_BUFFER_OCTETS 32768

struct output {
	int fd;		  /* not owned */
	int not_socket;	  /* private */
	size_t used;	  /* octets in the buffer */
	uint64_t written; /* octets that have left since output_start */
	char buffer[OUTPUT_BUFFER_OCTETS];
};

void output_start(struct output *output, int fd);

/*
 * Puts octets behind those in the buffer; writes when the buffer is full.
 * Returns 0, or -1 with errno: ETIMEDOUT when the deadline came, or write()'s
 * or send()'s. After -1 an unknown part has left: close.
 */
int output_put(struct output *output, const void *octets, size_t len,
	int64_t deadline_ms);

/* Writes all that is in the buffer. Returns as output_put. */
int output_flush(struct output *output, int64_t deadline_ms);

/*
 * For an encoder that writes into the buffer by itself: the free room at its
 * end (*room octets, 0 when full: flush then), and after writing into it, how
 * many octets were added.
 */
char *output_space(struct output *output, size_t *room);
void output_commit(struct output *output, size_t count);

#endif
