/*
 * The files that addresses come from: users/assign, files of aliases, and lines of
 * user-import. What is accepted, with what meaning, and what is refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "local/aliases.h"
#include "local/assign.h"
#include "tools/users_line.h"

static void
test_assign(void **state)
{
	static const char *const BAD[] = {"ann", "=ann:ann:1000:1000:/h",
		"=ann:ann:0:1000:/h:::", "=ann:ann:x:1000:/h:::",
		"=ann:ann:1000:1000:h:::", "?ann:ann:1000:1000:/h:::"};
	struct assign assign;
	char name[ADDRESS_LOCAL_MAX + 1], why[300];
	const char *line = "+List-:ann:1001:1002:/home/ann:-:l-:";

	(void)state;
	assert_int_equal(assign_line_scan(line, strlen(line), &assign, name,
				 why, sizeof why),
		ASSIGN_ENTRY);
	assert_string_equal(name, "list-");
	assert_true(assign.is_wildcard);
	assert_string_equal(assign.user, "ann");
	assert_int_equal(assign.uid, 1001);
	assert_int_equal(assign.gid, 1002);
	assert_string_equal(assign.home, "/home/ann");
	assert_string_equal(assign.dash, "-");
	assert_string_equal(assign.extension, "l-");
	assert_int_equal(
		assign_line_scan("", 0, &assign, name, why, sizeof why),
		ASSIGN_NOTHING);
	assert_int_equal(
		assign_line_scan(".", 1, &assign, name, why, sizeof why),
		ASSIGN_END);
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
		why[0] = 0;
		if (assign_line_scan(BAD[i], strlen(BAD[i]), &assign, name, why,
			    sizeof why) != ASSIGN_BAD)
			fail_msg("accepted: %s", BAD[i]);
		assert_true(why[0] != 0);
	}
}

static int
scan_alias(const char *text, struct alias *alias, char why[300])
{
	why[0] = 0;
	return aliases_scan(text, strlen(text), alias, why, 300);
}

static void
test_aliases(void **state)
{
	static const char *const BAD[] = {"a", ": b", "a:", "a: |program",
		"a: /file", "a: a", "a: :include:relative"};
	struct alias alias;
	char why[300];

	(void)state;
	assert_int_equal(
		scan_alias("Both: ann,\n\tbob@x.test", &alias, why), 1);
	assert_string_equal(alias.name, "both");
	assert_string_equal(alias.targets, "ann\nbob@x.test");
	assert_int_equal(scan_alias("list: :include:/etc/l", &alias, why), 1);
	assert_string_equal(alias.targets, ":include:/etc/l");
	assert_int_equal(scan_alias("# a: b", &alias, why), 0);
	assert_int_equal(scan_alias("  ", &alias, why), 0);
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
		if (scan_alias(BAD[i], &alias, why) != -1)
			fail_msg("accepted: %s", BAD[i]);
		assert_true(why[0] != 0);
	}
}

static void
test_users_line(void **state)
{
	static const char *const BAD[] = {"user", "user\tx", "what\ta@v.test",
		"user\ta@v.test\tquota=x", "user\ta@v.test\towner=0:1",
		"user\ta@v.test\tto=x", "alias\ta@v.test"};
	struct users_line line;
	char why[300], text[USERS_LINE_MAX];
	const char *whole = "user\ta@v.test\towner=1000:1001\thome=/h/a\t"
			    "quota=10\tmessages=3\tto=b@v.test\tcopy";

	(void)state;
	assert_int_equal(users_line_scan(whole, &line, why, sizeof why), 1);
	assert_string_equal(line.account.name, "a@v.test");
	assert_int_equal(line.account.uid, 1000);
	assert_int_equal(line.account.gid, 1001);
	assert_string_equal(line.account.home, "/h/a");
	assert_int_equal(line.account.quota_octets, 10);
	assert_int_equal(line.account.quota_messages, 3);
	assert_string_equal(line.account.targets, "b@v.test");
	assert_int_equal(line.account.flags, ACCOUNT_KEEPS_COPY);
	assert_false(line.has_secret);
	assert_int_equal(
		users_line_write(text, sizeof text, &line.account, NULL), 0);
	text[strcspn(text, "\n")] = 0;
	assert_int_equal(users_line_scan(text, &line, why, sizeof why), 1);
	assert_int_equal(line.account.quota_messages, 3);
	assert_int_equal(users_line_scan("# x", &line, why, sizeof why), 0);
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
		why[0] = 0;
		if (users_line_scan(BAD[i], &line, why, sizeof why) != -1)
			fail_msg("accepted: %s", BAD[i]);
		assert_true(why[0] != 0);
	}
}

static void
test_sizes(void **state)
{
	uint64_t octets;

	(void)state;
	assert_int_equal(users_scan_size("17", &octets), 0);
	assert_int_equal(octets, 17);
	assert_int_equal(users_scan_size("2M", &octets), 0);
	assert_int_equal(octets, 2 << 20);
	assert_int_equal(users_scan_size("", &octets), -1);
	assert_int_equal(users_scan_size("-1", &octets), -1);
	assert_int_equal(users_scan_size("1X", &octets), -1);
	assert_int_equal(users_scan_size("99999999999999T", &octets), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_assign),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_users_line),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
