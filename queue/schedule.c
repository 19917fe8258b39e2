#include "queue/schedule.h"
#include <stdio.h>
#include <stdlib.h>

/* The longest interval that the curve may reach, in minutes. */
#define CURVE_MAX_M ((uint64_t)20 * 60)
/* What lies so much further ahead was put there by a wrong clock. */
#define SLACK_M 240

int
schedule_add(struct schedule *schedule, uint64_t age_s)
{
	uint32_t last =
		schedule->count == 0 ? 0 : schedule->age_s[schedule->count - 1];

	if (age_s <= last || age_s > UINT32_MAX / 2 ||
		schedule->count == SCHEDULE_MAX)
		return -1;
	schedule->age_s[schedule->count++] = (uint32_t)age_s;
	return 0;
}

int
schedule_read(struct schedule *schedule, const struct setting_list *list,
	char *why, size_t size)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *line = list->line[i];
		char *end;
		unsigned long long age_s = strtoull(line, &end, 10);

		if (line[0] >= '0' && line[0] <= '9' && *end == 0 &&
			schedule_add(schedule, age_s) == 0)
			continue;
		snprintf(why, size,
			"control/retryschedule line %zu: expected a number of "
			"seconds, larger than that before it, on at most %d "
			"lines",
			list->number[i], SCHEDULE_MAX);
		return -1;
	}
	return 0;
}

static uint64_t
square_root(uint64_t value)
{
	uint64_t root = 0;

	for (uint64_t bit = (uint64_t)1 << 31; bit > 0; bit >>= 1)
		if ((root | bit) * (root | bit) <= value)
			root |= bit;
	return root;
}

/* The last interval, in seconds. */
static uint64_t
last_step_s(const struct schedule *schedule)
{
	unsigned count = schedule->count;

	return schedule->age_s[count - 1] -
	       (count > 1 ? schedule->age_s[count - 2] : 0);
}

static uint64_t
next_age_s(
	const struct schedule *schedule, uint64_t age_s, enum channel channel)
{
	if (schedule->count == 0) {
		uint64_t n = square_root(age_s) +
			     (channel == CHANNEL_LOCAL ? 10 : 20);

		return n * n;
	}
	for (unsigned i = 0; i < schedule->count; i++)
		if (schedule->age_s[i] > age_s)
			return schedule->age_s[i];
	uint64_t last = schedule->age_s[schedule->count - 1];
	uint64_t step = last_step_s(schedule);
	return last + ((age_s - last) / step + 1) * step;
}

/* The longest interval, in minutes. */
static uint64_t
longest_m(const struct schedule *schedule)
{
	uint64_t longest = schedule->count == 0 ? CURVE_MAX_M : 0;

	for (unsigned i = 0; i < schedule->count; i++) {
		uint64_t step = schedule->age_s[i] -
				(i > 0 ? schedule->age_s[i - 1] : 0);

		if (step / 60 + 1 > longest)
			longest = step / 60 + 1;
	}
	return longest;
}

uint64_t
schedule_next_ms(const struct schedule *schedule, uint64_t arrival_ms,
	uint64_t now_ms, enum channel channel)
{
	uint64_t age_s = now_ms > arrival_ms ? (now_ms - arrival_ms) / 1000 : 0;
	uint64_t base_ms = now_ms > arrival_ms ? arrival_ms : now_ms;

	uint64_t due_ms = base_ms + next_age_s(schedule, age_s, channel) * 1000;
	uint64_t most_ms = now_ms + longest_m(schedule) * 60000;

	return due_ms > most_ms ? most_ms : due_ms;
}

uint64_t
schedule_minute(uint64_t due_ms)
{
	return (due_ms + 59999) / 60000;
}

bool
schedule_bucket_is_due(
	const struct schedule *schedule, uint64_t minute, uint64_t now_ms)
{
	uint64_t now = now_ms / 60000;

	return minute <= now || minute > now + longest_m(schedule) + SLACK_M;
}

bool
schedule_is_due(
	const struct schedule *schedule, uint64_t due_ms, uint64_t now_ms)
{
	/* whatever lies in a bucket that is due must be due itself */
	return due_ms <= now_ms ||
	       due_ms / 60000 >= now_ms / 60000 + longest_m(schedule) + SLACK_M;
}
