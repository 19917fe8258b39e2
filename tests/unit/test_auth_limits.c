/* What slows down who guesses passwords, and how many are checked at once. */
#include "lib/deadline.h"
#include "tools/auth_limits.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define MINUTE 60000
/* Some time of the clock. */
#define NOW INT64_C(1000000000)

static int
start(void **state)
{
	static struct auth_limits limits;

	assert_int_equal(auth_limits_open(&limits, 2, 4), 0);
	*state = &limits;
	return 0;
}

static int
stop(void **state)
{
	auth_limits_close(*state);
	auth_limits_close(*state);
	return 0;
}

static void
wrong(const struct auth_limits *limits, const char *client, const char *name,
	unsigned times, int64_t now_ms)
{
	while (times-- > 0)
		auth_limits_note(limits, client, name, false, now_ms);
}

static void
test_addresses(void **state)
{
	const struct auth_limits *limits = *state;
	static const int waits_ms[] = {0, 4000, 8000, -1, -1};

	wrong(limits, "192.0.2.1", "a@x", 4, NOW);
	assert_int_equal(auth_limits_delay(limits, "192.0.2.1", "b@x", NOW), 0);
	assert_int_equal(auth_limits_delay(limits, "192.0.2.1", "b@x", NOW), 0);
	/* Beyond those that are free they stand in a row, a quarter of a second
	 * apart at first. */
	wrong(limits, "192.0.2.1", "a@x", 1, NOW);
	assert_int_equal(auth_limits_delay(limits, "192.0.2.1", "b@x", NOW), 0);
	assert_int_equal(
		auth_limits_delay(limits, "192.0.2.1", "c@x", NOW), 250);
	assert_int_equal(
		auth_limits_delay(limits, "192.0.2.1", "c@x", NOW + 500), 0);
	assert_int_equal(auth_limits_delay(limits, "192.0.2.2", "b@x", NOW), 0);
	/* Each is forgotten after a minute. */
	assert_int_equal(
		auth_limits_delay(limits, "192.0.2.1", "b@x", NOW + MINUTE), 0);
	assert_int_equal(
		auth_limits_delay(limits, "192.0.2.1", "b@x", NOW + MINUTE), 0);
	wrong(limits, "192.0.2.1", "a@x", 1000, NOW);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(auth_limits_delay(limits, "192.0.2.1", "b@x",
					 NOW + MINUTE),
			waits_ms[i]);
	assert_int_equal(auth_limits_delay(limits, "192.0.2.1", "b@x",
				 NOW + LIMITS_FAILURES_MAX * MINUTE),
		0);
}

static void
test_networks(void **state)
{
	const struct auth_limits *limits = *state;

	wrong(limits, "2001:db8::1", "a@x", 5, NOW);
	(void)auth_limits_delay(limits, "2001:db8::2", "b@x", NOW);
	assert_int_equal(
		auth_limits_delay(limits, "2001:db8::3", "b@x", NOW), 250);
	assert_int_equal(
		auth_limits_delay(limits, "2001:db8:0:1::3", "b@x", NOW), 0);
	assert_int_equal(auth_limits_delay(limits, "unknown", "b@x", NOW), 0);
}

static void
test_names(void **state)
{
	const struct auth_limits *limits = *state;
	char client[40];

	/* From many addresses, so that none of them is slowed down. */
	for (unsigned i = 0; i < 9; i++) {
		snprintf(client, sizeof client, "198.51.100.%u", i);
		wrong(limits, client, "A@x", 1, NOW);
	}
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(
			auth_limits_delay(limits, "192.0.2.1", "a@X", NOW),
			100);
	wrong(limits, "203.0.113.1", "a@x", 100, NOW);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(
			auth_limits_delay(limits, "192.0.2.1", "a@x", NOW),
			LIMITS_NAME_MAX_MS);
	assert_int_equal(auth_limits_delay(limits, "192.0.2.1", "b@x", NOW), 0);
}

static void
test_known(void **state)
{
	const struct auth_limits *limits = *state;

	auth_limits_note(limits, "192.0.2.1", "a@x", true, NOW);
	wrong(limits, "192.0.2.1", "b@x", 100, NOW);
	wrong(limits, "192.0.2.2", "a@x", 100, NOW);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(
			auth_limits_delay(limits, "192.0.2.1", "a@x", NOW), 0);
	wrong(limits, "192.0.2.1", "a@x", LIMITS_KNOWN_FAILURES, NOW);
	assert_int_equal(auth_limits_delay(limits, "192.0.2.1", "a@x", NOW), 0);
	wrong(limits, "192.0.2.1", "a@x", 1, NOW);
	assert_true(auth_limits_delay(limits, "192.0.2.1", "a@x", NOW) > 0);
	auth_limits_note(limits, "192.0.2.1", "a@x", true, NOW);
	assert_int_equal(auth_limits_delay(limits, "192.0.2.1", "a@x", NOW), 0);
}

/* A flood of names and addresses: what counts most stays. */
static void
test_flood(void **state)
{
	const struct auth_limits *limits = *state;
	char client[40], name[40];

	wrong(limits, "192.0.2.1", "a@x", 30, NOW);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(client, sizeof client, "10.%u.%u.%u", i >> 16,
			i >> 8 & 255, i & 255);
		snprintf(name, sizeof name, "n%u@x", i);
		wrong(limits, client, name, 1, NOW + i / 100);
	}
	(void)auth_limits_delay(limits, "192.0.2.1", "b@x", NOW + 1000);
	assert_true(
		auth_limits_delay(limits, "192.0.2.1", "b@x", NOW + 1000) > 0);
}

static void
test_slots(void **state)
{
	const struct auth_limits *limits = *state;
	pid_t child[2];
	int ready[2], status;
	char octet;

	assert_int_equal(pipe(ready), 0);
	for (unsigned i = 0; i < 2; i++) {
		child[i] = fork();
		assert_true(child[i] >= 0);
		if (child[i] == 0) {
			if (auth_limits_take_slot(
				    limits, deadline_after_ms(5000)) < 0 ||
				write(ready[1], "x", 1) != 1)
				_exit(1);
			pause();
			_exit(0);
		}
		assert_int_equal(read(ready[0], &octet, 1), 1);
	}
	errno = 0;
	assert_int_equal(auth_limits_take_slot(limits, deadline_now_ms()), -1);
	assert_int_equal(errno, ETIMEDOUT);
	/* It ends with its process. */
	kill(child[0], SIGKILL);
	assert_int_equal(waitpid(child[0], &status, 0), child[0]);
	int slot = auth_limits_take_slot(limits, deadline_after_ms(5000));
	assert_int_equal(slot, 0);
	auth_limits_give_slot(limits, slot);
	kill(child[1], SIGKILL);
	assert_int_equal(waitpid(child[1], &status, 0), child[1]);
	close(ready[0]);
	close(ready[1]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_addresses),
		TEST(test_networks),
		TEST(test_names),
		TEST(test_known),
		TEST(test_flood),
		TEST(test_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
