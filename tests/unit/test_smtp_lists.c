/* Lists of patterns and of networks: what is a line, and what it matches. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/networks.h"
#include "smtpd/patterns.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define LINES_MAX 8

/* A list of literal lines; line 1 is a remark that was skipped. */
struct lines {
	char text[LINES_MAX][80];
	char *line[LINES_MAX];
	size_t number[LINES_MAX];
	struct setting_list list;
};

static const struct setting_list *
make(struct lines *lines, const char *const *text)
{
	size_t count = 0;

	for (; text[count] != NULL && count < LINES_MAX; count++) {
		strncpy(lines->text[count], text[count], 79);
		lines->text[count][79] = 0;
		lines->line[count] = lines->text[count];
		lines->number[count] = count + 2;
	}
	lines->list =
		(struct setting_list){lines->line, lines->number, count, true};
	return &lines->list;
}

static const struct setting_list *
make_one(struct lines *lines, const char *text)
{
	return make(lines, (const char *const[]){text, NULL});
}

static struct patterns_match
find(const struct setting_list *list, const char *address)
{
	struct path path;

	assert_int_equal(address_mailbox_scan(address, strlen(address),
				 ADDRESS_NULL | ADDRESS_UTF8, &path),
		0);
	return patterns_find_address(list, &path);
}

static struct patterns_match
find_name(const struct setting_list *list, const char *name)
{
	return patterns_find_name(list, name, strlen(name));
}

/* What a pattern, which is a list's only one, does with a text. */
struct match {
	const char *pattern, *text; /* NULL: it is no pattern */
	bool matches;
};

static void
check_matches(const struct match *rows, size_t count, enum patterns_kind kind,
	struct patterns_match (*look)(
		const struct setting_list *, const char *))
{
	struct lines lines;
	char why[300];

	for (size_t i = 0; i < count; i++) {
		const struct setting_list *list =
			make_one(&lines, rows[i].pattern);
		int good = patterns_check(list, kind, "badx", why, sizeof why);

		if ((good == 0) != (rows[i].text != NULL))
			fail_msg("row %zu: %s", i, rows[i].pattern);
		if (rows[i].text == NULL) {
			assert_non_null(strstr(why, "control/badx line 2"));
			continue;
		}
		struct patterns_match match = look(list, rows[i].text);
		if (patterns_refuse(match) != rows[i].matches)
			fail_msg("row %zu: %s", i, rows[i].pattern);
		assert_int_equal(match.line, rows[i].matches ? 2 : 0);
	}
}

static void
addresses_match(void **state)
{
	static const struct match rows[] = {
		{"a@b.test", "a@b.test", true},
		{"A@B.Test", "a@b.test", true},
		{"a@b.test", "A@b.test", true},
		{"a@b.test", "aa@b.test", false},
		{"a@b.test", "a@b.test.more", false},
		{"a@b.test", "a@x.b.test", false},
		{"@b.test", "any@b.test", true},
		{"@b.test", "any@x.b.test", false},
		{"@b.test", "any@xb.test", false},
		{"@.b.test", "any@x.b.test", true},
		{"@.b.test", "any@y.x.b.test", true},
		{"@.b.test", "any@b.test", false},
		{"@.b.test", "any@xb.test", false},
		{"@*.b.test", "any@x.b.test", true},
		{"@*.b.test", "any@b.test", false},
		{"a@.b.test", "a@x.b.test", true},
		{"a@.b.test", "c@x.b.test", false},
		{"a@", "a@any.test", true},
		{"a@", "ab@any.test", false},
		{"a@[192.0.2.1]", "a@[192.0.2.1]", true},
		{"a b@b.test", NULL, false},
		{"@", NULL, false},
		{"b.test", NULL, false},
		{"", NULL, false},
		{"!", NULL, false},
		{"a@b..test", NULL, false},
		{"a@*", NULL, false},
		{"a@*b.test", NULL, false},
		{"a@.", NULL, false},
		{"a@.[192.0.2.1]", NULL, false},
		{"a@x.*.test", NULL, false},
		{"@\xc3\xa4.test", "x@\xc3\xa4.test", true},
		{"@.\xc3\xa4.test", "x@y.\xc3\xa4.test", true},
		{"@\xff.test", NULL, false},
	};

	(void)state;
	check_matches(rows, LENGTH(rows), PATTERNS_ADDRESSES, find);
}

static void
exceptions_win(void **state)
{
	struct lines lines;
	const struct setting_list *list =
		make(&lines, (const char *const[]){"!ann@b.test", "@b.test",
				     "ann@b.test", "!@.b.test", "bob@", NULL});
	char why[300];

	(void)state;
	assert_int_equal(
		patterns_check(list, PATTERNS_ADDRESSES, "x", why, sizeof why),
		0);
	struct patterns_match match = find(list, "ann@b.test");
	assert_false(patterns_refuse(match));
	assert_int_equal(match.line, 3);
	assert_int_equal(match.exception, 2);
	assert_true(patterns_refuse(find(list, "cat@b.test")));
	assert_false(patterns_refuse(find(list, "bob@x.b.test")));
	assert_true(patterns_refuse(find(list, "bob@c.test")));
	assert_false(patterns_refuse(find(list, "")));
}

static void
names_match(void **state)
{
	static const struct match rows[] = {
		{"b.test", "B.TEST", true},
		{"b.test", "b.test.", true},
		{"b.test", "x.b.test", false},
		{".b.test", "x.b.test", true},
		{".b.test", "x.b.test.", true},
		{"*.b.test", "x.b.test", true},
		{".b.test", ".b.test", false},
		{".b.test", "b.test", false},
		{"[192.0.2.1]", "[192.0.2.1]", true},
		{"192.0.2.1", "192.0.2.1", true},
		{"localhost", "localhost", true},
		{"localhost", "", false},
		{"localhost", ".", false},
		{"a@b.test", NULL, false},
		{"*", NULL, false},
		{"a b", NULL, false},
	};

	(void)state;
	check_matches(rows, LENGTH(rows), PATTERNS_NAMES, find_name);
}

static void
networks_match(void **state)
{
	static const struct {
		const char *line, *address;
		bool holds;
	} rows[] = {
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.0/24", "192.0.2.255", true},
		{"192.0.2.0/24", "192.0.3.0", false},
		{"192.0.2.128/25", "192.0.2.127", false},
		{"192.0.2.128/25 required", "192.0.2.128", true},
		{"0.0.0.0/0", "203.0.113.9", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "192.0.2.1", false},
		{"2001:db8::/32", "2001:db8:ffff::1", true},
		{"2001:db8::/32", "2001:db9::1", false},
		{"2001:db8::1", "2001:0DB8:0::1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"::ffff:192.0.2.1", "192.0.2.1", true},
		{"0.0.0.0/0", "unknown", false},
		{"0.0.0.0/0", "", false},
		{"192.0.2.1/33", NULL, false},
		{"192.0.2.1/", NULL, false},
		{"192.0.2.1/024", NULL, false},
		{"192.0.2.1/-1", NULL, false},
		{"192.0.2.1/24", NULL, false},
		{"192.0.2", NULL, false},
		{"2001:db8::/129", NULL, false},
		{"192.0.2.1 never", NULL, false},
		{"192.0.2.1 required optional", NULL, false},
		{"host.test", NULL, false},
	};
	static const char *const words[] = {"required", "optional", NULL};
	struct lines lines;
	const char *word;
	char why[300];

	(void)state;
	for (size_t i = 0; i < LENGTH(rows); i++) {
		const struct setting_list *list =
			make_one(&lines, rows[i].line);
		int good =
			networks_check(list, "proxies", words, why, sizeof why);

		if ((good == 0) != (rows[i].address != NULL))
			fail_msg("row %zu: %s", i, rows[i].line);
		if (good < 0) {
			assert_non_null(strstr(why, "control/proxies line 2"));
			continue;
		}
		size_t line = networks_find(list, rows[i].address, &word);
		if (line != (rows[i].holds ? 2u : 0u))
			fail_msg("row %zu: %s", i, rows[i].line);
	}
	const struct setting_list *list =
		make(&lines, (const char *const[]){"192.0.2.1 optional",
				     "192.0.2.0/24", NULL});
	assert_int_equal(networks_find(list, "192.0.2.1", &word), 2);
	assert_string_equal(word, "optional");
	assert_int_equal(networks_find(list, "192.0.2.2", &word), 3);
	assert_string_equal(word, "");
	assert_int_equal(networks_check(list, "x", NULL, why, sizeof why), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_match),
		cmocka_unit_test(exceptions_win),
		cmocka_unit_test(names_match),
		cmocka_unit_test(networks_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
