/*
 * Internationalized domain names: U-labels become A-labels, and what is none is
 * refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "remote/idn.h"

static const struct {
	const char *domain, *ascii; /* NULL: it is none */
} ROWS[] = {
	{"example.org", "example.org"},
	{"EXAMPLE.org", "example.org"},
	{"b\303\274cher.example", "xn--bcher-kva.example"},
	/* case, and letters that are made of two */
	{"B\303\234CHER.example", "xn--bcher-kva.example"},
	{"bu\314\210cher.example", "xn--bcher-kva.example"},
	/* a name of its own: not the one with "ss" */
	{"fa\303\237.example", "xn--fa-hia.example"},
	{"xn--bcher-kva.example", "xn--bcher-kva.example"},
	{"mail.b\303\274cher.example", "mail.xn--bcher-kva.example"},
	{"\327\251\327\234\327\225\327\235.example", "xn--9dbne9b.example"},
	/* an ideographic full stop divides labels */
	{"a\343\200\202b\303\274cher.example", "a.xn--bcher-kva.example"},
	/* letters of two directions in a label */
	{"\327\220a.example", NULL},
	{"xn--a\303\274.example", NULL},
	{"xn--a.example", NULL},
	{"-\303\274.example", NULL},
	{"\303\274..example", NULL},
	{"\342\200\215.example", NULL},
	{"b\303\274cher.exa mple", NULL},
	{"", NULL},
};

static void
test_rows(void **state)
{
	char ascii[IDN_ASCII_MAX + 1], why[100];
	int is_temporary;

	(void)state;
	for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		why[0] = 0;
		int got = idn_to_ascii(
			ROWS[i].domain, ascii, &is_temporary, why, sizeof why);

		assert_int_equal(is_temporary, 0);
		if (ROWS[i].ascii == NULL) {
			if (got == 0)
				fail_msg("%s: %s", ROWS[i].domain, ascii);
			assert_true(why[0] != 0);
			continue;
		}
		if (got < 0)
			fail_msg("%s: %s", ROWS[i].domain, why);
		assert_string_equal(ascii, ROWS[i].ascii);
	}
}

/* As many octets as fit into a question, and labels that become too long. */
static void
test_long(void **state)
{
	char domain[256], ascii[IDN_ASCII_MAX + 1], why[100];
	int is_temporary;

	(void)state;
	memset(domain, 'a', sizeof domain);
	domain[255] = 0;
	memcpy(domain, "\303\274", 2);
	assert_int_equal(
		idn_to_ascii(domain, ascii, &is_temporary, why, sizeof why),
		-1);
	for (size_t i = 2; i < 255; i++)
		if (i % 50 == 0)
			domain[i] = '.';
	assert_int_equal(
		idn_to_ascii(domain, ascii, &is_temporary, why, sizeof why),
		-1);
	domain[200] = 0;
	assert_int_equal(
		idn_to_ascii(domain, ascii, &is_temporary, why, sizeof why), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
