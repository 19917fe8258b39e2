/* Tables of domains with qmail's meaning. */
#include "lib/domains.h"
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

static int
add(struct domains *domains, const char *line)
{
	return domains_add(domains, line, strlen(line));
}

static int
has(const struct domains *domains, const char *domain)
{
	return domains_has(domains, domain, strlen(domain));
}

static void
test_meaning(void **state)
{
	static const char *const LINES[] = {"example.org", ".Sub.Example.NET",
		"  localhost \t\r\n", "[192.0.2.1]", "[IPv6:2001:db8::1]", "",
		"   ", "# comment", "example.org", ".org.test"};
	static const struct {
		const char *domain;
		int expected;
	} ROWS[] = {
		{"example.org", 1},
		{"EXAMPLE.ORG", 1},
		{"www.example.org", 0},
		{"xexample.org", 0},
		{"example.or", 0},
		{"sub.example.net", 0},
		{"a.sub.example.net", 1},
		{"b.A.SUB.example.net", 1},
		{"xsub.example.net", 0},
		{"example.net", 0},
		{"localhost", 1},
		{"org.test", 0},
		{"x.org.test", 1},
		{"[192.0.2.1]", 1},
		{"192.0.2.1", 0},
		{"[192.0.2.2]", 0},
		{"[ipv6:2001:DB8::1]", 1},
		{"", 0},
		{".", 0},
		{"# comment", 0},
		{"comment", 0},
		{"..", 0},
		{".sub.example.net", 0},
	};
	struct domains domains = DOMAINS_ZERO;
	size_t i;

	(void)state;
	assert_false(has(&domains, "example.org"));
	for (i = 0; i < LENGTH(LINES); i++)
		assert_int_equal(0, add(&domains, LINES[i]));
	assert_int_equal(6, domains.entries);
	for (i = 0; i < LENGTH(ROWS); i++)
		if (has(&domains, ROWS[i].domain) != ROWS[i].expected)
			fail_msg("%s", ROWS[i].domain);
	domains_free(&domains);
	domains_free(&domains);
	assert_false(has(&domains, "example.org"));
}

static void
test_refused(void **state)
{
	static const char *const BAD[] = {"a b", "example.org.", "..org", ".",
		"*.org", "user@example.org", "[1.2.3]", "a:b", "a/b",
		".[1.2.3.4]", "\303\251.org"};
	struct domains domains = DOMAINS_ZERO;
	size_t i;

	(void)state;
	for (i = 0; i < LENGTH(BAD); i++) {
		errno = 0;
		if (add(&domains, BAD[i]) != -1 || errno != EINVAL)
			fail_msg("accepted: %s", BAD[i]);
	}
	assert_int_equal(-1, domains_put(&domains, "a", 1, "x\0y", 3));
	assert_int_equal(-1, domains_put(&domains, " a", 2, "", 0));
	assert_int_equal(-1, domains_add(&domains, "a\0b", 3));
	assert_int_equal(0, domains.entries);
	domains_free(&domains);
}

static const char *
find(const struct domains *domains, const char *domain)
{
	const char *value = domains_find(domains, domain, strlen(domain));

	return value != NULL ? value : "(none)";
}

static void
test_values(void **state)
{
	struct domains domains = DOMAINS_ZERO;

	(void)state;
	domains_put(&domains, "a.example", 9, "one", 3);
	domains_put(&domains, ".a.example", 10, "two", 3);
	domains_put(&domains, ".example", 8, "three", 5);
	domains_put(&domains, "b.example", 9, "", 0);
	domains_put(&domains, "A.Example", 9, "late", 4);
	assert_string_equal("one", find(&domains, "a.example"));
	assert_string_equal("two", find(&domains, "x.a.example"));
	assert_string_equal("two", find(&domains, "y.x.A.example"));
	assert_string_equal("three", find(&domains, "c.example"));
	assert_string_equal("", find(&domains, "b.example"));
	assert_string_equal("(none)", find(&domains, "example"));
	assert_string_equal("(none)", find(&domains, "[1.2.3.4]"));
	domains_put(&domains, "", 0, "default", 7);
	assert_string_equal("default", find(&domains, "example"));
	assert_string_equal("default", find(&domains, "[1.2.3.4]"));
	assert_string_equal("one", find(&domains, "a.example"));
	domains_free(&domains);
}

static void
test_many(void **state)
{
	struct domains domains = DOMAINS_ZERO;
	char name[64];
	size_t i;

	(void)state;
	for (i = 0; i < 50000; i++) {
		snprintf(name, sizeof name, "%sd%zu.example", i % 2 ? "." : "",
			i);
		assert_int_equal(0, add(&domains, name));
	}
	assert_int_equal(50000, domains.entries);
	for (i = 0; i < 50000; i++) {
		snprintf(name, sizeof name, "d%zu.example", i);
		assert_int_equal(i % 2 == 0, has(&domains, name));
		snprintf(name, sizeof name, "x.d%zu.example", i);
		assert_int_equal(i % 2 == 1, has(&domains, name));
	}
	memset(name, 'a', sizeof name);
	assert_false(domains_has(&domains, name, sizeof name));
	domains_free(&domains);
}

/* Longer than any domain: not found, and not copied. */
static void
test_too_long(void **state)
{
	struct domains domains = DOMAINS_ZERO;
	static char name[5000];

	(void)state;
	memset(name, '.', sizeof name);
	assert_int_equal(0, domains_put(&domains, "", 0, "x", 1));
	assert_null(domains_find(&domains, name, sizeof name));
	assert_int_equal(-1, domains_add(&domains, name, sizeof name));
	domains_free(&domains);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meaning),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
