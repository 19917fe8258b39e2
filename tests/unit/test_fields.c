/* Header fields, and where a header ends. */
#include "lib/fields.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* Fields as "name=unfolded body|"; then the body of the message. */
static const struct row {
	const char *name, *block, *fields, *body;
	int blank;
} ROWS[] = {
	{"plain", "A: 1\nB: 2\n\nbody\n", "A=1|B=2|", "body\n", 1},
	{"no body", "A: 1\n\n", "A=1|", "", 1},
	{"no empty line", "A: 1\nB: 2\n", "A=1|B=2|", "", 0},
	{"no last line end", "A: 1", "A=1|", "", 0},
	{"empty", "", "", "", 0},
	{"only a body", "\nbody\n", "", "body\n", 1},
	{"folded", "A: 1\n 2\n\t3\nB:4\n\n", "A=1 2\t3|B=4|", "", 1},
	{"fold of white space alone", "A: 1\n \nB: 2\n\n", "A=1|B=2|", "", 1},
	{"body begins in the header", "A: 1\nno field\nB: 2\n", "A=1|",
		"no field\nB: 2\n", 0},
	{"leading continuation", " x\nA: 1\n\nbody\n", "", " x\nA: 1\n\nbody\n",
		0},
	{"space before the colon", "A : 1\n\n", "A=1|", "", 1},
	{"empty field", "A:\nB:\n\n", "A=|B=|", "", 1},
	{"colon alone", ":x\n\nb\n", "", ":x\n\nb\n", 0},
	{"space in the name", "A B: 1\n\n", "", "A B: 1\n\n", 0},
	{"8 bit in the name", "A\303: 1\n\n", "", "A\303: 1\n\n", 0},
	{"mbox line", "From a@b Sat Nov 21 04:05:06 2026\nA: 1\n\nb", "A=1|",
		"b", 1},
	{"quoted mbox line", ">From a\nA: 1\n\nb", "A=1|", "b", 1},
	{"mbox line not first", "A: 1\nFrom a\n\nb", "A=1|", "From a\n\nb", 0},
	{"mbox line alone", "From a", "", "", 0},
	{"CRLF", "A: 1\r\n 2\r\nB: 3\r\n\r\nbody", "A=1 2|B=3|", "body", 1},
	{"colon in the body", "A: b:c\n\n", "A=b:c|", "", 1},
	{"8 bit in the body", "A: \303\251\n\n", "A=\303\251|", "", 1},
};

static void
test_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		const struct row *row = &ROWS[i];
		struct fields fields;
		struct field field;
		char all[256] = "", body[64];
		size_t octets = 0, at = 0;

		fields_start(&fields, row->block, strlen(row->block));
		octets = fields.at;
		while (fields_next(&fields, &field)) {
			field_unfold(&field, body, sizeof body);
			at += (size_t)snprintf(all + at, sizeof all - at,
				"%.*s=%s|", (int)field.name_len, field.name,
				body);
			assert_ptr_equal(field.start, row->block + octets);
			octets += field.len;
		}
		assert_int_equal(0, fields_next(&fields, &field));
		if (strcmp(row->fields, all) != 0 ||
			strcmp(row->body, row->block + fields.body_at) != 0 ||
			fields.blank != row->blank)
			fail_msg("%s: %s then %s", row->name, all,
				row->block + fields.body_at);
	}
}

static void
test_count(void **state)
{
	static const char BLOCK[] = "Received: a\nRECEIVED: b\n c\nX: y\n"
				    "Received : d\nReceivedX: e\n\n"
				    "Received: f\n";

	(void)state;
	assert_int_equal(3, fields_count(BLOCK, sizeof BLOCK - 1, "Received"));
	assert_int_equal(0, fields_count(BLOCK, sizeof BLOCK - 1, "Rec"));
	assert_int_equal(0, fields_count("", 0, "Received"));
}

static void
test_unfold_cut(void **state)
{
	static const char BLOCK[] = "A:  abc\n def  \n";
	struct fields fields;
	struct field field;
	char buffer[16];

	(void)state;
	fields_start(&fields, BLOCK, sizeof BLOCK - 1);
	assert_int_equal(1, fields_next(&fields, &field));
	assert_int_equal(7, field_unfold(&field, buffer, sizeof buffer));
	assert_string_equal("abc def", buffer);
	assert_int_equal(3, field_unfold(&field, buffer, 5));
	assert_string_equal("abc", buffer);
	assert_int_equal(0, field_unfold(&field, buffer, 1));
	assert_string_equal("", buffer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_unfold_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
