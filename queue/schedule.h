#ifndef QUEUE_SCHEDULE_H
#define QUEUE_SCHEDULE_H

/*
 * When the next attempt is due.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/settings.h"
#include "queue/layout.h"

#define SCHEDULE_MAX 100

/* Ages at which attempts are due, in seconds, ascending; none: qmail's curve. */
struct schedule {
	unsigned count;
	uint32_t age_s[SCHEDULE_MAX];
};

/* Adds the ages of control/retryschedule, one a line. 0, or -1 with a sentence in why
 * that names the line. */
int schedule_read(struct schedule *schedule, const struct setting_list *list,
	char *why, size_t size);

/* Adds an age. 0, or -1: it is not later than the one before, or too many. */
int schedule_add(struct schedule *schedule, uint64_t age_s);

/*
 * The next attempt for a message that arrived then and was tried now, in
 * milliseconds since the epoch. Without ages: arrival + n² seconds, where n grows
 * by 10 (local) or 20 (remote) each time. After the last age, the last interval
 * repeats. A clock that was set back does not make it wait for years.
 */
uint64_t schedule_next_ms(const struct schedule *schedule, uint64_t arrival_ms,
	uint64_t now_ms, enum channel channel);

/* The minute, since the epoch, in which something due then is looked for. */
uint64_t schedule_minute(uint64_t due_ms);

/*
 * True if what is due then is due now: or if it lies further ahead than any
 * interval, so that a clock was wrong when it was put off.
 */
bool schedule_is_due(
	const struct schedule *schedule, uint64_t due_ms, uint64_t now_ms);

/* True if the bucket of this minute counts as due now, by the same rule. */
bool schedule_bucket_is_due(
	const struct schedule *schedule, uint64_t minute, uint64_t now_ms);

#endif
