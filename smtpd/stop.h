#ifndef SMTPD_STOP_H
#define SMTPD_STOP_H

/*
 * SIGTERM: the session ends with 421 (RFC 5321 section 3.8) after the command
 * that it is in, be it a message; waits between commands end at once. The signal
 * is blocked and read from a descriptor, so that nothing is ever cut off in the
 * middle.
 */

#include <stdbool.h>
#include <stdint.h>
#include "lib/reply.h"

struct session;

/* Blocks SIGTERM and opens session->stop_fd. 0, or -1 with errno. */
int stop_start(struct session *session);

enum stop_result {
	STOP_INPUT,   /* something can be read, be it the end */
	STOP_ASKED,   /* SIGTERM has come */
	STOP_TIMEOUT, /* neither */
};

/* Waits for input from the client. */
enum stop_result
stop_wait_input(const struct session *session, int64_t deadline_ms);

/*
 * Waits until a whole line is in session->input, or reading one would say what
 * is wrong. True if the session is to end instead.
 */
bool stop_wait_line(struct session *session, int64_t deadline_ms);

/* Waits for the deadline, the end of the client, or SIGTERM. */
void stop_wait_gone(const struct session *session, int64_t deadline_ms);

/* 421 4.3.2, with close_after. */
struct reply stop_reply(void);

#endif
