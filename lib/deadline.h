#ifndef LIB_DEADLINE_H
#define LIB_DEADLINE_H

/*
 * Points in time that a wait must not pass: milliseconds of CLOCK_MONOTONIC,
 * which no change of the wall clock moves, in an int64_t whose name ends in
 * deadline_ms. Made once, handed to every wait that serves the same purpose.
 */

#include <stdint.h>

/* A deadline that never comes. */
#define DEADLINE_NEVER INT64_MAX

/* The time now, in milliseconds of CLOCK_MONOTONIC. */
int64_t deadline_now_ms(void);

/*
 * The deadline that lies wait_ms milliseconds ahead of now. A negative wait is
 * a deadline of now; one that would overflow is DEADLINE_NEVER.
 */
int64_t deadline_after_ms(int64_t wait_ms);

/*
 * Milliseconds left until the deadline, as poll() takes them: 0 when it has
 * come, -1 for DEADLINE_NEVER, else at most INT_MAX.
 */
int deadline_left_ms(int64_t deadline_ms);

/*
 * Waits until the descriptor is ready for events (as poll() takes them) or has an
 * error. 0, or -1 with errno: ETIMEDOUT at the deadline.
 */
int deadline_wait(int fd, short events, int64_t deadline_ms);

#endif
