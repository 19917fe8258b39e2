/* Addresses that do not answer: what is believed, for how long, and what is shown. */
#include "remote/dead.h"
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define BEGIN_MS 1000000

static struct sockaddr_storage
address_of(const char *ip, uint16_t port)
{
	struct sockaddr_storage address = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	int family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;

	address.ss_family = (sa_family_t)family;
	if (family == AF_INET6)
		v6->sin6_port = htons(port);
	else
		v4->sin_port = htons(port);
	assert_int_equal(1, inet_pton(family, ip,
				    family == AF_INET6 ? (void *)&v6->sin6_addr
						       : &v4->sin_addr));
	return address;
}

/* A connection begun then, of which the event is told now. */
static const struct dead *
take(struct dead_table *table, const char *ip, enum dead_event event,
	int64_t begun_ms, int64_t now_ms)
{
	struct sockaddr_storage address = address_of(ip, 25);
	struct dead_note note, read;

	dead_tell(&address, event, begun_ms, &note);
	assert_int_equal(0, dead_read(&note, sizeof note, &read));
	return dead_take(table, &read, now_ms, 0);
}

static const struct dead *
find(const struct dead_table *table, const char *ip, uint16_t port)
{
	struct sockaddr_storage address = address_of(ip, port);

	return dead_find(table, &address);
}

static void
forget(struct dead_table *table)
{
	struct dead_key all = {0};

	(void)dead_clear(table, &all);
	assert_null(table->first);
	assert_int_equal(0, table->count);
}

/* One thing wrong in each. */
static void
test_refused(void **state)
{
	struct sockaddr_storage address = address_of("192.0.2.1", 25);
	struct dead_note good, note, read;

	(void)state;
	dead_tell(&address, DEAD_FAILED, 7, &good);
	assert_int_equal(0, dead_read(&good, sizeof good, &read));
	assert_int_equal(-1, dead_read(&good, sizeof good - 1, &read));
	for (int wrong = 0; wrong < 9; wrong++) {
		note = good;
		switch (wrong) {
		case 0:
			note.magic++;
			break;
		case 1:
			note.event = 0;
			break;
		case 2:
			note.event = DEAD_ANSWERED + 1;
			break;
		case 3:
			note.key.family = 0;
			break;
		case 4:
			note.key.family = 5;
			break;
		case 5:
			note.key.port = 0;
			break;
		case 6:
			note.key.port = 65536;
			break;
		case 7:
			note.key.address[15] = 1;
			break;
		default:
			note.begun_ms = -1;
		}
		if (dead_read(&note, sizeof note, &read) == 0)
			fail_msg("row %d is taken", wrong);
	}
}

/* Two failures, of which the second was begun after the first was known. */
static void
test_twice(void **state)
{
	struct dead_table table = {0};
	int64_t now_ms = BEGIN_MS;

	(void)state;
	assert_null(
		take(&table, "192.0.2.1", DEAD_FAILED, now_ms - 60, now_ms));
	assert_false(dead_is_out(find(&table, "192.0.2.1", 25), now_ms));
	/* another's, at the same time */
	now_ms += 10;
	assert_null(
		take(&table, "192.0.2.1", DEAD_FAILED, now_ms - 60, now_ms));
	assert_false(dead_is_out(find(&table, "192.0.2.1", 25), now_ms));
	now_ms += 60;
	assert_non_null(
		take(&table, "192.0.2.1", DEAD_FAILED, now_ms - 60, now_ms));
	assert_true(dead_is_out(find(&table, "192.0.2.1", 25), now_ms));
	assert_null(find(&table, "192.0.2.1", 26));
	assert_null(find(&table, "192.0.2.2", 25));
	assert_null(find(&table, "c000:201::", 25));
	/* any answer ends it */
	assert_null(
		take(&table, "192.0.2.1", DEAD_ANSWERED, now_ms, now_ms + 1));
	assert_null(find(&table, "192.0.2.1", 25));
	forget(&table);
}

/* Twice as long after each failure, up to the last; tried by one after that. */
static void
test_time(void **state)
{
	static const int64_t minutes[] = {5, 10, 20, 40, 60, 60};
	struct dead_table table = {0};
	int64_t now_ms = BEGIN_MS;

	(void)state;
	(void)take(&table, "2001:db8::1", DEAD_FAILED, now_ms, now_ms);
	for (size_t i = 0; i < sizeof minutes / sizeof minutes[0]; i++) {
		const struct dead *dead = take(
			&table, "2001:db8::1", DEAD_FAILED, now_ms, now_ms);

		assert_non_null(dead);
		int64_t end_ms = now_ms + minutes[i] * 60000;
		assert_int_equal(end_ms, dead->until_ms);
		assert_false(dead_may_probe(dead, now_ms + DEAD_PROBE_MS - 1));
		assert_true(dead_may_probe(dead, now_ms + DEAD_PROBE_MS));
		assert_true(dead_is_out(dead, end_ms - 1));
		assert_false(dead_is_out(dead, end_ms));
		(void)take(&table, "2001:db8::1", DEAD_TRIED, end_ms, end_ms);
		assert_true(dead_is_out(dead, end_ms));
		assert_false(dead_may_probe(dead, end_ms));
		assert_false(dead_is_out(dead, end_ms + DEAD_PROBE_MS));
		now_ms = end_ms + 1;
	}
	/* long after, it is as if nothing had been */
	now_ms += DEAD_LAST_MS + DEAD_FORGET_MS;
	assert_null(take(&table, "2001:db8::1", DEAD_FAILED, now_ms, now_ms));
	assert_int_equal(1, find(&table, "2001:db8::1", 25)->failures);
	forget(&table);
}

static void
test_spread(void **state)
{
	struct sockaddr_storage address = address_of("192.0.2.1", 25);
	struct dead_table table = {0};
	struct dead_note note;

	(void)state;
	dead_tell(&address, DEAD_FAILED, BEGIN_MS, &note);
	for (uint32_t random = 0; random < 4000000000u; random += 123456789u) {
		(void)dead_take(&table, &note, BEGIN_MS, random);
		const struct dead *dead =
			dead_take(&table, &note, BEGIN_MS, random);
		assert_non_null(dead);
		assert_in_range(dead->until_ms - BEGIN_MS, DEAD_FIRST_MS,
			DEAD_FIRST_MS + DEAD_FIRST_MS / 4);
		forget(&table);
	}
}

static void
test_bound(void **state)
{
	struct dead_table table = {0};
	char ip[32];

	(void)state;
	(void)take(&table, "192.0.2.1", DEAD_FAILED, BEGIN_MS, BEGIN_MS);
	(void)take(&table, "192.0.2.1", DEAD_FAILED, BEGIN_MS, BEGIN_MS);
	for (unsigned i = 0; i < DEAD_MAX + 50; i++) {
		snprintf(ip, sizeof ip, "2001:db8::%x", i);
		(void)take(&table, ip, DEAD_FAILED, BEGIN_MS + i, BEGIN_MS + i);
	}
	assert_int_equal(DEAD_MAX, table.count);
	assert_non_null(find(&table, "192.0.2.1", 25));
	assert_null(find(&table, "2001:db8::0", 25));
	forget(&table);
}

/* What is asked and answered. */
static void
test_questions(void **state)
{
	struct dead_question question = {
		.magic = DEAD_ASK_MAGIC, .operation = DEAD_LIST};
	struct dead_answer *answer = calloc(1, sizeof *answer);
	struct dead_table table = {0};
	struct dead_question read;
	char text[64];

	(void)state;
	assert_non_null(answer);
	for (int twice = 0; twice < 2; twice++) {
		(void)take(&table, "192.0.2.1", DEAD_FAILED, 60000, 60000);
		(void)take(&table, "2001:db8::1", DEAD_FAILED, 60000, 60000);
	}
	(void)take(&table, "192.0.2.9", DEAD_FAILED, 60000, 60000);
	assert_int_equal(
		0, dead_question_read(&question, sizeof question, &read));
	size_t len = dead_answer(&table, &read, 90000, 1000, answer);
	assert_true(dead_answer_is_sound(answer, len, &read));
	assert_false(dead_answer_is_sound(answer, len - 1, &read));
	assert_int_equal(2, answer->count);
	dead_text(&answer->row[0].key, text, sizeof text);
	assert_string_equal("2001:db8::1", text);
	assert_int_equal(970, answer->row[0].since_s);
	assert_int_equal(1270, answer->row[0].until_s);
	/* a listing names nothing, clearing no port */
	assert_int_equal(0, dead_scan("192.0.2.9", &question.key));
	assert_int_equal(
		-1, dead_question_read(&question, sizeof question, &read));
	question.operation = DEAD_CLEAR;
	question.key.port = 25;
	assert_int_equal(
		-1, dead_question_read(&question, sizeof question, &read));
	question.key.port = 0;
	assert_int_equal(
		0, dead_question_read(&question, sizeof question, &read));
	len = dead_answer(&table, &read, 90000, 1000, answer);
	assert_true(dead_answer_is_sound(answer, len, &read));
	assert_int_equal(1, answer->count);
	assert_null(find(&table, "192.0.2.9", 25));
	assert_int_equal(2, table.count);
	assert_int_equal(-1, dead_scan("192.0.2.9.1", &question.key));
	assert_int_equal(-1, dead_scan("", &question.key));
	forget(&table);
	free(answer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
