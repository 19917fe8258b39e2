/*
 * libowfat by the door: its functions and skalibs' work side by side in one
 * program, each on its own kind, and what libowfat's headers call pure stores.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <skalibs/stralloc.h>
#include "lib/ow.h"

static void
test_both_libraries(void **state)
{
	stralloc text = STRALLOC_ZERO;
	char encoded[16];

	(void)state;
	assert_true(stralloc_append(&text, 'x'));
	assert_true(stralloc_append(&text, 'y'));
	assert_int_equal(text.len, 2);
	assert_memory_equal(text.s, "xy", 2);
	assert_int_equal(fmt_base64(encoded, text.s, text.len), 4);
	assert_memory_equal(encoded, "eHk=", 4);
	stralloc_free(&text);
	assert_null(text.s);
}

static void
test_base64_needs_its_length(void **state)
{
	static const struct {
		const char *text;
		size_t read, length;
	} row[] = {
		{"aGVsbG8=", 8, 5},
		{"aGVs bG8=", 4, 3}, /* stops at the blank */
		{"", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		char plain[16];
		size_t length = 99;

		assert_int_equal(
			scan_base64(row[i].text, plain, &length), row[i].read);
		assert_int_equal(length, row[i].length);
		assert_memory_equal(plain, "hello", length);
	}
}

static void
test_results_are_stored(void **state)
{
	char text[FMT_ULONG] = "old";
	unsigned long number = 0;

	(void)state;
	/* Not asking for the result of the first call: it must still be made. */
	fmt_ulong(text, 12346);
	assert_memory_equal(text, "12346", 5);
	assert_int_equal(scan_ulong("77 ", &number), 2);
	assert_int_equal(number, 77);
	char *payload = NULL;
	size_t length = 0;
	size_t read = scan_netstring("3:abc,", 6, &payload, &length);
	assert_int_equal(read, 6);
	assert_int_equal(length, 3);
	assert_memory_equal(payload, "abc", 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_libraries),
		cmocka_unit_test(test_base64_needs_its_length),
		cmocka_unit_test(test_results_are_stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
