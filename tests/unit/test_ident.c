/*
 * Ids: their form, their order in time, and what is none.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "lib/ident.h"

#define COUNT 1000

static uint64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void
test_made(void **state)
{
	char last[IDENT_LENGTH + 1] = "";

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		char id[IDENT_LENGTH + 1];
		uint64_t before = now_us();

		assert_int_equal(ident_make(id), 0);
		assert_int_equal(strlen(id), IDENT_LENGTH);
		assert_true(ident_valid(id, strlen(id)));
		assert_in_range(ident_time_us(id), before, now_us());
		assert_true(strncmp(last, id, 11) <= 0);
		assert_string_not_equal(last, id);
		memcpy(last, id, sizeof last);
	}
}

/* Nine characters of randomness: each takes many values. */
static void
test_random_part(void **state)
{
	unsigned seen[IDENT_LENGTH] = {0};
	char id[IDENT_LENGTH + 1];

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(ident_make(id), 0);
		for (int at = 11; at < IDENT_LENGTH; at++)
			seen[at] |= 1u << strcspn(
					    "0123456789abcdefghjkmnpqrstvwxyz",
					    (char[]){id[at], 0});
	}
	for (int at = 11; at < IDENT_LENGTH; at++)
		assert_int_equal(seen[at], UINT32_MAX);
}

static void
test_validity(void **state)
{
	static const struct {
		const char *text;
		size_t length;
		int valid;
	} row[] = {
		{"0123456789abcdefghjk", 20, 1},
		{"zzzzzzzzzzzzzzzzzzzz", 20, 1},
		{"00000000000000000000", 20, 1},
		{"", 0, 0},
		{"0123456789abcdefghj", 19, 0},
		{"0123456789abcdefghjkm", 21, 0},
		{"0123456789abcdefghji", 20, 0},
		{"0123456789abcdefghjl", 20, 0},
		{"0123456789abcdefghjo", 20, 0},
		{"0123456789abcdefghju", 20, 0},
		{"0123456789Abcdefghjk", 20, 0},
		{"0123456789/../fghjkm", 20, 0},
		{"0123456789abcdefghj\0", 20, 0},
		{"0123456789abcdefghj\n", 20, 0},
		{"0123456789abcdefghj\377", 20, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
		if (!ident_valid(row[i].text, row[i].length) != !row[i].valid)
			fail_msg("row %zu: %s", i, row[i].text);
}

static void
test_time(void **state)
{
	(void)state;
	assert_true(ident_time_us("00000000000zzzzzzzzz") == 0);
	assert_true(ident_time_us("00000000001000000000") == 1);
	assert_true(ident_time_us("0000000001z000000000") == 63);
	assert_true(ident_time_us("zzzzzzzzzzz000000000") ==
		    (UINT64_C(1) << 55) - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_random_part),
		cmocka_unit_test(test_validity),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
