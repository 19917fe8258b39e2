/* Paths and mailboxes: read, canonical, written, read again. */
#include "lib/address.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "lib/utf8.h"

#define ALL \
	(ADDRESS_NULL | ADDRESS_POSTMASTER | ADDRESS_NO_DOMAIN | ADDRESS_UTF8)
#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A64 A63 "a"
#define A256 A64 A64 A64 A64
#define D255 A63 "." A63 "." A63 "." A63

static const struct good {
	const char *name, *input;
	unsigned flags;
	enum path_kind kind;
	const char *local, *domain, *text;
} GOOD[] = {
	{"plain", "<user@example.org>", 0, PATH_MAILBOX, "user", "example.org",
		"user@example.org"},
	{"domain to lower case", "<User@EXAMPLE.Org>", 0, PATH_MAILBOX, "User",
		"example.org", "User@example.org"},
	{"null", "<>", ADDRESS_NULL, PATH_NULL, "", "", ""},
	{"postmaster", "<PostMaster>", ADDRESS_POSTMASTER, PATH_POSTMASTER,
		"PostMaster", "", "PostMaster"},
	{"quoted postmaster", "<\"postmaster\">",
		ADDRESS_POSTMASTER | ADDRESS_NO_DOMAIN, PATH_POSTMASTER,
		"postmaster", "", "postmaster"},
	{"local alone", "<root>", ADDRESS_NO_DOMAIN, PATH_LOCAL, "root", "",
		"root"},
	{"route", "<@a,@b.example:u@c>", 0, PATH_MAILBOX, "u", "c", "u@c"},
	{"route over a literal", "<@[1.2.3.4]:u@c>", 0, PATH_MAILBOX, "u", "c",
		"u@c"},
	{"all of atext", "<!#$%&'*+-/=?^_`{|}~09azAZ@x>", 0, PATH_MAILBOX,
		"!#$%&'*+-/=?^_`{|}~09azAZ", "x",
		"!#$%&'*+-/=?^_`{|}~09azAZ@x"},
	{"percent is a letter", "<u%x@us>", 0, PATH_MAILBOX, "u%x", "us",
		"u%x@us"},
	{"bang is a letter", "<a!b@us>", 0, PATH_MAILBOX, "a!b", "us",
		"a!b@us"},
	{"quoted needlessly", "<\"user\"@x>", 0, PATH_MAILBOX, "user", "x",
		"user@x"},
	{"quoted space", "<\"a b\"@x>", 0, PATH_MAILBOX, "a b", "x",
		"\"a b\"@x"},
	{"quoted at", "<\"a@b\"@x>", 0, PATH_MAILBOX, "a@b", "x", "\"a@b\"@x"},
	{"quoted empty", "<\"\"@x>", 0, PATH_MAILBOX, "", "x", "\"\"@x"},
	{"quoted brackets", "<\"a>b<\"@x>", 0, PATH_MAILBOX, "a>b<", "x",
		"\"a>b<\"@x"},
	{"quoted pairs", "<\"\\a\\\"\\\\\"@x>", 0, PATH_MAILBOX, "a\"\\", "x",
		"\"a\\\"\\\\\"@x"},
	{"quoted dots", "<\".a..b.\"@x>", 0, PATH_MAILBOX, ".a..b.", "x",
		"\".a..b.\"@x"},
	{"quoted postmaster with domain", "<\"postmaster\"@x>", 0, PATH_MAILBOX,
		"postmaster", "x", "postmaster@x"},
	{"underscore in domain", "<u@_a_.b>", 0, PATH_MAILBOX, "u", "_a_.b",
		"u@_a_.b"},
	{"hyphens in domain", "<u@a--b.c-d>", 0, PATH_MAILBOX, "u", "a--b.c-d",
		"u@a--b.c-d"},
	{"digits only", "<1@2>", 0, PATH_MAILBOX, "1", "2", "1@2"},
	{"IPv4", "<u@[192.0.2.1]>", 0, PATH_MAILBOX, "u", "[192.0.2.1]",
		"u@[192.0.2.1]"},
	{"IPv6", "<u@[ipv6:2001:DB8:0:0::1]>", 0, PATH_MAILBOX, "u",
		"[IPv6:2001:db8::1]", "u@[IPv6:2001:db8::1]"},
	{"IPv6 mapped", "<u@[IPv6:::ffff:1.2.3.4]>", 0, PATH_MAILBOX, "u",
		"[IPv6:::ffff:1.2.3.4]", "u@[IPv6:::ffff:1.2.3.4]"},
	{"local of 256", "<" A256 "@x>", 0, PATH_MAILBOX, A256, "x", A256 "@x"},
	{"domain of 255", "<u@" D255 ">", 0, PATH_MAILBOX, "u", D255,
		"u@" D255},
	{"UTF-8", "<\303\251@\303\251.example>", ADDRESS_UTF8, PATH_MAILBOX,
		"\303\251", "\303\251.example", "\303\251@\303\251.example"},
	{"UTF-8 quoted", "<\"\303\251 \"@x>", ADDRESS_UTF8, PATH_MAILBOX,
		"\303\251 ", "x", "\"\303\251 \"@x"},
};

#define BAD_ROW(name, octets, flags)                   \
	{                                              \
		name, octets, sizeof octets - 1, flags \
	}
static const struct bad {
	const char *name, *input;
	size_t len;
	unsigned flags;
} BAD[] = {
	BAD_ROW("empty", "", ALL),
	BAD_ROW("no brackets", "u@x", ALL),
	BAD_ROW("only open", "<", ALL),
	BAD_ROW("no close", "<u@x", ALL),
	BAD_ROW("null not asked for", "<>", ALL & ~(unsigned)ADDRESS_NULL),
	BAD_ROW("postmaster not asked for", "<postmaster>", ADDRESS_NULL),
	BAD_ROW("another alone", "<root>", ADDRESS_NULL | ADDRESS_POSTMASTER),
	BAD_ROW("empty quoted alone", "<\"\">", ALL),
	BAD_ROW("space before", "< u@x>", ALL),
	BAD_ROW("space after", "<u@x >", ALL),
	BAD_ROW("space inside", "<u @x>", ALL),
	BAD_ROW("space in local", "<a b@x>", ALL),
	BAD_ROW("tab quoted", "<\"a\tb\"@x>", ALL),
	BAD_ROW("leading dot", "<.a@x>", ALL),
	BAD_ROW("trailing dot in local", "<a.@x>", ALL),
	BAD_ROW("two dots", "<a..b@x>", ALL),
	BAD_ROW("no local", "<@x>", ALL),
	BAD_ROW("no domain", "<a@>", ALL),
	BAD_ROW("two at", "<a@b@c>", ALL),
	BAD_ROW("open quote", "<\"a@x>", ALL),
	BAD_ROW("open pair", "<\"a\\", ALL),
	BAD_ROW("quote inside atom", "<a\"b\"@x>", ALL),
	BAD_ROW("after quote", "<\"a\"b@x>", ALL),
	BAD_ROW("NUL", "<a\0b@x>", ALL),
	BAD_ROW("NUL quoted", "<\"a\0b\"@x>", ALL),
	BAD_ROW("NUL pair", "<\"a\\\0b\"@x>", ALL),
	BAD_ROW("NUL in domain", "<a@x\0y>", ALL),
	BAD_ROW("NUL in literal", "<a@[1.2.3.4\0]>", ALL),
	BAD_ROW("CR", "<\"a\rb\"@x>", ALL),
	BAD_ROW("LF", "<\"a\nb\"@x>", ALL),
	BAD_ROW("LF pair", "<\"a\\\nb\"@x>", ALL),
	BAD_ROW("DEL", "<\"a\177\"@x>", ALL),
	BAD_ROW("8 bit without the flag", "<\303\251@x>", 0),
	BAD_ROW("8 bit domain without the flag", "<a@\303\251>", 0),
	BAD_ROW("8 bit quoted without the flag", "<\"\303\251\"@x>", 0),
	BAD_ROW("8 bit pair", "<\"\\\303\251\"@x>", ALL),
	BAD_ROW("cut UTF-8", "<\303@x>", ALL),
	BAD_ROW("long form UTF-8", "<\300\256@x>", ALL),
	BAD_ROW("surrogate", "<\355\240\200@x>", ALL),
	BAD_ROW("C1 control", "<\302\205@x>", ALL),
	BAD_ROW("trailing dot", "<a@x.>", ALL),
	BAD_ROW("leading dot in domain", "<a@.x>", ALL),
	BAD_ROW("empty label", "<a@x..y>", ALL),
	BAD_ROW("leading hyphen", "<a@-x>", ALL),
	BAD_ROW("trailing hyphen", "<a@x->", ALL),
	BAD_ROW("trailing hyphen in label", "<a@x-.y>", ALL),
	BAD_ROW("label of 64", "<a@" A64 ">", ALL),
	BAD_ROW("domain of 257", "<a@" D255 ".a>", ALL),
	BAD_ROW("local of 257", "<" A256 "a@x>", ALL),
	BAD_ROW("literal empty", "<a@[]>", ALL),
	BAD_ROW("literal open", "<a@[1.2.3.4>", ALL),
	BAD_ROW("literal of three", "<a@[1.2.3]>", ALL),
	BAD_ROW("literal over 255", "<a@[1.2.3.256]>", ALL),
	BAD_ROW("literal with zeros", "<a@[01.2.3.4]>", ALL),
	BAD_ROW("literal IPv6 without tag", "<a@[2001:db8::1]>", ALL),
	BAD_ROW("literal IPv4 with tag", "<a@[IPv6:1.2.3.4]>", ALL),
	BAD_ROW("literal with zone", "<a@[IPv6:fe80::1%eth0]>", ALL),
	BAD_ROW("literal with tag", "<a@[x400:abc]>", ALL),
	BAD_ROW("literal and more", "<a@[1.2.3.4]x>", ALL),
	BAD_ROW("route without mailbox", "<@a:>", ALL),
	BAD_ROW("route with an end", "<@a,:u@c>", ALL),
	BAD_ROW("route to postmaster", "<@a:postmaster>", ALL),
	BAD_ROW("route twice", "<@a:@b:u@c>", ALL),
	BAD_ROW("list", "<a@x,b@y>", ALL),
};

static void
test_good(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
		const struct good *row = &GOOD[i];
		char line[2048], text[ADDRESS_TEXT_MAX + 1];
		struct path path, again;
		size_t len = strlen(row->input), octets;

		octets = address_path_scan(row->input, len, row->flags, &path);
		if (octets != len)
			fail_msg("%s: %zu of %zu", row->name, octets, len);
		snprintf(line, sizeof line, "%s SIZE=1>", row->input);
		assert_int_equal(len, address_path_scan(line, strlen(line),
					      row->flags, &path));
		assert_int_equal(row->kind, path.kind);
		assert_string_equal(row->local, path.local);
		assert_string_equal(row->domain, path.domain);
		assert_int_equal(strlen(path.local), path.local_len);
		assert_int_equal(strlen(path.domain), path.domain_len);
		octets = address_write(text, sizeof text, &path);
		assert_string_equal(row->text, text);
		assert_int_equal(octets, strlen(text));
		if (address_mailbox_scan(text, octets, row->flags, &again) != 0)
			fail_msg("%s: not read again: %s", row->name, text);
		assert_int_equal(path.kind, again.kind);
		assert_string_equal(path.local, again.local);
		assert_string_equal(path.domain, again.domain);
	}
}

static void
test_bad(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
		const struct bad *row = &BAD[i];
		struct path path, before;

		memset(&path, 'x', sizeof path);
		memset(&before, 'x', sizeof before);
		if (address_path_scan(row->input, row->len, row->flags, &path))
			fail_msg("accepted: %s", row->name);
		assert_memory_equal(&path, &before, sizeof path);
	}
}

/* The text form takes no brackets, no route, and all of its octets. */
static void
test_text_form(void **state)
{
	static const char *const REFUSED[] = {"<u@x>", "@a:u@c", "u@x ", " u@x",
		"u@x>", "u@x,v@y", "@", "u@", "u"};
	struct path path;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++)
		if (address_mailbox_scan(
			    REFUSED[i], strlen(REFUSED[i]), 0, &path) != -1)
			fail_msg("accepted: %s", REFUSED[i]);
	assert_int_equal(-1, address_mailbox_scan("", 0, 0, &path));
	assert_int_equal(0, address_mailbox_scan("", 0, ADDRESS_NULL, &path));
	assert_int_equal(PATH_NULL, path.kind);
	assert_int_equal(-1, address_mailbox_scan("u@x\0", 4, 0, &path));
}

static void
test_longest_text(void **state)
{
	char text[ADDRESS_TEXT_MAX + 1], small[ADDRESS_TEXT_MAX];
	struct path path = {.kind = PATH_MAILBOX,
		.local_len = ADDRESS_LOCAL_MAX,
		.domain_len = ADDRESS_DOMAIN_MAX,
		.domain = D255};
	struct path again;

	(void)state;
	memset(path.local, '"', ADDRESS_LOCAL_MAX);
	memset(small, 'x', sizeof small);
	assert_int_equal(
		ADDRESS_TEXT_MAX, address_write(small, sizeof small, &path));
	assert_int_equal('x', small[0]);
	assert_int_equal(
		ADDRESS_TEXT_MAX, address_write(text, sizeof text, &path));
	assert_int_equal(
		0, address_mailbox_scan(text, strlen(text), 0, &again));
	assert_string_equal(path.local, again.local);
}

static void
test_set_domain(void **state)
{
	struct path path;

	(void)state;
	assert_int_equal(12, address_path_scan("<postmaster>", 12,
				     ADDRESS_POSTMASTER, &path));
	assert_int_equal(-1, address_set_domain(&path, "", 0));
	assert_int_equal(-1, address_set_domain(&path, "a b", 3));
	assert_int_equal(-1, address_set_domain(&path, "a.", 2));
	assert_int_equal(PATH_POSTMASTER, path.kind);
	assert_int_equal(0, address_set_domain(&path, "Me.Example", 10));
	assert_int_equal(PATH_MAILBOX, path.kind);
	assert_string_equal("me.example", path.domain);
	assert_int_equal(-1, address_set_domain(&path, "other", 5));
}

static void
test_domain(void **state)
{
	(void)state;
	assert_true(domain_valid("a.b", 3));
	assert_true(domain_valid("LOCALHOST", 9));
	assert_false(domain_valid("", 0));
	assert_false(domain_valid("a.b.", 4));
	assert_false(domain_valid("[1.2.3.4]", 9));
	assert_false(domain_valid("a b", 3));
	assert_false(domain_valid("\303\251", 2));
	assert_false(domain_valid("a/b", 3));
	assert_true(domain_is_literal("[1.2.3.4]", 9));
	assert_true(domain_is_literal("[IPv6:::]", 9));
	assert_false(domain_is_literal("[1.2.3.4] ", 10));
	assert_false(domain_is_literal("", 0));
	assert_false(domain_is_literal("1.2.3.4", 7));
}

static void
test_utf8(void **state)
{
	static const struct {
		const char *text;
		int valid;
	} ROWS[] = {
		{"", 1},
		{"a", 1},
		{"\302\200", 1},
		{"\337\277", 1},
		{"\340\240\200", 1},
		{"\355\237\277", 1},
		{"\356\200\200", 1},
		{"\357\277\277", 1},
		{"\360\220\200\200", 1},
		{"\364\217\277\277", 1},
		{"\200", 0},
		{"\277", 0},
		{"\301\277", 0},
		{"\302", 0},
		{"\302a", 0},
		{"\340\237\277", 0},
		{"\340\240", 0},
		{"\355\240\200", 0},
		{"\360\217\277\277", 0},
		{"\360\220\200", 0},
		{"\364\220\200\200", 0},
		{"\365\200\200\200", 0},
		{"\370\210\200\200\200", 0},
		{"\377", 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
		if (utf8_valid(ROWS[i].text, strlen(ROWS[i].text)) !=
			ROWS[i].valid)
			fail_msg("row %zu", i);
	assert_int_equal(1, utf8_scan("\0", 1));
	assert_int_equal(0, utf8_scan("", 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_text_form),
		cmocka_unit_test(test_longest_text),
		cmocka_unit_test(test_set_domain),
		cmocka_unit_test(test_domain),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
