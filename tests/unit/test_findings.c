/* setup/findings.h: words of a shell, commands, and what the results add up to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "setup/findings.h"

static void
words(void **state)
{
	static const char *const known[][2] = {
		{"/var/lib/keepmail", "/var/lib/keepmail"},
		{"", "''"},
		{"a b", "'a b'"},
		{"$(x)", "'$(x)'"},
		{"it's", "'it'\\''s'"},
		{"a\nb", "'a\nb'"},
		{"*", "'*'"},
		{"~", "'~'"},
	};
	char word[64], small[8];

	(void)state;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		assert_string_equal(
			findings_word(known[i][0], word, sizeof word),
			known[i][1]);
	assert_string_equal(findings_word("eightoct", small, sizeof small), "");
	assert_string_equal(
		findings_word("seven_8", small, sizeof small), "seven_8");
	assert_string_equal(findings_word("a b", small, sizeof small), "");
}

static void
commands(void **state)
{
	char mend[FINDINGS_TEXT_MAX], text[FINDINGS_TEXT_MAX];

	(void)state;
	assert_string_equal(findings_mend(mend, "chmod %04o %s", 0644U, "x"),
		"chmod 0644 x");
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	assert_string_equal(findings_mend(mend, "%s", text), text);
	/* half a command might do something else */
	assert_string_equal(findings_mend(mend, "rm %s", text), "");
}

static void
sums(void **state)
{
	struct findings findings;

	(void)state;
	findings_start(&findings, false);
	findings.is_silent = true;
	assert_int_equal(findings.worst, FINDING_OK);
	findings_tell(&findings, FINDING_WARN, "a", NULL, "x");
	findings_tell(&findings, FINDING_CHANGED, "a", NULL, "x");
	assert_int_equal(findings.worst, FINDING_WARN);
	findings.took_ms = 3;
	findings_tell(&findings, FINDING_FAIL, "a", NULL, "x");
	assert_int_equal(findings.took_ms, -1);
	assert_int_equal(findings.worst, FINDING_FAIL);
	assert_int_equal(findings.count[FINDING_FAIL], 1);
	assert_int_equal(findings.count[FINDING_OK], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(commands),
		cmocka_unit_test(sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
