/*
 * Which file applies, whether it may be used, and what its lines mean.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "local/instructions.h"
#include "tests/unit/temporary.h"

#define END                \
	{                  \
		0, 0, NULL \
	}

static const struct {
	const char *text;
	bool forward_only;
	const char *wrong; /* begins why; NULL: it is right */
	struct instruction line[4];
} ROWS[] = {
	{"", false, NULL, {END}},
	{"# only this", false, NULL, {END}},
	{"#\n\n \t\n+list\n", false, NULL, {END}},
	{"a@b.test", false, NULL, {{INSTRUCTION_FORWARD, 1, "a@b.test"}, END}},
	{"&a@b.test \t\r\nann\n", false, NULL,
		{{INSTRUCTION_FORWARD, 1, "a@b.test"},
			{INSTRUCTION_FORWARD, 2, "ann"}, END}},
	{"#x\n| cat \n./M/\n/var/x/", false, NULL,
		{{INSTRUCTION_PROGRAM, 2, " cat"},
			{INSTRUCTION_MAILDIR, 3, "./M/"},
			{INSTRUCTION_MAILDIR, 4, "/var/x/"}, END}},
	{"# x\na@b.test", true, NULL,
		{{INSTRUCTION_FORWARD, 2, "a@b.test"}, END}},
	{"a@b.test\n|cat", true, "4.7.0", {END}},
	{"./M/", true, "4.7.0", {END}},
	{"\n|cat", false, "4.2.1 first line is empty", {END}},
	{" \n|cat", false, "4.2.1 first line is empty", {END}},
	{"./M/\n./mbox \n/var/box\n", false, NULL,
		{{INSTRUCTION_MAILDIR, 1, "./M/"},
			{INSTRUCTION_MBOX, 2, "./mbox"},
			{INSTRUCTION_MBOX, 3, "/var/box"}, END}},
	{"|a\n+list\nb\n", false, NULL,
		{{INSTRUCTION_PROGRAM, 1, "a"}, {INSTRUCTION_FORWARD, 3, "b"},
			END}},
	{"+list\n|a\n", false, "4.7.0", {END}},
	{"+list\n./box\n", false, "4.7.0", {END}},
	{"+lists\n|a\n", false, NULL, {{INSTRUCTION_PROGRAM, 2, "a"}, END}},
	{"./box", true, "4.7.0", {END}},
	{".M/", false, "4.3.5 a path", {END}},
	{"&", false, "4.3.5 not an address", {END}},
	{"a@b@c", false, "4.3.5 not an address", {END}},
	{"&<a@b.test>", false, "4.3.5 not an address", {END}},
	{"a@b.test\n two\n", false, "4.3.5 not an address", {END}},
};

static void
test_parse(void **state)
{
	char why[300];
	struct instructions got;

	(void)state;
	for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		int result =
			instructions_parse(ROWS[i].text, strlen(ROWS[i].text),
				ROWS[i].forward_only, &got, why, sizeof why);

		assert_int_equal(result, ROWS[i].wrong == NULL ? 0 : -1);
		if (result < 0)
			assert_memory_equal(
				why, ROWS[i].wrong, strlen(ROWS[i].wrong));
		unsigned lines = 0;
		for (; ROWS[i].line[lines].text != NULL; lines++) {
			const struct instruction *want = &ROWS[i].line[lines];

			assert_true(lines < got.lines);
			assert_int_equal(got.line[lines].kind, want->kind);
			assert_int_equal(got.line[lines].number, want->number);
			assert_string_equal(got.line[lines].text, want->text);
		}
		assert_int_equal(got.lines, lines);
		instructions_free(&got);
		instructions_free(&got);
	}
}

static void
test_bounds(void **state)
{
	static const char NUL[] = "a@b.test\0\n";
	char why[300];
	struct instructions got;
	char *text = malloc(INSTRUCTIONS_SIZE_MAX + 1);

	(void)state;
	assert_non_null(text);
	memset(text, '#', INSTRUCTIONS_SIZE_MAX + 1);
	assert_int_equal(instructions_parse(text, INSTRUCTIONS_SIZE_MAX + 1,
				 false, &got, why, sizeof why),
		-1);
	assert_int_equal(instructions_parse(text, INSTRUCTIONS_SIZE_MAX, false,
				 &got, why, sizeof why),
		0);
	instructions_free(&got);
	for (size_t i = 0; i < INSTRUCTIONS_LINES_MAX; i++)
		memcpy(text + 2 * i, "a\n", 2);
	assert_int_equal(instructions_parse(text, 2 * INSTRUCTIONS_LINES_MAX,
				 false, &got, why, sizeof why),
		0);
	assert_int_equal(got.lines, INSTRUCTIONS_LINES_MAX);
	instructions_free(&got);
	assert_int_equal(
		instructions_parse(text, 2 * INSTRUCTIONS_LINES_MAX + 1, false,
			&got, why, sizeof why),
		-1);
	assert_int_equal(instructions_parse(NUL, sizeof NUL - 1, false, &got,
				 why, sizeof why),
		-1);
	free(text);
}

static const struct {
	const char *dash, *extension;
	enum instructions_result result;
	const char *name, *matched;
} FIND[] = {
	{"", "", INSTRUCTIONS_EMPTY, ".qmail", NULL},
	{"-", "foo", INSTRUCTIONS_FOUND, ".qmail-foo", NULL},
	{"-", "FOO", INSTRUCTIONS_FOUND, ".qmail-foo", NULL},
	{"-", "foo-bar", INSTRUCTIONS_FOUND, ".qmail-foo-default", "bar"},
	{"-", "Foo-Bar-Baz", INSTRUCTIONS_FOUND, ".qmail-foo-default",
		"Bar-Baz"},
	{"-", "foo-", INSTRUCTIONS_FOUND, ".qmail-foo-default", ""},
	{"-", "foo-Default", INSTRUCTIONS_FOUND, ".qmail-foo-default",
		"Default"},
	{"-", "a.b", INSTRUCTIONS_FOUND, ".qmail-a:b", NULL},
	{"-", "a:b", INSTRUCTIONS_FOUND, ".qmail-a:b", NULL},
	{"-", "fo", INSTRUCTIONS_NONE, NULL, NULL},
	{"-", "", INSTRUCTIONS_NONE, NULL, NULL},
	{"", "foo", INSTRUCTIONS_NONE, NULL, NULL},
	{"-", "sub/file", INSTRUCTIONS_NONE, NULL, NULL},
	{"-", "/../x", INSTRUCTIONS_NONE, NULL, NULL},
	{"-", "open", INSTRUCTIONS_TROUBLE, NULL, NULL},
	{"-", "group", INSTRUCTIONS_TROUBLE, NULL, NULL},
	{"-", "folder", INSTRUCTIONS_TROUBLE, NULL, NULL},
	{"-", "fifo", INSTRUCTIONS_TROUBLE, NULL, NULL},
};

static void
test_find(void **state)
{
	char path[TEMPORARY_MAX], why[300];
	int home = temporary_make(path);
	struct instructions_file file;

	(void)state;
	temporary_write(home, ".qmail", "", 0600);
	temporary_write(home, ".qmail-foo", "#\n", 0600);
	temporary_write(home, ".qmail-foo-default", "#\n", 0644);
	temporary_write(home, ".qmail-a:b", "#\n", 0644);
	temporary_write(home, ".qmail-open", "#\n", 0602);
	temporary_write(home, ".qmail-group", "#\n", 0620);
	assert_int_equal(mkdirat(home, ".qmail-folder", 0700), 0);
	assert_int_equal(mkdirat(home, ".qmail-sub", 0700), 0);
	temporary_write(home, ".qmail-sub/file", "#\n", 0600);
	assert_int_equal(mkfifoat(home, ".qmail-fifo", 0600), 0);
	for (size_t i = 0; i < sizeof FIND / sizeof FIND[0]; i++) {
		why[0] = 0;
		enum instructions_result result =
			instructions_find(home, FIND[i].dash, FIND[i].extension,
				&file, why, sizeof why);

		assert_int_equal(result, FIND[i].result);
		assert_int_equal(file.fd >= 0, result == INSTRUCTIONS_FOUND);
		assert_int_equal(why[0] == '4', result == INSTRUCTIONS_TROUBLE);
		if (FIND[i].name != NULL)
			assert_string_equal(file.name, FIND[i].name);
		assert_int_equal(file.has_matched, FIND[i].matched != NULL);
		if (file.has_matched)
			assert_string_equal(file.matched, FIND[i].matched);
		if (file.fd >= 0)
			close(file.fd);
	}
	temporary_remove(path, home);
}

static void
test_find_default(void **state)
{
	char path[TEMPORARY_MAX], why[300], extension[1000];
	int home = temporary_make(path);
	struct instructions_file file;
	struct instructions got;

	(void)state;
	memset(extension, 'x', sizeof extension - 1);
	extension[sizeof extension - 1] = 0;
	assert_int_equal(
		instructions_find(home, "-", extension, &file, why, sizeof why),
		INSTRUCTIONS_NONE);
	temporary_write(home, ".qmail-default", "a@b.test\n", 0744);
	assert_int_equal(
		instructions_find(home, "-", extension, &file, why, sizeof why),
		INSTRUCTIONS_FOUND);
	assert_string_equal(file.name, ".qmail-default");
	assert_ptr_equal(file.matched, extension);
	assert_true(file.forward_only);
	assert_int_equal(instructions_read(&file, &got, why, sizeof why), 0);
	assert_int_equal(got.lines, 1);
	instructions_free(&got);
	close(file.fd);
	if (geteuid() == 0) {
		assert_int_equal(
			fchownat(home, ".qmail-default", 65534, 65534, 0), 0);
		assert_int_equal(instructions_find(home, "-", "y", &file, why,
					 sizeof why),
			INSTRUCTIONS_TROUBLE);
	}
	temporary_remove(path, home);
}

static void
test_home(void **state)
{
	char path[TEMPORARY_MAX], why[300];
	int home = temporary_make(path);

	(void)state;
	assert_int_equal(instructions_home(home, why, sizeof why), 0);
	assert_int_equal(fchmod(home, 0770), 0);
	assert_int_equal(instructions_home(home, why, sizeof why), 0);
	assert_int_equal(fchmod(home, 0702), 0);
	assert_int_equal(instructions_home(home, why, sizeof why), -1);
	assert_memory_equal(why, "4.7.0 ", 6);
	assert_int_equal(fchmod(home, 01700), 0);
	assert_int_equal(instructions_home(home, why, sizeof why), -1);
	assert_memory_equal(why, "4.2.1 ", 6);
	temporary_remove(path, home);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_default),
		cmocka_unit_test(test_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
