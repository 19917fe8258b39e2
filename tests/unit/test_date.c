/* Date-times: written, read, and held against the C library. */
#include "lib/date.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static const struct row {
	int64_t time_s;
	const char *text;
} ROWS[] = {
	{0, "Thu, 01 Jan 1970 00:00:00 +0000"},
	{-1, "Wed, 31 Dec 1969 23:59:59 +0000"},
	{1795233906, "Sat, 21 Nov 2026 04:05:06 +0000"},
	{951782400, "Tue, 29 Feb 2000 00:00:00 +0000"},
	{951868800, "Wed, 01 Mar 2000 00:00:00 +0000"},
	{4107542399, "Sun, 28 Feb 2100 23:59:59 +0000"},
	{4107542400, "Mon, 01 Mar 2100 00:00:00 +0000"},
	{2147483648, "Tue, 19 Jan 2038 03:14:08 +0000"},
	{4294967296, "Sun, 07 Feb 2106 06:28:16 +0000"},
	{-2208988800, "Mon, 01 Jan 1900 00:00:00 +0000"},
	{253402300799, "Fri, 31 Dec 9999 23:59:59 +0000"},
};

static void
test_both_ways(void **state)
{
	char text[DATE_OCTETS + 1];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		int64_t time_s = 7;

		date_write(text, ROWS[i].time_s);
		assert_string_equal(ROWS[i].text, text);
		assert_int_equal(0, date_parse(text, DATE_OCTETS, &time_s));
		assert_true(time_s == ROWS[i].time_s);
	}
}

static void
test_extremes(void **state)
{
	char text[DATE_OCTETS + 1];

	(void)state;
	date_write(text, INT64_MIN);
	assert_string_equal("Mon, 01 Jan 1900 00:00:00 +0000", text);
	date_write(text, INT64_MAX);
	assert_string_equal("Fri, 31 Dec 9999 23:59:59 +0000", text);
}

/* Every day from 1900 to 2200, and steps through the rest. */
static void
test_against_library(void **state)
{
	int64_t time_s = -2208988800, step = 86400 + 61;

	(void)state;
	for (; time_s <= 253402300799; time_s += step) {
		char text[DATE_OCTETS + 1], expected[DATE_OCTETS + 8];
		time_t now = (time_t)time_s;
		int64_t back;
		struct tm utc;

		if (time_s > 7258118400)
			step = INT64_C(86400) * 97 + 59;
		gmtime_r(&now, &utc);
		strftime(expected, sizeof expected,
			"%a, %d %b %Y %H:%M:%S +0000", &utc);
		date_write(text, time_s);
		assert_string_equal(expected, text);
		assert_int_equal(0, date_parse(text, DATE_OCTETS, &back));
		assert_true(back == time_s);
	}
}

static void
test_zones(void **state)
{
	int64_t time_s;

	(void)state;
	assert_int_equal(
		0, date_parse("Sat, 21 Nov 2026 04:05:06 +0130", 31, &time_s));
	assert_true(time_s == 1795233906 - 5400);
	assert_int_equal(
		0, date_parse("Sat, 21 Nov 2026 04:05:06 -0800", 31, &time_s));
	assert_true(time_s == 1795233906 + 28800);
}

static void
test_refused(void **state)
{
	static const char *const BAD[] = {
		"",
		"Sun, 21 Nov 2026 04:05:06 +0000",
		"sat, 21 Nov 2026 04:05:06 +0000",
		"Sat, 21 nov 2026 04:05:06 +0000",
		"Sat, 21 Nov 2026 04:05:06 +000",
		"Sat, 21 Nov 2026 04:05:06 +00000",
		"Sat, 21 Nov 2026 04:05:06 GMT  ",
		"Sat, 21 Nov 2026 04:05:06  0000",
		"Sat, 21 Nov 2026 24:05:06 +0000",
		"Sat, 21 Nov 2026 04:60:06 +0000",
		"Sat, 21 Nov 2026 04:05:60 +0000",
		"Sat, 21 Nov 2026 04:05:06 +2400",
		"Sat, 21 Nov 2026 04:05:06 +0060",
		"Sat, 21 Nov 2026 04-05-06 +0000",
		"Sat, +1 Nov 2026 04:05:06 +0000",
		"Sat, 00 Nov 2026 04:05:06 +0000",
		"Tue, 31 Nov 2026 04:05:06 +0000",
		"Mon, 29 Feb 2100 00:00:00 +0000",
		"Sun, 31 Dec 1899 00:00:00 +0000",
	};
	int64_t time_s = 7;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
		if (date_parse(BAD[i], strlen(BAD[i]), &time_s) != -1)
			fail_msg("accepted: %s", BAD[i]);
	assert_true(time_s == 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_against_library),
		cmocka_unit_test(test_zones),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
