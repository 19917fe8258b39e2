#include "lib/deadline.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>

int64_t
deadline_now_ms(void)
{
	struct timespec now = {0};

	/* Cannot fail: CLOCK_MONOTONIC is always there on Linux. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
deadline_after_ms(int64_t wait_ms)
{
	int64_t deadline_ms;

	if (wait_ms < 0)
		wait_ms = 0;
	if (__builtin_add_overflow(deadline_now_ms(), wait_ms, &deadline_ms))
		return DEADLINE_NEVER;
	return deadline_ms;
}

int
deadline_left_ms(int64_t deadline_ms)
{
	int64_t now_ms;

	if (deadline_ms == DEADLINE_NEVER)
		return -1;
	now_ms = deadline_now_ms();
	if (deadline_ms <= now_ms)
		return 0;
	if (deadline_ms - now_ms > INT_MAX)
		return INT_MAX;
	return (int)(deadline_ms - now_ms);
}

int
deadline_wait(int fd, short events, int64_t deadline_ms)
{
	struct pollfd wait = {.fd = fd, .events = events};

	for (;;) {
		int ready = poll(&wait, 1, deadline_left_ms(deadline_ms));

		if (ready > 0)
			return 0;
		if (ready == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (errno != EINTR)
			return -1;
	}
}
