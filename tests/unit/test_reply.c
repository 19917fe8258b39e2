/* Replies: read from a server line by line, made and written by ours. */
#include "lib/reply.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

static const struct read_row {
	const char *name;
	const char *line[4];
	enum reply_result result; /* of the last line; REPLY_MORE before it */
	int code;
	const char *enhanced, *text;
} READ_ROWS[] = {
	{"plain", {"250 ok"}, REPLY_DONE, 250, "", "ok"},
	{"no text", {"250"}, REPLY_DONE, 250, "", ""},
	{"only a space", {"250 "}, REPLY_DONE, 250, "", ""},
	{"three lines", {"250-a", "250-", "250 c"}, REPLY_DONE, 250, "",
		"a\n\nc"},
	{"last without text", {"250-a", "250"}, REPLY_DONE, 250, "", "a\n"},
	{"enhanced", {"550 5.1.1 no such user"}, REPLY_DONE, 550, "5.1.1",
		"no such user"},
	{"enhanced alone", {"250 2.0.0"}, REPLY_DONE, 250, "2.0.0", ""},
	{"enhanced on each line", {"550-5.7.26 a", "550 5.7.26 b"}, REPLY_DONE,
		550, "5.7.26", "a\nb"},
	{"enhanced of another class", {"550 4.1.1 x"}, REPLY_DONE, 550, "",
		"4.1.1 x"},
	{"enhanced that changes", {"550-5.1.1 x", "550 5.1.2 y"}, REPLY_DONE,
		550, "5.1.1", "x\n5.1.2 y"},
	{"enhanced not first", {"250-host", "250 2.0.0 x"}, REPLY_DONE, 250, "",
		"host\n2.0.0 x"},
	{"not an enhanced code", {"250 2.0.0x"}, REPLY_DONE, 250, "", "2.0.0x"},
	{"enhanced of four digits", {"550 5.1.1234 x"}, REPLY_DONE, 550, "",
		"5.1.1234 x"},
	{"enhanced longest", {"550 5.123.456 x"}, REPLY_DONE, 550, "5.123.456",
		"x"},
	{"354 has none", {"354 3.0.0 go"}, REPLY_DONE, 354, "", "3.0.0 go"},
	{"cut enhanced", {"550 5."}, REPLY_DONE, 550, "", "5."},
	{"another code", {"250-a", "251 b"}, REPLY_BAD, 250, "", "a"},
	{"empty line", {""}, REPLY_BAD, 0, "", ""},
	{"two digits", {"25"}, REPLY_BAD, 0, "", ""},
	{"four digits", {"2500 x"}, REPLY_BAD, 0, "", ""},
	{"letters", {"OK 250"}, REPLY_BAD, 0, "", ""},
	{"class 1", {"150 x"}, REPLY_BAD, 0, "", ""},
	{"class 6", {"650 x"}, REPLY_BAD, 0, "", ""},
	{"no divider", {"250x"}, REPLY_BAD, 0, "", ""},
	{"tab", {"250\tx"}, REPLY_BAD, 0, "", ""},
	{"leading space", {" 250 x"}, REPLY_BAD, 0, "", ""},
};

static void
test_read(void **state)
{
	size_t i, line;

	(void)state;
	for (i = 0; i < LENGTH(READ_ROWS); i++) {
		const struct read_row *row = &READ_ROWS[i];
		enum reply_result result = REPLY_MORE;
		struct reply reply;

		reply_begin(&reply);
		for (line = 0; line < 4 && row->line[line] != NULL; line++) {
			if (result != REPLY_MORE)
				fail_msg("%s: ended early", row->name);
			result = reply_take_line(&reply, row->line[line],
				strlen(row->line[line]));
		}
		if (result != row->result)
			fail_msg("%s: result %d", row->name, (int)result);
		if (reply.code != row->code ||
			strcmp(reply.enhanced, row->enhanced) != 0 ||
			strcmp(reply.text, row->text) != 0)
			fail_msg("%s: %d '%s' '%s'", row->name, reply.code,
				reply.enhanced, reply.text);
	}
}

static void
test_read_bounds(void **state)
{
	char line[5000];
	struct reply reply;
	size_t i;

	(void)state;
	memset(line, 'x', sizeof line);
	memcpy(line, "250-", 4);
	reply_begin(&reply);
	for (i = 0; i < REPLY_OCTETS_MAX / 1002; i++)
		assert_int_equal(
			REPLY_MORE, reply_take_line(&reply, line, 1000));
	assert_int_equal(REPLY_BAD, reply_take_line(&reply, line, 1000));
	assert_int_equal(REPLY_TEXT_MAX, strlen(reply.text));

	reply_begin(&reply);
	line[3] = ' ';
	assert_int_equal(REPLY_DONE, reply_take_line(&reply, line, 5000));
	assert_int_equal(REPLY_TEXT_MAX, reply.text_len);
	assert_int_equal(REPLY_BAD, reply_take_line(&reply, "250 more", 8));

	reply_begin(&reply);
	assert_int_equal(REPLY_DONE, reply_take_line(&reply, "250 a\0b\nc", 9));
	assert_string_equal("a?b?c", reply.text);
}

static void
expect_wire(const struct reply *reply, const char *expected)
{
	char wire[REPLY_WIRE_MAX + 1];
	size_t len = reply_write(reply, wire, REPLY_WIRE_MAX);

	wire[len] = '\0';
	assert_string_equal(expected, wire);
	if (len > 0)
		assert_int_equal(0, reply_write(reply, wire, len - 1));
}

static void
test_write(void **state)
{
	struct reply reply = reply_make(250, "2.0.0", "ok %d", 7);

	(void)state;
	expect_wire(&reply, "250 2.0.0 ok 7\r\n");
	reply = reply_make(250, NULL, "me.example");
	reply_add(&reply, "PIPELINING");
	reply_add(&reply, "SIZE %u", 100u);
	expect_wire(
		&reply, "250-me.example\r\n250-PIPELINING\r\n250 SIZE 100\r\n");
	reply = reply_make(550, "5.1.1", "[%s]", "a\r\n250 ok\t\377\177");
	expect_wire(&reply, "550 5.1.1 [a??250 ok??"
			    "?]\r\n");
	reply = reply_make(354, "", "%s", "");
	expect_wire(&reply, "354 \r\n");
}

static void
test_write_bounds(void **state)
{
	char long_text[3000], wire[REPLY_WIRE_MAX];
	struct reply reply;
	size_t i, lines = 0, start = 0, len;

	(void)state;
	memset(long_text, 'x', sizeof long_text - 1);
	long_text[sizeof long_text - 1] = '\0';
	reply = reply_make(550, "5.123.456", "%s", long_text);
	assert_int_equal(REPLY_TEXT_MAX, reply.text_len);
	assert_int_equal(
		REPLY_LINE_MAX, reply_write(&reply, wire, sizeof wire));
	assert_memory_equal("x\r\n", wire + REPLY_LINE_MAX - 3, 3);

	reply = reply_make(250, "2.123.456", "a");
	for (i = 0; i < 100; i++)
		reply_add(&reply, "%.*s", (int)(i % 40), long_text);
	len = reply_write(&reply, wire, sizeof wire);
	assert_true(len > 0);
	for (i = 0; i < len; i++) {
		if (wire[i] != '\n')
			continue;
		lines++;
		assert_int_equal('\r', wire[i - 1]);
		assert_int_equal(i + 1 == len ? ' ' : '-', wire[start + 3]);
		start = i + 1;
	}
	assert_true(lines <= REPLY_LINES_MAX && lines > 10);
}

static void
test_lines_and_summary(void **state)
{
	struct reply reply;
	const char *line;
	size_t at = 0, len;
	char summary[64], small[8];

	(void)state;
	reply_begin(&reply);
	reply_take_line(&reply, "550-5.1.1 no\033[1m", 16);
	reply_take_line(&reply, "550 5.1.1 such", 14);
	assert_int_equal(1, reply_next_line(&reply, &at, &line, &len));
	assert_int_equal(6, len);
	assert_int_equal(1, reply_next_line(&reply, &at, &line, &len));
	assert_int_equal(4, len);
	assert_memory_equal("such", line, 4);
	assert_int_equal(0, reply_next_line(&reply, &at, &line, &len));
	reply_summary(&reply, summary, sizeof summary);
	assert_string_equal("550 5.1.1 no?[1m such", summary);
	assert_int_equal(7, reply_summary(&reply, small, sizeof small));
	assert_string_equal("550 5.1", small);
	assert_int_equal(5, reply_class(&reply));
	reply_begin(&reply);
	assert_int_equal(0, reply_class(&reply));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_bounds),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_bounds),
		cmocka_unit_test(test_lines_and_summary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
