/* Octets made printable. */
#include "lib/escape.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define TEXT(literal) literal, sizeof literal - 1

static const struct row {
	const char *text;
	size_t len;
	const char *hex, *mask, *comment;
} ROWS[] = {
	{TEXT(""), "", "", ""},
	{TEXT("plain text~ "), "plain text~ ", "plain text~ ", "plain text~ "},
	{TEXT("a\r\nb"), "a\\x0d\\x0ab", "a??b", "a??b"},
	{TEXT("\0\t\033\177\200\377"), "\\x00\\x09\\x1b\\x7f\\x80\\xff",
		"??????", "??????"},
	{TEXT("\\x0d"), "\\\\x0d", "\\x0d", "?x0d"},
	{TEXT("(a) \"b\""), "(a) \"b\"", "(a) \"b\"", "?a? ?b?"},
};

static void
test_styles(void **state)
{
	char buffer[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		const struct row *row = &ROWS[i];

		assert_int_equal(strlen(row->hex),
			escape_line(buffer, sizeof buffer, row->text, row->len,
				ESCAPE_HEX));
		assert_string_equal(row->hex, buffer);
		escape_line(buffer, sizeof buffer, row->text, row->len,
			ESCAPE_MASK);
		assert_string_equal(row->mask, buffer);
		escape_line(buffer, sizeof buffer, row->text, row->len,
			ESCAPE_COMMENT);
		assert_string_equal(row->comment, buffer);
	}
}

static void
test_cut(void **state)
{
	char buffer[16];

	(void)state;
	memset(buffer, 'z', sizeof buffer);
	assert_int_equal(0, escape_line(buffer, 1, "abc", 3, ESCAPE_HEX));
	assert_string_equal("", buffer);
	assert_int_equal(3, escape_line(buffer, 4, "abcd", 4, ESCAPE_HEX));
	assert_string_equal("abc", buffer);
	assert_int_equal(1, escape_line(buffer, 5, "a\n", 2, ESCAPE_HEX));
	assert_string_equal("a", buffer);
	assert_int_equal(5, escape_line(buffer, 6, "a\n", 2, ESCAPE_HEX));
	assert_string_equal("a\\x0a", buffer);
	assert_int_equal('z', buffer[6]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_styles),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
