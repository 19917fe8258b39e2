#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "compat/rewrite.h"

static const struct rewrite rules = {
	.host = "mail", .domain = "heaven.test", .plus = "plus.test"};

static const struct {
	const char *in, *out;
} cases[] = {
	{"", ""},
	{"joe", "joe@mail.heaven.test"},
	{" joe ", " joe@mail.heaven.test"},
	{"joe@a.test", "joe@a.test"},
	{"joe@a", "joe@a.heaven.test"},
	{"joe@a+", "joe@a.plus.test"},
	{"joe@a.b+", "joe@a.b.plus.test"},
	{"joe@a.test.", "joe@a.test"},
	{"joe@", "joe@mail.heaven.test"},
	{"<>", "<>"},
	{"<joe>", "<joe@mail.heaven.test>"},
	{"<@r.test,@s.test:joe@a>", "<joe@a.heaven.test>"},
	{"joe@[192.0.2.1]", "joe@[192.0.2.1]"},
	{"joe@[]", "joe@[]"},
	{"Joe User <joe@a>, ann@b.test (Ann)",
		"Joe User <joe@a.heaven.test>, ann@b.test (Ann)"},
	{"joe (Joe, \\) User), \"a, b\" <c>",
		"joe@mail.heaven.test (Joe, \\) User), "
		"\"a, b\" <c@mail.heaven.test>"},
	{"joe @ a . test", "joe @ a . test"},
	{"joe @ a", "joe@a.heaven.test"},
	{"\"a@b\"", "\"a@b\"@mail.heaven.test"},
	{"\"a b\"@c", "\"a b\"@c.heaven.test"},
	{"team: joe, ann@b;, x", "team: joe@mail.heaven.test, "
				 "ann@b.heaven.test;, x@mail.heaven.test"},
	{"nobody:;", "nobody:;"},
	{"a,\n\tb", "a@mail.heaven.test,\n\tb@mail.heaven.test"},
	{"Joe User", "Joe User"},
	{"(open", "(open"},
	{"\"open", "\"open@mail.heaven.test"},
	{"<open", "<open@mail.heaven.test"},
	{"a\\", "a\\@mail.heaven.test"},
};

static void
test_rewrite(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		stralloc into = STRALLOC_ZERO;

		assert_int_equal(rewrite_list(&rules, cases[i].in,
					 strlen(cases[i].in), &into),
			0);
		assert_true(stralloc_0(&into));
		assert_string_equal(into.s, cases[i].out);
		stralloc_free(&into);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rewrite)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
