/* The table of routes, and destinations written and read. */
#include "remote/route.h"
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

static int
build(struct routes *routes, const char *const *text, size_t count, char *why,
	size_t size)
{
	char *line[20];
	size_t number[20], i;
	struct setting_list list = {line, number, count, true};

	assert_true(count <= LENGTH(line));
	for (i = 0; i < count; i++) {
		line[i] = (char *)(uintptr_t)text[i];
		number[i] = i + 3;
	}
	return routes_build(routes, &list, why, size);
}

static void
test_table(void **state)
{
	static const char *const lines[] = {"example.org:relay.test:26",
		".example.org:Below.Test",
		"mx.example.org:", "a.test:[192.0.2.1]",
		"b.test:[IPv6:2001:db8:0::1]:99", "c.test:[::1]:27",
		"d.test:192.0.2.2:28", "[192.0.2.7]:literal.test",
		"[IPv6:2001:db8::7]:literal6.test:29",
		"example.org:second.test", ":default.test:2525"};
	static const struct {
		const char *domain, *destination;
	} row[] = {
		{"example.org", "host:relay.test:26"},
		{"EXAMPLE.org", "host:relay.test:26"},
		{"x.example.org", "host:below.test:25"},
		{"mx.example.org", "mx:mx.example.org"},
		{"MX.Example.ORG", "mx:mx.example.org"},
		{"a.test", "host:[192.0.2.1]:25"},
		{"b.test", "host:[2001:db8::1]:99"},
		{"c.test", "host:[::1]:27"},
		{"d.test", "host:[192.0.2.2]:28"},
		{"[192.0.2.7]", "host:literal.test:25"},
		{"[IPv6:2001:db8::7]", "host:literal6.test:29"},
		{"other.test", "host:default.test:2525"},
		{"[192.0.2.8]", "host:default.test:2525"},
	};
	struct routes routes;
	char text[ROUTE_TEXT_SIZE], why[200];
	size_t i;

	(void)state;
	assert_int_equal(
		0, build(&routes, lines, LENGTH(lines), why, sizeof why));
	for (i = 0; i < LENGTH(row); i++) {
		assert_int_equal(
			0, route_destination(&routes, row[i].domain,
				   strlen(row[i].domain), text, sizeof text));
		assert_string_equal(row[i].destination, text);
	}
	errno = 0;
	assert_int_equal(-1, route_destination(&routes, "a.test", 6, text, 19));
	assert_int_equal(ENAMETOOLONG, errno);
	assert_int_equal(0, route_destination(&routes, "a.test", 6, text, 20));
	routes_free(&routes);
	routes_free(&routes);
}

static void
test_without_routes(void **state)
{
	static const char *const bad[] = {"", ".", ".a.test", "a..test",
		"a.test.", "[1.2.3]", "[::1", "a b", "../x", "a/b", "a\nb",
		"\xc3\xa4.test"};
	struct routes routes = ROUTES_ZERO;
	char text[ROUTE_TEXT_SIZE], name[300];
	struct route_target target;
	size_t i;

	(void)state;
	assert_int_equal(
		0, route_destination(&routes, "A.test", 6, text, sizeof text));
	assert_string_equal("mx:a.test", text);
	assert_int_equal(0, route_destination(&routes, "[127.0.0.1]", 11, text,
				    sizeof text));
	assert_string_equal("mx:[127.0.0.1]", text);
	assert_int_equal(0, route_destination(&routes, "[IPv6:::1]", 10, text,
				    sizeof text));
	assert_string_equal("mx:[::1]", text);
	for (i = 0; i < LENGTH(bad); i++) {
		errno = 0;
		assert_int_equal(
			-1, route_destination(&routes, bad[i], strlen(bad[i]),
				    text, sizeof text));
		assert_int_equal(EINVAL, errno);
	}
	memset(name, 'a', sizeof name);
	for (i = 50; i < sizeof name; i += 51)
		name[i] = '.';
	assert_int_equal(
		0, route_destination(&routes, name, 254, text, sizeof text));
	assert_int_equal(0, route_parse(text, &target));
	assert_int_equal(254, strlen(target.name));
	assert_int_equal(
		-1, route_destination(&routes, name, 256, text, sizeof text));
}

static void
test_bad_lines(void **state)
{
	static const char *const bad[] = {"example.org", "a b:relay.test",
		"a.test:relay.test:0", "a.test:relay.test:65536",
		"a.test:relay.test:", "a.test:relay.test:25:", "a.test::25",
		"a.test:[1.2.3]", "a.test:[1.2.3.4", "a.test:[1.2.3.4]25",
		"a.test:[1.2.3.4]x:25", "a.test:::1", "a.test:relay.test:-1",
		"[1.2.3]:relay.test", "*.test:relay.test",
		"a.test:[IPv6:1.2.3.4]", "[1.2.3.4:relay.test", "a.test:[]"};
	struct routes routes;
	const char *lines[2] = {"good.test:relay.test", NULL};
	char why[200];
	size_t i;

	(void)state;
	for (i = 0; i < LENGTH(bad); i++) {
		lines[1] = bad[i];
		if (build(&routes, lines, 2, why, sizeof why) != -1)
			fail_msg("%s", bad[i]);
		assert_non_null(strstr(why, "control/smtproutes, line 4: "));
		assert_int_equal(0, routes.table.entries);
	}
}

/* Words behind the way: what they become, or why the line is unusable. */
static void
test_words(void **state)
{
	static const struct {
		const char *line, *destination, *why;
	} row[] = {
		{"a.test:relay.test tls=may", "host:relay.test:25", ""},
		{"a.test:relay.test:26 \t tls=none",
			"host:relay.test:26 tls=none", ""},
		{"a.test:relay.test auth=x", "host:relay.test:25 auth=x", ""},
		{"a.test:relay.test auth=x tls=verify",
			"host:relay.test:25 auth=x", ""},
		{"a.test:relay.test tls=may auth=x",
			"host:relay.test:25 tls=may auth=x", ""},
		{"a.test: tls=verify name=MX.Test",
			"mx:a.test tls=verify name=mx.test", ""},
		{"a.test: source=2001:DB8::1 source=192.0.2.1",
			"mx:a.test source=192.0.2.1 source=2001:db8::1", ""},
		{"a.test:[::1]:99 certificate=a_B-1.x auth=n auth-clear",
			"host:[::1]:99 certificate=a_B-1.x auth=n auth-clear",
			""},
		{"a.test:relay.test tls", "host:relay.test:25 unusable=3",
			"\"tls\" is no word"},
		{"a.test:relay.test tls=", "host:relay.test:25 unusable=3",
			"expected none, may, must or verify"},
		{"a.test:relay.test TLS=must", "host:relay.test:25 unusable=3",
			"is no word"},
		{"a.test:relay.test tls=MUST", "host:relay.test:25 unusable=3",
			"expected none"},
		{"a.test: tls=mustard", "mx:a.test unusable=3",
			"expected none"},
		{"a.test: tls=must tls=must", "mx:a.test unusable=3", "twice"},
		{"a.test: starttls", "mx:a.test unusable=3", "\"starttls\""},
		{"a.test: auth=../x", "mx:a.test unusable=3",
			"expected a name"},
		{"a.test: auth=.x", "mx:a.test unusable=3", "expected a name"},
		{"a.test: auth=", "mx:a.test unusable=3", "expected a name"},
		{"a.test: certificate=a/b", "mx:a.test unusable=3",
			"expected a name"},
		{"a.test: auth-clear", "mx:a.test unusable=3", "without auth="},
		{"a.test: auth=x", "mx:a.test unusable=3", "without a relay"},
		{"a.test: auth=x tls=must", "mx:a.test unusable=3",
			"without a relay"},
		{"a.test: auth=x name=mx.test", "mx:a.test name=mx.test auth=x",
			""},
		{"a.test: auth=x auth-clear=1", "mx:a.test unusable=3",
			"expected nothing"},
		{"a.test: tls=none name=b.test", "mx:a.test unusable=3",
			"together with tls=none"},
		{"a.test: certificate=b tls=none", "mx:a.test unusable=3",
			"together with tls=none"},
		{"a.test: name=b..test", "mx:a.test unusable=3", "host name"},
		{"a.test: source=192.0.2.1 source=192.0.2.2",
			"mx:a.test unusable=3", "IP address"},
		{"a.test: source=[::1]", "mx:a.test unusable=3", "IP address"},
		{"a.test: source=host.test", "mx:a.test unusable=3",
			"IP address"},
		{"a.test: unusable=7", "mx:a.test unusable=3", "people"},
		{"a.test: \x01\xff", "mx:a.test unusable=3", "\"??\""},
	};
	struct route_target target;
	struct routes routes;
	char text[ROUTE_TEXT_SIZE], why[300];

	(void)state;
	for (size_t i = 0; i < LENGTH(row); i++) {
		assert_int_equal(
			0, build(&routes, &row[i].line, 1, why, sizeof why));
		assert_int_equal(0, route_destination(&routes, "a.test", 6,
					    text, sizeof text));
		assert_string_equal(row[i].destination, text);
		if (strstr(why, row[i].why) == NULL ||
			!row[i].why[0] != !why[0])
			fail_msg("%s: %s", row[i].line, why);
		if (why[0] != 0)
			assert_non_null(
				strstr(why, "control/smtproutes, line 3: "));
		assert_int_equal(0, route_parse(text, &target));
		assert_int_equal(why[0] != 0 ? 3 : 0, target.words.unusable);
		routes_free(&routes);
	}
}

/* All there is at its longest still fits. */
static void
test_longest(void **state)
{
	static const char source[] = " source=255.255.255.255 source="
				     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0";
	char line[1200], label[ROUTE_LABEL_MAX + 1], name[254];
	char text[ROUTE_TEXT_SIZE], why[300];
	const char *lines[1] = {line};
	struct route_target target;
	struct routes routes;

	(void)state;
	memset(label, 'x', sizeof label - 1);
	label[sizeof label - 1] = 0;
	memset(name, 'a', sizeof name - 1);
	for (size_t i = 50; i < sizeof name - 1; i += 51)
		name[i] = '.';
	name[sizeof name - 1] = 0;
	snprintf(line, sizeof line,
		":%s:65535 tls=must name=%s certificate=%s auth=%s "
		"auth-clear no-bdat%s",
		name, name, label, label, source);
	assert_int_equal(0, build(&routes, lines, 1, why, sizeof why));
	assert_string_equal("", why);
	assert_int_equal(
		0, route_destination(&routes, "a.test", 6, text, sizeof text));
	assert_int_equal(0, route_parse(text, &target));
	assert_string_equal(name, target.name);
	assert_string_equal(name, target.words.name);
	assert_string_equal(label, target.words.auth);
	assert_string_equal(label, target.words.certificate);
	assert_int_equal(ROUTE_TLS_MUST, target.words.tls);
	assert_true(target.words.auth_clear && target.words.no_bdat);
	assert_true(target.words.has_source_v4 && target.words.has_source_v6);
	routes_free(&routes);
}

static void
test_parse(void **state)
{
	static const struct {
		const char *text;
		enum route_kind kind; /* 0: refused */
		int routed;
		const char *name;
		uint16_t port;
	} row[] = {
		{"mx:Example.org", ROUTE_MX, 0, "example.org", 0},
		{"mx:[192.0.2.1]", ROUTE_ADDRESS, 0, "192.0.2.1", 0},
		{"mx:[2001:db8::1]", ROUTE_ADDRESS, 0, "2001:db8::1", 0},
		{"host:relay.test:26", ROUTE_HOST, 1, "relay.test", 26},
		{"host:[192.0.2.1]:25", ROUTE_ADDRESS, 1, "192.0.2.1", 25},
		{"host:[::1]:65535", ROUTE_ADDRESS, 1, "::1", 65535},
		{"local", 0, 0, NULL, 0},
		{"", 0, 0, NULL, 0},
		{"mx:", 0, 0, NULL, 0},
		{"mx:a.test:25", 0, 0, NULL, 0},
		{"mx:a..test", 0, 0, NULL, 0},
		{"host:a.test", 0, 0, NULL, 0},
		{"host:a.test:", 0, 0, NULL, 0},
		{"host:a.test:0", 0, 0, NULL, 0},
		{"host:a.test:99999", 0, 0, NULL, 0},
		{"host:a.test:25x", 0, 0, NULL, 0},
		{"host::25", 0, 0, NULL, 0},
		{"host:[::1]", 0, 0, NULL, 0},
		{"host:[::1:25", 0, 0, NULL, 0},
		{"host:[]:25", 0, 0, NULL, 0},
		{"host:::1:25", 0, 0, NULL, 0},
		{"HOST:a.test:25", 0, 0, NULL, 0},
		{"mx:a.test\n", 0, 0, NULL, 0},
		{"mx:../../etc", 0, 0, NULL, 0},
		{"mx:a.test tls=must", ROUTE_MX, 0, "a.test", 0},
		{"host:[::1]:9 auth=x", ROUTE_ADDRESS, 1, "::1", 9},
		{"mx:a.test tls=Must", 0, 0, NULL, 0},
		{"mx:a.test foo", 0, 0, NULL, 0},
		{" mx:a.test", 0, 0, NULL, 0},
		{"mx: a.test", 0, 0, NULL, 0},
	};
	struct route_target target;
	size_t i;

	(void)state;
	for (i = 0; i < LENGTH(row); i++) {
		int expected = row[i].kind == 0 ? -1 : 0;

		if (route_parse(row[i].text, &target) != expected)
			fail_msg("%s", row[i].text);
		if (expected == -1)
			continue;
		assert_int_equal(row[i].kind, target.kind);
		assert_int_equal(row[i].routed, target.routed);
		assert_int_equal(row[i].port, target.port);
		assert_string_equal(row[i].name, target.name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_without_routes),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
