/*
 * xtext: what it stands for, and what is none.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "lib/xtext.h"

static const struct {
	const char *text, *plain; /* NULL: it is none */
} ROWS[] = {
	{"", ""},
	{"a@b.test", "a@b.test"},
	{"a+2Bb+3Dc", "a+b=c"},
	{"+41+7e+20", "A~ "},
	{"a=b", NULL},
	{"a b", NULL},
	{"a\177", NULL},
	{"a\303\274", NULL},
	{"+", NULL},
	{"+4", NULL},
	{"+4G", NULL},
	{"+0A", NULL},
	{"+7F", NULL},
	{"+C3", NULL},
};

static void
test_decode(void **state)
{
	char plain[40];

	(void)state;
	for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		size_t len = strlen(ROWS[i].text);
		long got = xtext_decode(plain, sizeof plain, ROWS[i].text, len);

		if (ROWS[i].plain == NULL) {
			assert_int_equal(got, -1);
			continue;
		}
		assert_string_equal(plain, ROWS[i].plain);
		assert_int_equal(got, strlen(plain));
		assert_int_equal(xtext_is_envid(ROWS[i].text, len), len > 0);
	}
	assert_int_equal(xtext_decode(plain, 3, "abc", 3), -1);
	assert_int_equal(xtext_decode(plain, 4, "abc", 3), 3);
}

static void
test_encode(void **state)
{
	static const struct {
		const char *text, *xtext; /* NULL: it cannot be written */
	} rows[] = {{"", ""}, {"a@b.test", "a@b.test"}, {"a+b=c", "a+2Bb+3Dc"},
		{"\"a b\"@c", "\"a+20b\"@c"}, {"a\n", NULL}, {"a\177", NULL},
		{"\303\274", NULL}};
	char buffer[20], plain[20];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		size_t len = strlen(rows[i].text);
		long got =
			xtext_encode(buffer, sizeof buffer, rows[i].text, len);

		if (rows[i].xtext == NULL) {
			assert_int_equal(got, -1);
			continue;
		}
		assert_string_equal(buffer, rows[i].xtext);
		assert_int_equal(got, strlen(buffer));
		assert_int_equal(
			xtext_decode(plain, sizeof plain, buffer, (size_t)got),
			len);
		assert_string_equal(plain, rows[i].text);
	}
	assert_int_equal(xtext_encode(buffer, 3, "abc", 3), -1);
	assert_int_equal(xtext_encode(buffer, 4, "abc", 3), 3);
	assert_int_equal(xtext_encode(buffer, 3, "+", 1), -1);
	assert_int_equal(xtext_encode(buffer, 4, "+", 1), 3);
	assert_int_equal(xtext_encode(buffer, 0, "", 0), -1);
}

static void
test_orcpt(void **state)
{
	static const struct {
		const char *text;
		size_t type;
	} rows[] = {{"rfc822;a", 6}, {"x-y;+2B", 3}, {"a;b;c", 1}, {"a;", 0},
		{";a", 0}, {"a", 0}, {"", 0}, {"a b;c", 0}, {"a@b;c", 0},
		{"a;b c", 0}, {"a;+0A", 0}, {"\303\274;c", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(
			xtext_orcpt_type(rows[i].text, strlen(rows[i].text)),
			rows[i].type);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_orcpt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
