/*
 * When the next attempt is due: quadratic, whatever the clock does.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "queue/schedule.h"

/* Some day in 2023, in milliseconds since the epoch. */
#define ARRIVAL_MS UINT64_C(1700000000123)
#define MINUTE_MS UINT64_C(60000)

/* No ages: the curve. */
static const struct schedule curve;

static uint64_t
next_s(uint64_t age_ms, enum channel channel)
{
	uint64_t due_ms = schedule_next_ms(
		&curve, ARRIVAL_MS, ARRIVAL_MS + age_ms, channel);

	assert_true((due_ms - ARRIVAL_MS) % 1000 == 0);
	return (due_ms - ARRIVAL_MS) / 1000;
}

/* The attempts that are due one after the other: (10 n)² and (20 n)² seconds. */
static void
test_quadratic(void **state)
{
	uint64_t age_s, n;

	(void)state;
	for (age_s = 0, n = 1; n <= 100; n++) {
		age_s = next_s(age_s * 1000, CHANNEL_LOCAL);
		assert_true(age_s == 100 * n * n);
	}
	for (age_s = 0, n = 1; n <= 50; n++) {
		age_s = next_s(age_s * 1000, CHANNEL_REMOTE);
		assert_true(age_s == 400 * n * n);
	}
}

/* Always later than now, never much later, at any age. */
static void
test_ahead(void **state)
{
	uint64_t last[2] = {0, 0};

	(void)state;
	for (uint64_t age_ms = 0; age_ms < UINT64_C(8) * 24 * 3600 * 1000;
		age_ms = age_ms * 9 / 8 + 333)
		for (unsigned channel = 0; channel < 2; channel++) {
			uint64_t due_ms = schedule_next_ms(&curve, ARRIVAL_MS,
				ARRIVAL_MS + age_ms, (enum channel)channel);

			assert_true(due_ms > ARRIVAL_MS + age_ms);
			assert_true(
				due_ms <= ARRIVAL_MS + age_ms +
						  UINT64_C(10) * 3600 * 1000);
			assert_true(due_ms >= last[channel]);
			last[channel] = due_ms;
		}
	assert_true(next_s(99999, CHANNEL_LOCAL) == 19 * 19);
	assert_true(next_s(100000, CHANNEL_LOCAL) == 20 * 20);
	assert_true(next_s(999, CHANNEL_REMOTE) == 400);
	assert_true(next_s(1000, CHANNEL_REMOTE) == 21 * 21);
}

/* A clock that was set back does not make mail wait until it has caught up. */
static void
test_clock_set_back(void **state)
{
	uint64_t now_ms = ARRIVAL_MS - UINT64_C(10) * 365 * 24 * 3600 * 1000;

	(void)state;
	assert_true(schedule_next_ms(&curve, ARRIVAL_MS, now_ms,
			    CHANNEL_LOCAL) == now_ms + 100 * 1000);
	assert_true(schedule_next_ms(&curve, ARRIVAL_MS, now_ms,
			    CHANNEL_REMOTE) == now_ms + 400 * 1000);
	assert_true(schedule_next_ms(&curve, ARRIVAL_MS, 0, CHANNEL_LOCAL) ==
		    100000);
	assert_true(schedule_next_ms(&curve, UINT64_MAX, 5, CHANNEL_LOCAL) ==
		    100005);
	/* and one that was decades behind when the message came */
	assert_true(schedule_next_ms(&curve, 0, ARRIVAL_MS, CHANNEL_REMOTE) >
		    ARRIVAL_MS);
	assert_true(schedule_next_ms(&curve, 0, ARRIVAL_MS, CHANNEL_REMOTE) <
		    ARRIVAL_MS + UINT64_C(30) * 24 * 3600 * 1000);
}

static void
test_minutes(void **state)
{
	(void)state;
	assert_true(schedule_minute(0) == 0);
	assert_true(schedule_minute(1) == 1);
	assert_true(schedule_minute(MINUTE_MS) == 1);
	assert_true(schedule_minute(MINUTE_MS + 1) == 2);
	/* a bucket is not due before anything in it */
	for (uint64_t due_ms = ARRIVAL_MS; due_ms < ARRIVAL_MS + 3 * MINUTE_MS;
		due_ms += 777) {
		uint64_t minute = schedule_minute(due_ms);

		assert_false(
			schedule_bucket_is_due(&curve, minute, due_ms - 60000));
		assert_true(
			schedule_bucket_is_due(&curve, minute, due_ms + 60000));
		assert_true(minute * MINUTE_MS >= due_ms);
		assert_true(minute * MINUTE_MS < due_ms + MINUTE_MS);
	}
}

static void
test_buckets(void **state)
{
	uint64_t now = ARRIVAL_MS / MINUTE_MS, now_ms = now * MINUTE_MS;

	(void)state;
	assert_true(schedule_bucket_is_due(&curve, 0, now_ms));
	assert_true(schedule_bucket_is_due(&curve, now - 1, now_ms));
	assert_true(schedule_bucket_is_due(&curve, now, now_ms));
	assert_true(schedule_bucket_is_due(&curve, now, now_ms + 59999));
	assert_false(schedule_bucket_is_due(&curve, now, now_ms - 1));
	assert_false(schedule_bucket_is_due(&curve, now + 1, now_ms + 59999));
	assert_true(schedule_bucket_is_due(&curve, now + 1, now_ms + 60000));
	/* further ahead than any attempt: the clock was wrong */
	assert_false(schedule_bucket_is_due(&curve, now + 24 * 60, now_ms));
	assert_true(schedule_bucket_is_due(&curve, now + 24 * 60 + 1, now_ms));
	assert_true(schedule_bucket_is_due(&curve, 0xffffffffff, now_ms));
}

static void
test_ages(void **state)
{
	struct schedule ages = {0};

	(void)state;
	assert_int_equal(schedule_add(&ages, 60), 0);
	assert_int_equal(schedule_add(&ages, 60), -1);
	assert_int_equal(schedule_add(&ages, 600), 0);
	assert_int_equal(schedule_add(&ages, UINT64_C(1) << 40), -1);
	for (unsigned channel = 0; channel < 2; channel++) {
		enum channel which = (enum channel)channel;

		assert_true(
			schedule_next_ms(&ages, 1000, 1000, which) == 61000);
		assert_true(
			schedule_next_ms(&ages, 1000, 61000, which) == 601000);
		/* the last interval repeats */
		assert_true(
			schedule_next_ms(&ages, 0, 600000, which) == 1140000);
		assert_true(
			schedule_next_ms(&ages, 0, 1139999, which) == 1140000);
		assert_true(
			schedule_next_ms(&ages, 0, 1140000, which) == 1680000);
	}
	while (ages.count < SCHEDULE_MAX)
		assert_int_equal(
			schedule_add(&ages, 1000 + 1000 * ages.count), 0);
	assert_int_equal(schedule_add(&ages, 1000000), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quadratic),
		cmocka_unit_test(test_ahead),
		cmocka_unit_test(test_clock_set_back),
		cmocka_unit_test(test_minutes),
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_ages),
	};

	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
