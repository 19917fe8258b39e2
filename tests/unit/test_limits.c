/* The parts of smtpd's limits that decide by themselves: keys, deadlines, what a
 * transcript shows. And the client of countd without its server. */
#include <stdarg.h>
#include <setjmp.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/counter.h"
#include "lib/deadline.h"
#include "smtpd/session.h"

static void
keys(void **state)
{
	static const struct {
		const char *address, *one, *network;
	} row[] = {
		{"192.0.2.77", "a 192.0.2.77", "a 192.0.2.0/24"},
		{"2001:DB8:1:2:3:4:5:6", "a 2001:db8:1:2:3:4:5:6",
			"a 2001:db8:1:2::/64"},
		{"::ffff:192.0.2.77", "a 192.0.2.77", "a 192.0.2.0/24"},
		{"::1", "a ::1", "a ::/64"},
		{"unknown", NULL, NULL},
		{"", NULL, NULL},
		{"192.0.2.1 x", NULL, NULL},
	};
	char key[COUNTER_KEY_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		int result = row[i].one == NULL ? -1 : 0;

		assert_int_equal(
			limits_key(key, "a", row[i].address, false), result);
		if (result == 0)
			assert_string_equal(key, row[i].one);
		assert_int_equal(
			limits_key(key, "a", row[i].address, true), result);
		if (result == 0)
			assert_string_equal(key, row[i].network);
	}
}

/* The deadline in seconds from now, and its rule. */
static void
deadline(const struct session *session, int64_t began_s, uint64_t octets,
	int64_t wanted_s, const char *wanted_rule)
{
	int64_t now_ms = deadline_now_ms();
	const char *rule;
	int64_t deadline_ms = limits_content_deadline(
		session, now_ms - began_s * 1000, octets, &rule);

	assert_string_equal(rule, wanted_rule);
	assert_in_range(deadline_ms - now_ms + 1000000,
		wanted_s * 1000 + 1000000, wanted_s * 1000 + 1002000);
}

static void
deadlines(void **state)
{
	struct session *session = calloc(1, sizeof *session);
	struct limits_settings *settings = &session->limits.settings;

	(void)state;
	session->settings.timeout_s = 300;
	settings->data_rate = 100;
	settings->message_s = 7200;
	deadline(session, 0, 1000, 300, "timeoutsmtpd");
	deadline(session, 10, 0, 290, "dataratemin");
	deadline(session, 10, 500, 295, "dataratemin");
	deadline(session, 10, 2000, 300, "timeoutsmtpd");
	deadline(session, 400, 9000, -10, "dataratemin");
	deadline(session, 7000, UINT64_MAX, 200, "timeoutmessage");
	deadline(session, 7300, 100000000, -100, "timeoutmessage");
	settings->data_rate = 0;
	deadline(session, 1000, 0, 300, "timeoutsmtpd");
	free(session);
}

static void
visible(void **state)
{
	static const struct {
		const char *line;
		bool is_command;
		size_t visible;
	} row[] = {
		{"EHLO a", true, 6},
		{"xyzzy", false, 5},
		{"AUTH PLAIN AGEAYg==", true, 10},
		{"AGEAYg==", false, 0},
		{"", false, 0},
		{"c2VjcmV0", false, 0},
		{"NOOP", true, 4},
		{"xyzzy", false, 5},
		{"auth  LOGIN", true, 11},
		{"dXNlcg==", false, 0},
		{"AUTH", true, 4},
		{"AUTH ", true, 5},
		{"dXNlcg== AUTH", false, 0},
		{"QUIT", true, 4},
	};
	bool is_secret = false;

	(void)state;
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
		assert_int_equal(
			transcript_visible(&is_secret, row[i].line,
				strlen(row[i].line), row[i].is_command),
			row[i].visible);
}

static void
counter_alone(void **state)
{
	char key[COUNTER_KEY_MAX + 2];
	struct counter counter;
	uint64_t total;

	(void)state;
	COUNTER_CLOSED(&counter);
	assert_int_equal(counter_add(&counter, "/nowhere/count", "a", 1, 60,
				 deadline_after_ms(1000), &total),
		-1);
	assert_int_equal(errno, ENOENT);
	memset(key, 'x', sizeof key - 1);
	key[sizeof key - 1] = 0;
	assert_int_equal(counter_add(&counter, "/nowhere/count", key, 1, 60,
				 deadline_after_ms(1000), &total),
		-1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(counter_hold(&counter, "/nowhere/count", "",
				 deadline_after_ms(1000), &total),
		-1);
	assert_int_equal(errno, EINVAL);
	counter_close(&counter);
	counter_close(&counter);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(visible),
		cmocka_unit_test(counter_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
