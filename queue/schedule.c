#include <string.h>
#include "queue/runner.h"

/* The longest interval, in milliseconds. */
#define INTERVAL_MAX_MS ((uint64_t)20 * 3600 * 1000)
/* A bucket further ahead than any interval comes from a clock that was wrong. */
#define BUCKET_AHEAD_MINUTES (24 * 60)

static uint64_t
square_root(uint64_t value)
{
	uint64_t root = 0;

	for (uint64_t bit = (uint64_t)1 << 31; bit > 0; bit >>= 1)
		if ((root | bit) * (root | bit) <= value)
			root |= bit;
	return root;
}

uint64_t
schedule_next_ms(uint64_t arrival_ms, uint64_t now_ms, enum channel channel)
{
	uint64_t age_s = now_ms > arrival_ms ? (now_ms - arrival_ms) / 1000 : 0;
	uint64_t n = square_root(age_s) + (channel == CHANNEL_LOCAL ? 10 : 20);
	/* a clock that was set back must not make it wait for years */
	uint64_t base_ms = now_ms > arrival_ms ? arrival_ms : now_ms;

	uint64_t due_ms = base_ms + n * n * 1000;
	return due_ms > now_ms + INTERVAL_MAX_MS ? now_ms + INTERVAL_MAX_MS
						 : due_ms;
}

int64_t
runner_lifetime_s(const struct runner *runner, const struct message *message)
{
	const struct runner_settings *settings = &runner->settings;
	const char *sender = message->file.envelope.reverse_path;
	bool is_bounce =
		sender[0] == 0 || strcmp(sender, ENVELOPE_DOUBLE_BOUNCE) == 0;

	return is_bounce && settings->bouncelifetime_s > 0
		       ? settings->bouncelifetime_s
		       : settings->queuelifetime_s;
}

uint64_t
schedule_minute(uint64_t due_ms)
{
	return (due_ms + 59999) / 60000;
}

bool
schedule_is_due(uint64_t due_ms, uint64_t now_ms)
{
	/* whatever lies in a bucket that is due must be due itself */
	return due_ms <= now_ms ||
	       due_ms / 60000 >= now_ms / 60000 + BUCKET_AHEAD_MINUTES;
}

bool
schedule_bucket_is_due(uint64_t minute, uint64_t now_ms)
{
	uint64_t now = now_ms / 60000;

	return minute <= now || minute > now + BUCKET_AHEAD_MINUTES;
}
