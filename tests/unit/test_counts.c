/* The table of countd: windows, what is held, giving way, the file. And which
 * records are questions. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "tools/counts.h"

#define MINUTE 60

static uint64_t
add(struct counts *counts, const char *key, uint32_t amount, int64_t now_ms)
{
	uint64_t total;

	assert_int_equal(
		counts_add(counts, key, MINUTE, amount, now_ms, &total), 0);
	return total;
}

static void
windows(void **state)
{
	struct counts counts;
	uint64_t total;

	(void)state;
	assert_int_equal(counts_make(&counts, 1000, 1), 0);
	assert_int_equal(add(&counts, "a", 0, 5000), 0);
	assert_int_equal(counts.used, 0);
	assert_int_equal(add(&counts, "a", 4, 5000), 4);
	assert_int_equal(add(&counts, "a", 6, 64999), 10);
	assert_int_equal(add(&counts, "b", 1, 64999), 1);
	/* Another window is another counter. */
	assert_int_equal(counts_add(&counts, "a", 10, 1, 64999, &total), 0);
	assert_int_equal(total, 1);
	/* The next window: all of the one before, then less and less. */
	assert_int_equal(add(&counts, "a", 0, 65000), 10);
	assert_int_equal(add(&counts, "a", 0, 95000), 5);
	assert_int_equal(add(&counts, "a", 2, 95000), 7);
	assert_int_equal(add(&counts, "a", 0, 124999), 3);
	assert_int_equal(add(&counts, "a", 0, 125000), 2);
	/* Two windows later nothing is left; nor does time going back hurt. */
	assert_int_equal(add(&counts, "a", 0, 245000), 0);
	assert_int_equal(add(&counts, "a", 3, 245000), 3);
	assert_int_equal(add(&counts, "a", 0, 1000), 3);
	/* No overflow. */
	for (int i = 0; i < 5; i++)
		add(&counts, "c", UINT32_MAX / 2, 300000);
	assert_int_equal(add(&counts, "c", 1, 300000), UINT32_MAX);
	counts_free(&counts);
	counts_free(&counts);
}

static void
held(void **state)
{
	struct counts counts;
	uint64_t total;

	(void)state;
	assert_int_equal(counts_make(&counts, 1000, 1), 0);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(counts_hold(&counts, "a", 0, &total), 0);
		assert_int_equal(total, i);
	}
	counts_release(&counts, "a");
	counts_release(&counts, "nothing");
	assert_int_equal(counts_hold(&counts, "a", 0, &total), 0);
	assert_int_equal(total, 3);
	for (int i = 0; i < 3; i++)
		counts_release(&counts, "a");
	assert_int_equal(counts.used, 0);
	counts_free(&counts);
}

/* Many keys, some taken out again: each is found with what it has. */
static void
many(void **state)
{
	struct counts counts;
	char key[40];
	uint64_t total;

	(void)state;
	assert_int_equal(counts_make(&counts, 5000, 99), 0);
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof key, "key %d", i);
		for (int n = 0; n <= i % 3; n++)
			assert_int_equal(
				counts_hold(&counts, key, 0, &total), 0);
		assert_int_equal(total, i % 3 + 1);
	}
	/* All are held: nothing gives way. */
	assert_int_equal(counts_hold(&counts, "more", 0, &total), -1);
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof key, "key %d", i);
		counts_release(&counts, key);
	}
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof key, "key %d", i);
		assert_int_equal(counts_hold(&counts, key, 0, &total), 0);
		assert_int_equal(total, i % 3 + 1);
	}
	counts_free(&counts);
}

/* A client with many addresses does not make the busy ones be forgotten. */
static void
giving_way(void **state)
{
	struct counts counts;
	char key[40];
	uint64_t total;

	(void)state;
	assert_int_equal(counts_make(&counts, 100, 7), 0);
	assert_int_equal(counts_hold(&counts, "held", 0, &total), 0);
	add(&counts, "busy", 50, 0);
	for (int i = 0; i < 20000; i++) {
		snprintf(key, sizeof key, "key %d", i);
		assert_int_equal(add(&counts, key, 1, i), 1);
		assert_true(counts.used <= 100);
	}
	assert_true(counts.lost > 19000);
	assert_int_equal(add(&counts, "busy", 0, 20000), 50);
	assert_int_equal(counts_hold(&counts, "held", 0, &total), 0);
	assert_int_equal(total, 2);
	/* What is over makes room without loss. */
	uint64_t lost = counts.lost;
	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof key, "new %d", i);
		add(&counts, key, 1, 500000);
	}
	assert_int_equal(counts.lost, lost);
	counts_free(&counts);
}

static long
again(const stralloc *file, const struct counts_time *time, uint64_t *total,
	int64_t look_ms)
{
	struct counts counts;

	assert_int_equal(counts_make(&counts, 1000, 3), 0);
	long read = counts_unpack(&counts, time, file->s, file->len);
	*total = add(&counts, "a", 0, look_ms);
	counts_free(&counts);
	return read;
}

static void
file(void **state)
{
	struct counts_time time = {
		"00000000-0000-0000-0000-000000000001", 100000, 1000000};
	struct counts_time other = {
		"00000000-0000-0000-0000-000000000002", 500, 1000000};
	stralloc octets = STRALLOC_ZERO;
	struct counts counts;
	uint64_t total;

	(void)state;
	assert_int_equal(counts_make(&counts, 1000, 1), 0);
	add(&counts, "a", 10, 100000);
	add(&counts, "b", 1, 100000);
	add(&counts, "gone", 1, -500000);
	assert_int_equal(counts_hold(&counts, "held", 0, &total), 0);
	assert_int_equal(counts.is_changed, 1);
	assert_int_equal(counts_pack(&counts, &time, &octets), 0);
	assert_int_equal(counts.is_changed, 0);
	counts_free(&counts);

	assert_int_equal(again(&octets, &time, &total, 100000), 2);
	assert_int_equal(total, 10);
	/* The same boot: the wall clock does not matter. */
	time.now_ms += 90000;
	time.wall_s = 1;
	again(&octets, &time, &total, time.now_ms);
	assert_int_equal(total, 5);
	/* Another boot: it does; and it may have been set back. */
	again(&octets, &other, &total, 500);
	assert_int_equal(total, 10);
	other.wall_s += 90;
	again(&octets, &other, &total, 500);
	assert_int_equal(total, 5);
	other.wall_s = 3;
	again(&octets, &other, &total, 500);
	assert_int_equal(total, 10);
	other.wall_s = INT64_MAX / 4000;
	again(&octets, &other, &total, 500);
	assert_int_equal(total, 0);

	/* Cut anywhere: what is whole counts. */
	for (size_t len = 0; len < octets.len; len++) {
		stralloc cut = octets;
		cut.len = len;
		long read = again(&cut, &time, &total, 0);
		assert_true(read >= -1 && read < 2);
	}
	stralloc_free(&octets);
}

static void
questions(void **state)
{
	const struct counter_question good = {
		COUNTER_MAGIC, COUNTER_ADD, 1, 60, "messages 192.0.2.1"};
	struct counter_question bad, read;

	(void)state;
	assert_true(counter_question_read(&good, sizeof good, &read));
	assert_memory_equal(&read, &good, sizeof good);
	assert_false(counter_question_read(&good, sizeof good - 1, &read));
	assert_false(counter_question_read(&good, 0, &read));
#define BAD(change)                                                           \
	do {                                                                  \
		bad = good;                                                   \
		change;                                                       \
		assert_false(counter_question_read(&bad, sizeof bad, &read)); \
	} while (0)
	BAD(bad.magic++);
	BAD(bad.operation = 0);
	BAD(bad.operation = 3);
	BAD(bad.operation = COUNTER_HOLD);
	BAD(bad.amount = COUNTER_AMOUNT_MAX + 1);
	BAD(bad.window_s = 0);
	BAD(bad.window_s = COUNTER_WINDOW_MAX + 1);
	BAD(bad.key[0] = 0);
	BAD(bad.key[3] = 0);
	BAD(bad.key[3] = '\n');
	BAD(bad.key[COUNTER_KEY_MAX] = 'x');
	BAD(memset(bad.key, 'x', sizeof bad.key));
	bad = good;
	bad.operation = COUNTER_HOLD;
	bad.amount = bad.window_s = 0;
	assert_true(counter_question_read(&bad, sizeof bad, &read));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows),
		cmocka_unit_test(held),
		cmocka_unit_test(many),
		cmocka_unit_test(giving_way),
		cmocka_unit_test(file),
		cmocka_unit_test(questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
