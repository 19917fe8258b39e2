/* Lists of addresses in header fields. */
#include "lib/addresslist.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Addresses found, each followed by "|"; result OK unless bad. */
static const struct row {
	const char *name, *text, *found;
	int bad;
} ROWS[] = {
	{"one", "a@b", "a@b|", 0},
	{"two", "a@b, c@d", "a@b|c@d|", 0},
	{"nothing", "", "", 0},
	{"white space", " \t\n ", "", 0},
	{"empty elements", ",, a@b ,,", "a@b|", 0},
	{"angle", "<a@b>", "a@b|", 0},
	{"display name", "John Doe <a@b>", "a@b|", 0},
	{"quoted display name", "\"Doe, John\" <a@b>, c@d", "a@b|c@d|", 0},
	{"dot in display name", "John Q. Doe <a@b>", "a@b|", 0},
	{"8 bit display name", "J\303\266rg \377 <a@b>", "a@b|", 0},
	{"at in display name", "a@b.example <c@d>", "c@d|", 0},
	{"apostrophe", "O'Neill <a@b>", "a@b|", 0},
	{"encoded word", "=?utf-8?q?x=2C_y?= <a@b>", "a@b|", 0},
	{"bracket in display name", "[list] <a@b>", "a@b|", 0},
	{"comment after", "a@b (John, (nested) \\) Doe)", "a@b|", 0},
	{"comment before", "(x) a@b", "a@b|", 0},
	{"comments between", "a(1)@(2)b(3).(4)c", "a@b.c|", 0},
	{"comment in angle", "x <a(y)@b>", "a@b|", 0},
	{"comment after angle", "<a@b> (x)", "a@b|", 0},
	{"space around dot and at", "a . b @ c . d", "a.b@c.d|", 0},
	{"fold", "a@b,\n c@d,\r\n\te@f", "a@b|c@d|e@f|", 0},
	{"fold in quoted string", "\"a\n b\"@c", "\"a b\"@c|", 0},
	{"quoted local part", "\"a,b\"@c", "\"a,b\"@c|", 0},
	{"quoted pair", "\"a\\\"b\"@c", "\"a\\\"b\"@c|", 0},
	{"literal", "a@[1.2.3.4]", "a@[1.2.3.4]|", 0},
	{"literal with space", "a@[ 1.2.3.4 ]", "a@[1.2.3.4]|", 0},
	{"literal IPv6", "a@[IPv6:::1]", "a@[IPv6:::1]|", 0},
	{"route", "<@x,@y.z:a@b>", "a@b|", 0},
	{"route with empty hop", "<@x,,@y:a@b>", "a@b|", 0},
	{"group", "friends: a@b, C <c@d>;", "a@b|c@d|", 0},
	{"empty group", "undisclosed-recipients:;", "", 0},
	{"group with empty elements", "x:,,;", "", 0},
	{"group and more", "x: a@b; , c@d", "a@b|c@d|", 0},
	{"group without comma after", "x: a@b; c@d", "a@b|c@d|", 0},
	{"group without end", "x: a@b", "a@b|", 0},
	{"two groups", "x: a@b; , y: c@d;", "a@b|c@d|", 0},
	{"quoted group name", "\"a b\": a@b;", "a@b|", 0},
	{"local alone", "root, postmaster", "root|postmaster|", 0},
	{"local alone in angle", "Root <root>", "root|", 0},
	{"two words", "john doe", "", 1},
	{"two words and a domain", "john doe@b", "", 1},
	{"words after a domain", "a@b c", "", 1},
	{"phrase after angle", "<a@b> x", "a@b|", 1},
	{"two angles", "<a@b> <c@d>", "a@b|", 1},
	{"angle in angle", "<a<b@c>>", "", 1},
	{"angle without end", "<a@b", "", 1},
	{"close alone", "a@b>", "", 1},
	{"empty angle", "x <>", "", 1},
	{"quote without end", "\"a@b", "", 1},
	{"comment without end", "a@b (x", "", 1},
	{"comment close alone", "a@b)", "", 1},
	{"literal without end", "a@[1.2.3.4", "", 1},
	{"nested groups", "x: y: a@b;;", "", 1},
	{"semicolon alone", "a@b;", "", 1},
	{"semicolon in angle", "x: <a@b;>", "", 1},
	{"comma in angle", "<a@b,c@d>", "", 1},
	{"colon after angle", "<a@b>: c@d;", "a@b|", 1},
	{"colon after angle, empty", "<a@b>:;", "a@b|", 1},
	{"colon in angle", "<a:b@c>", "", 1},
	{"no domain", "a@", "", 1},
	{"no local", "@b", "", 1},
	{"two at", "a@b@c", "", 1},
	{"backslash", "a\\b@c", "", 1},
	{"second is bad", "a@b, c d, e@f", "a@b|", 1},
	{"8 bit address", "\303\251@b", "", 1},
	{"quoted beside atom", "\"a\"b@c", "", 1},
	{"LF does not get in", "\"a\\\nb\"@c", "", 1},
};

static int
gather(void *context, const struct path *path)
{
	char *all = context, text[ADDRESS_TEXT_MAX + 1];

	address_write(text, sizeof text, path);
	strncat(all, text, 500 - strlen(all));
	strncat(all, "|", 500 - strlen(all));
	return 0;
}

static void
test_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		const struct row *row = &ROWS[i];
		char all[512] = "";
		size_t bad_at = 0, len = strlen(row->text);
		enum addresslist_result result;

		result = addresslist_read(row->text, len, ADDRESS_NO_DOMAIN,
			gather, all, &bad_at);
		if (result != (row->bad ? ADDRESSLIST_BAD : ADDRESSLIST_OK) ||
			strcmp(all, row->found) != 0 || bad_at > len)
			fail_msg("%s: %d %s", row->name, (int)result, all);
	}
}

static int
stop(void *context, const struct path *path)
{
	(void)path;
	return ++*(int *)context == 2;
}

static void
test_flags_and_stop(void **state)
{
	char all[512] = "";
	int calls = 0;

	(void)state;
	assert_int_equal(ADDRESSLIST_BAD,
		addresslist_read("root", 4, 0, gather, all, NULL));
	assert_int_equal(ADDRESSLIST_OK,
		addresslist_read("<>", 2, ADDRESS_NULL, gather, all, NULL));
	assert_string_equal("|", all);
	assert_int_equal(ADDRESSLIST_STOPPED,
		addresslist_read("a@b,c@d,e@f", 11, 0, stop, &calls, NULL));
	assert_int_equal(2, calls);
}

/* Long and deep input takes neither stack nor time. */
static void
test_large(void **state)
{
	size_t len = 4 * 1000 * 1000, i;
	char *text = malloc(len), all[512] = "";

	(void)state;
	memset(text, '(', len);
	assert_int_equal(ADDRESSLIST_BAD,
		addresslist_read(text, len, 0, gather, all, NULL));
	memset(text, ')', len);
	memset(text, '(', len / 2);
	assert_int_equal(ADDRESSLIST_OK,
		addresslist_read(text, len, 0, gather, all, NULL));
	memset(text, 'x', len);
	assert_int_equal(ADDRESSLIST_BAD,
		addresslist_read(text, len, 7, gather, all, NULL));
	for (i = 0; i < len; i += 2)
		memcpy(text + i, "a ", 2);
	memcpy(text + len - 6, "  <a@b", 6);
	text[len - 1] = '>';
	text[len - 2] = 'b';
	text[len - 3] = '@';
	text[len - 4] = 'a';
	text[len - 5] = '<';
	assert_int_equal(ADDRESSLIST_OK,
		addresslist_read(text, len, 0, gather, all, NULL));
	assert_string_equal("a@b|", all);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_flags_and_stop),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
