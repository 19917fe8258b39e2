/* Who the client is: the PROXY header, cut anywhere, and XCLIENT's argument. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/proxy.h"
#include "smtpd/xclient.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define ROW(text) text, sizeof(text) - 1

static void
proxy_rows(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		enum proxy_result result;
		const char *source, *destination;
		unsigned source_port, destination_port;
	} rows[] = {
		{ROW("PROXY TCP4 192.0.2.1 198.51.100.2 1024 25\r\n"),
			PROXY_CLIENT, "192.0.2.1", "198.51.100.2", 1024, 25},
		{ROW("PROXY TCP4 255.255.255.255 255.255.255.255 65535 "
		     "65535\r\n"),
			PROXY_CLIENT, "255.255.255.255", "255.255.255.255",
			65535, 65535},
		{ROW("PROXY TCP6 2001:DB8::0:1 ::1 0 25\r\n"), PROXY_CLIENT,
			"2001:db8::1", "::1", 0, 25},
		{ROW("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 25\r\n"), PROXY_CLIENT,
			"192.0.2.1", "::1", 1, 25},
		{ROW("PROXY UNKNOWN\r\n"), PROXY_UNKNOWN, NULL, NULL, 0, 0},
		{ROW("PROXY UNKNOWN \xff what ever\r\n"), PROXY_UNKNOWN, NULL,
			NULL, 0, 0},
		{ROW(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\4\0\0"
			       "\x19"),
			PROXY_CLIENT, "192.0.2.1", "198.51.100.2", 1024, 25},
		{ROW(SIGNATURE "\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\2\4\0\0"
			       "\x19\4\0\0"),
			PROXY_CLIENT, "192.0.2.1", "198.51.100.2", 1024, 25},
		{ROW(SIGNATURE "\x21\x21\0\x24"
			       "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
			       "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1"
			       "\0\1\0\2"),
			PROXY_CLIENT, "2001:db8::1", "192.0.2.1", 1, 2},
		{ROW(SIGNATURE "\x20\0\0\0"), PROXY_UNKNOWN, NULL, NULL, 0, 0},
		{ROW(SIGNATURE "\x20\x11\0\2xy"), PROXY_UNKNOWN, NULL, NULL, 0,
			0},
		{ROW(SIGNATURE "\x21\0\0\0"), PROXY_UNKNOWN, NULL, NULL, 0, 0},
		{ROW(SIGNATURE "\x21\x12\0\0"), PROXY_UNKNOWN, NULL, NULL, 0,
			0},
	};
	struct proxy_header header;
	char source[NETWORK_TEXT_MAX], destination[NETWORK_TEXT_MAX];
	char longer[400];

	(void)state;
	for (size_t i = 0; i < LENGTH(rows); i++) {
		for (size_t cut = 0; cut < rows[i].len; cut++)
			if (proxy_scan(rows[i].text, cut, &header) !=
				PROXY_MORE)
				fail_msg("row %zu cut at %zu", i, cut);
		/* What follows belongs to the client. */
		memcpy(longer, rows[i].text, rows[i].len);
		memcpy(longer + rows[i].len, "EHLO x\r\n", 8);
		assert_int_equal(proxy_scan(longer, rows[i].len + 8, &header),
			rows[i].result);
		assert_int_equal(header.octets, rows[i].len);
		if (rows[i].result != PROXY_CLIENT)
			continue;
		network_address_write(&header.source, source);
		network_address_write(&header.destination, destination);
		assert_string_equal(source, rows[i].source);
		assert_string_equal(destination, rows[i].destination);
		assert_int_equal(header.source_port, rows[i].source_port);
		assert_int_equal(
			header.destination_port, rows[i].destination_port);
	}
}

static void
proxy_bad(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		enum proxy_result result;
	} rows[] = {
		{ROW("EHLO"), PROXY_NONE},
		{ROW("P\r"), PROXY_NONE},
		{ROW("proxy "), PROXY_NONE},
		{ROW("\r\n\r\n\1"), PROXY_NONE},
		{ROW("\n"), PROXY_NONE},
		{ROW("PROXY \r\n"), PROXY_BAD},
		{ROW("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n"), PROXY_BAD},
		{ROW("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"), PROXY_BAD},
		{ROW("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"), PROXY_BAD},
		{ROW("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"), PROXY_BAD},
		{ROW("PROXY TCP4 1.2.3.4 1.2.3.4 1 02\r\n"), PROXY_BAD},
		{ROW("PROXY TCP4 1.2.3.4 1.2.3.4 1 -2\r\n"), PROXY_BAD},
		{ROW("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"), PROXY_BAD},
		{ROW("PROXY TCP4 ::1 ::1 1 2\r\n"), PROXY_BAD},
		{ROW("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"), PROXY_BAD},
		{ROW("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"), PROXY_BAD},
		{ROW(SIGNATURE "\x11\x11\0\0"), PROXY_BAD},
		{ROW(SIGNATURE "\x22\x11\0\0"), PROXY_BAD},
		{ROW(SIGNATURE "\x21\x11\0\x0b\0\0\0\0\0\0\0\0\0\0\0"),
			PROXY_BAD},
		{ROW(SIGNATURE "\x21\x11\x10\0"), PROXY_BAD},
	};
	struct proxy_header header;
	char line[PROXY_LINE_MAX + 1];

	(void)state;
	for (size_t i = 0; i < LENGTH(rows); i++)
		if (proxy_scan(rows[i].text, rows[i].len, &header) !=
			rows[i].result)
			fail_msg("row %zu", i);
	memset(line, 'x', sizeof line);
	memcpy(line, "PROXY UNKNOWN ", 14);
	assert_int_equal(
		proxy_scan(line, PROXY_LINE_MAX - 1, &header), PROXY_MORE);
	assert_int_equal(proxy_scan(line, PROXY_LINE_MAX, &header), PROXY_BAD);
	memcpy(line + PROXY_LINE_MAX - 2, "\r\n", 2);
	assert_int_equal(
		proxy_scan(line, PROXY_LINE_MAX, &header), PROXY_UNKNOWN);
}

static int
scan(struct xclient *xclient, const char *text)
{
	const char *why = NULL;
	int result = xclient_scan(xclient, text, strlen(text), &why);

	assert_true(result == 0 || (why != NULL && *why != 0));
	return result;
}

static void
xclient_good(void **state)
{
	struct xclient x;

	(void)state;
	assert_int_equal(scan(&x, "NAME=a.test ADDR=192.0.2.1 PORT=25 "
				  "PROTO=ESMTP HELO=b+2B+3D LOGIN=c"),
		0);
	assert_true(x.has_name && x.has_address && x.has_port &&
		    x.has_protocol && x.has_hello && x.has_login);
	assert_true(x.is_extended);
	assert_string_equal(x.name, "a.test");
	assert_string_equal(x.address, "192.0.2.1");
	assert_string_equal(x.hello, "b+=");
	assert_string_equal(x.login, "c");
	assert_int_equal(scan(&x, "addr=ipv6:2001:DB8:0::1"), 0);
	assert_string_equal(x.address, "2001:db8::1");
	assert_false(x.has_name);
	assert_int_equal(scan(&x, "ADDR=IPV6:::ffff:192.0.2.1"), 0);
	assert_string_equal(x.address, "192.0.2.1");
	assert_int_equal(scan(&x, "NAME=[unavailable]  ADDR=[TEMPUNAVAIL]"), 0);
	assert_true(x.has_name && x.has_address);
	assert_string_equal(x.name, "");
	assert_string_equal(x.address, "");
}

static void
xclient_bad(void **state)
{
	static const char *const rows[] = {"", "  ", "NAME", "NAME=", "=x",
		"NAME=a NAME=b", "NAME=a FOO=b", "ADDR=x", "ADDR=192.0.2.1.",
		"ADDR=192.0.2.1/8", "ADDR=IPV6:192.0.2.1", "ADDR=::1",
		"PROTO=LMTP", "PORT=1a", "NAME=+0A", "NAME=+2", "NAME=\xc3\xa4",
		"NAME=a\tb", "HELO=a=b"};
	char longest[5 + SESSION_NAME_MAX + 2];
	struct xclient x;

	(void)state;
	for (size_t i = 0; i < LENGTH(rows); i++)
		if (scan(&x, rows[i]) == 0)
			fail_msg("taken: %s", rows[i]);
	memcpy(longest, "HELO=", 5);
	memset(longest + 5, 'x', SESSION_NAME_MAX + 1);
	longest[5 + SESSION_NAME_MAX + 1] = 0;
	assert_int_equal(scan(&x, longest), -1);
	longest[5 + SESSION_NAME_MAX] = 0;
	assert_int_equal(scan(&x, longest), 0);
	assert_int_equal(strlen(x.hello), SESSION_NAME_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proxy_rows),
		cmocka_unit_test(proxy_bad),
		cmocka_unit_test(xclient_good),
		cmocka_unit_test(xclient_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
