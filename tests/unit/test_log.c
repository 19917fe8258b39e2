/*
 * The log: one line a call, nothing in it that a terminal or a reader of lines
 * could take for something else.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/log.h"

/* Logs text with descriptor 2 on a pipe; what came out, NUL-terminated. */
static size_t
logged(const char *text, char *into, size_t size)
{
	int pipes[2], standard = dup(2);

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(dup2(pipes[1], 2), 2);
	errno = ENOANO;
	log_line("%s", text);
	int saved = errno;
	assert_int_equal(dup2(standard, 2), 2);
	close(pipes[1]);
	close(standard);
	assert_int_equal(saved, ENOANO);
	ssize_t length = read(pipes[0], into, size - 1);
	close(pipes[0]);
	assert_true(length >= 0);
	into[length] = 0;
	return (size_t)length;
}

static void
test_lines(void **state)
{
	static const struct {
		const char *text, *line;
	} row[] = {
		{"plain text ~", "test: plain text ~\n"},
		{"", "test: \n"},
		{"100% %s %n", "test: 100% %s %n\n"},
		{"a\nb: forged", "test: a\\x0ab: forged\n"},
		{"\r\t\033[2J\177", "test: \\x0d\\x09\\x1b[2J\\x7f\n"},
		{"\303\251\377", "test: \\xc3\\xa9\\xff\n"},
	};
	char line[2000];

	(void)state;
	log_start("test");
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		logged(row[i].text, line, sizeof line);
		assert_string_equal(line, row[i].line);
	}
}

/* Every length about the limit, of letters and of octets that grow. */
static void
test_long(void **state)
{
	char text[3000], line[5000];

	(void)state;
	log_start("test");
	for (int kind = 0; kind < 2; kind++)
		for (size_t length = 200; length < 1300; length++) {
			memset(text, kind == 0 ? 'x' : '\001', length);
			text[length] = 0;
			size_t got = logged(text, line, sizeof line);

			assert_in_range(got, 7, LOG_LINE_MAX + 1);
			assert_int_equal(line[got - 1], '\n');
			assert_ptr_equal(strchr(line, '\n'), line + got - 1);
			size_t whole = 6 + length * (kind == 0 ? 1 : 4) + 1;
			if (got != whole)
				assert_memory_equal(line + got - 4, "...\n", 4);
		}
}

static void
test_long_program(void **state)
{
	char line[300];

	(void)state;
	log_start("a-name-of-a-program-that-is-much-longer-than-forty-letters");
	logged("text", line, sizeof line);
	assert_string_equal(
		line, "a-name-of-a-program-that-is-much-longer-: text\n");
	log_start("test");
}

/* Descriptor 2 closed, or nobody reading: no matter. */
static void
test_no_reader(void **state)
{
	int standard = dup(2), pipes[2];

	(void)state;
	close(2);
	errno = ENOANO;
	log_line("lost");
	assert_int_equal(errno, ENOANO);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[1], 2);
	close(pipes[0]);
	close(pipes[1]);
	log_line("lost");
	assert_int_equal(errno, ENOANO);
	dup2(standard, 2);
	close(standard);
}

/* Gathered lines: none before log_write, then all, in pieces that a pipe takes
 * whole. Last, because there is no way back. */
static void
test_gather(void **state)
{
	int pipes[2], standard = dup(2);
	char got[2 * LOG_GATHER_MAX], line[600];

	(void)state;
	log_start("test");
	assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
	assert_int_equal(dup2(pipes[1], 2), 2);
	log_gather();
	log_line("one");
	log_line("two");
	assert_int_equal(read(pipes[0], got, sizeof got), -1);
	log_write();
	ssize_t length = read(pipes[0], got, sizeof got);
	assert_int_equal(length, 20);
	assert_memory_equal(got, "test: one\ntest: two\n", 20);
	log_write();
	assert_int_equal(read(pipes[0], got, sizeof got), -1);
	memset(line, 'x', sizeof line - 1);
	line[sizeof line - 1] = 0;
	/* each is 606 octets: six fit, the seventh drives them out */
	for (int i = 0; i < 7; i++) {
		assert_int_equal(read(pipes[0], got, sizeof got), -1);
		log_line("%s", line);
	}
	assert_int_equal(read(pipes[0], got, sizeof got), 6 * 606);
	log_write();
	assert_int_equal(read(pipes[0], got, sizeof got), 606);
	dup2(standard, 2);
	close(standard);
	close(pipes[0]);
	close(pipes[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_long_program),
		cmocka_unit_test(test_no_reader),
		cmocka_unit_test(test_gather),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
