/* Lines, deadlines and buffered output over pipes and sockets. */
#include "lib/line.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/deadline.h"
#include "lib/output.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define TEXT(literal) literal, sizeof literal - 1
/* Long enough that only a hang meets it. */
#define PATIENCE deadline_after_ms(20000)

static void
write_whole(int fd, const char *octets, size_t len)
{
	while (len > 0) {
		ssize_t count = write(fd, octets, len);

		assert_true(count > 0);
		octets += count;
		len -= (size_t)count;
	}
}

struct expected {
	enum line_result result;
	const char *text;
	size_t len;
};

static const struct row {
	const char *name, *input;
	size_t input_len, max;
	struct expected line[5]; /* up to the first LINE_EOF */
} ROWS[] = {
	{"two lines", TEXT("EHLO a\r\nQUIT\r\n"), 100,
		{{LINE_OK, TEXT("EHLO a")}, {LINE_OK, TEXT("QUIT")},
			{LINE_EOF, NULL, 0}}},
	{"empty line", TEXT("\r\n"), 100,
		{{LINE_OK, TEXT("")}, {LINE_EOF, NULL, 0}}},
	{"NUL inside", TEXT("a\0b\r\n"), 100,
		{{LINE_OK, TEXT("a\0b")}, {LINE_EOF, NULL, 0}}},
	{"bare LF", TEXT("a\nb\r\n"), 100,
		{{LINE_BARE, TEXT("a")}, {LINE_OK, TEXT("b")},
			{LINE_EOF, NULL, 0}}},
	{"LF alone", TEXT("\n"), 100,
		{{LINE_BARE, TEXT("")}, {LINE_EOF, NULL, 0}}},
	{"CR inside", TEXT("a\rb\r\n"), 100,
		{{LINE_BARE, TEXT("a\rb")}, {LINE_EOF, NULL, 0}}},
	{"CR CR LF", TEXT("a\r\r\n"), 100,
		{{LINE_BARE, TEXT("a\r")}, {LINE_EOF, NULL, 0}}},
	{"no end", TEXT("a\r\nb\r"), 100,
		{{LINE_OK, TEXT("a")}, {LINE_EOF, NULL, 0}}},
	{"exactly the limit", TEXT("12345678\r\nb\r\n"), 10,
		{{LINE_OK, TEXT("12345678")}, {LINE_OK, TEXT("b")},
			{LINE_EOF, NULL, 0}}},
	{"one beyond the limit", TEXT("123456789\r\nb\r\n"), 10,
		{{LINE_TOO_LONG, NULL, 0}, {LINE_OK, TEXT("b")},
			{LINE_EOF, NULL, 0}}},
	{"long without end", TEXT("1234567890123"), 10, {{LINE_EOF, NULL, 0}}},
	{"long with CR inside", TEXT("12345\r7890123\r\nb\r\n"), 10,
		{{LINE_TOO_LONG, NULL, 0}, {LINE_OK, TEXT("b")},
			{LINE_EOF, NULL, 0}}},
};

/* Reads the row's lines; the octets from `split` on come after the first. */
static void
read_row(const struct row *row, size_t split)
{
	struct line_reader *reader = malloc(sizeof *reader);
	int fd[2];
	size_t i;
	pid_t child;

	assert_non_null(reader);
	assert_int_equal(0, pipe(fd));
	write_whole(fd[1], row->input, split);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		/* The rest comes whenever it comes. */
		ssize_t count = write(
			fd[1], row->input + split, row->input_len - split);

		_exit(count == (ssize_t)(row->input_len - split) ? 0 : 1);
	}
	close(fd[1]);
	line_start(reader, fd[0]);
	for (i = 0; i < LENGTH(row->line); i++) {
		const char *text = NULL;
		size_t len = 0;
		enum line_result result =
			line_read(reader, row->max, PATIENCE, &text, &len);

		if (result != row->line[i].result || len != row->line[i].len ||
			(len > 0 && memcmp(text, row->line[i].text, len) != 0))
			fail_msg("%s at %zu: line %zu: result %d, %zu octets",
				row->name, split, i, (int)result, len);
		if (result == LINE_EOF)
			break;
	}
	close(fd[0]);
	assert_int_equal(child, waitpid(child, NULL, 0));
	free(reader);
}

static void
test_lines(void **state)
{
	size_t row, split;

	(void)state;
	for (row = 0; row < LENGTH(ROWS); row++)
		for (split = 0; split <= ROWS[row].input_len; split++)
			read_row(&ROWS[row], split);
}

/* The end of the buffer cuts a line: CR last in it, LF in the next read. */
static void
test_buffer_end(void **state)
{
	struct line_reader *reader = malloc(sizeof *reader);
	char *input = malloc(LINE_BUFFER_OCTETS + 16);
	int fd[2];
	size_t first, len;
	const char *text;

	(void)state;
	for (first = LINE_BUFFER_OCTETS - 6; first < LINE_BUFFER_OCTETS + 1;
		first++) {
		memset(input, 'x', first);
		memcpy(input + first - 2, "\r\nsecond\r\n", 10);
		assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
		write_whole(fd[1], input, first + 8);
		line_start(reader, fd[0]);
		assert_int_equal(LINE_OK, line_read(reader, LINE_BUFFER_OCTETS,
						  PATIENCE, &text, &len));
		assert_int_equal(first - 2, len);
		assert_int_equal(
			LINE_OK, line_read(reader, 100, PATIENCE, &text, &len));
		assert_int_equal(6, len);
		assert_memory_equal("second", text, 6);
		assert_true(line_is_empty(reader));
		close(fd[0]);
		close(fd[1]);
	}
	free(input);
	free(reader);
}

/* The limit is the whole buffer, and the line is longer. */
static void
test_longer_than_buffer(void **state)
{
	struct line_reader *reader = malloc(sizeof *reader);
	static char input[2 * LINE_BUFFER_OCTETS];
	int fd[2];
	size_t len;
	const char *text;

	(void)state;
	memset(input, 'x', sizeof input);
	memcpy(input + sizeof input - 8, "\r\nNOOP\r\n", 8);
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	write_whole(fd[1], input, sizeof input);
	line_start(reader, fd[0]);
	assert_int_equal(LINE_TOO_LONG,
		line_read(reader, LINE_BUFFER_OCTETS, PATIENCE, &text, &len));
	assert_int_equal(LINE_OK,
		line_read(reader, LINE_BUFFER_OCTETS, PATIENCE, &text, &len));
	assert_int_equal(4, len);
	assert_memory_equal("NOOP", text, 4);
	close(fd[0]);
	close(fd[1]);
	free(reader);
}

static void
test_timeout_keeps_input(void **state)
{
	struct line_reader *reader = malloc(sizeof *reader);
	const char *text;
	size_t len;
	int fd[2];

	(void)state;
	assert_int_equal(0, pipe(fd));
	line_start(reader, fd[0]);
	write_whole(fd[1], "NO", 2);
	assert_int_equal(LINE_TIMEOUT,
		line_read(reader, 100, deadline_now_ms(), &text, &len));
	text = line_buffered(reader, &len);
	assert_int_equal(2, len);
	write_whole(fd[1], "OP\r\nrest", 8);
	assert_int_equal(
		LINE_OK, line_read(reader, 100, PATIENCE, &text, &len));
	assert_int_equal(4, len);
	assert_memory_equal("NOOP", text, 4);
	text = line_buffered(reader, &len);
	assert_int_equal(4, len);
	assert_memory_equal("rest", text, 4);
	line_consume(reader, 1);
	text = line_buffered(reader, &len);
	assert_memory_equal("est", text, 3);
	line_discard(reader);
	assert_true(line_is_empty(reader));
	close(fd[0]);
	assert_int_equal(LINE_ERROR, line_fill(reader, PATIENCE));
	assert_int_equal(EBADF, errno);
	close(fd[1]);
	free(reader);
}

static void
test_drain_is_bounded(void **state)
{
	struct line_reader *reader = malloc(sizeof *reader);
	static char block[4096];
	const char *text;
	size_t len, i;
	int fd[2], status;
	pid_t child;

	(void)state;
	memset(block, 'x', sizeof block);
	assert_int_equal(0, pipe(fd));
	child = fork();
	if (child == 0) {
		close(fd[0]);
		signal(SIGPIPE, SIG_IGN);
		for (i = 0; i < 100 * LINE_DRAIN_MAX / sizeof block; i++)
			if (write(fd[1], block, sizeof block) == -1)
				_exit(0);
		_exit(1);
	}
	close(fd[1]);
	line_start(reader, fd[0]);
	assert_int_equal(
		LINE_ERROR, line_read(reader, 100, PATIENCE, &text, &len));
	assert_int_equal(EMSGSIZE, errno);
	close(fd[0]);
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_int_equal(0, status);
	free(reader);
}

static void
test_deadline(void **state)
{
	int64_t now_ms = deadline_now_ms();

	(void)state;
	assert_int_equal(-1, deadline_left_ms(DEADLINE_NEVER));
	assert_int_equal(0, deadline_left_ms(now_ms));
	assert_int_equal(0, deadline_left_ms(INT64_MIN));
	assert_int_equal(INT_MAX, deadline_left_ms(INT64_MAX - 1));
	assert_true(deadline_after_ms(INT64_MAX) == DEADLINE_NEVER);
	assert_true(deadline_after_ms(-5) >= now_ms);
	assert_true(deadline_left_ms(deadline_after_ms(1000)) <= 1000);
	assert_true(deadline_left_ms(deadline_after_ms(60000)) > 1000);
}

/* Small puts leave in one write; a datagram socket shows the writes. */
static void
test_output_gathers(void **state)
{
	struct output *output = malloc(sizeof *output);
	char got[64];
	int fd[2];

	(void)state;
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd));
	output_start(output, fd[0]);
	assert_int_equal(0, output_put(output, "250 a\r\n", 7, PATIENCE));
	assert_int_equal(0, output_put(output, "250 b\r\n", 7, PATIENCE));
	assert_int_equal(-1, recv(fd[1], got, sizeof got, MSG_DONTWAIT));
	assert_int_equal(0, output_flush(output, PATIENCE));
	assert_int_equal(14, recv(fd[1], got, sizeof got, MSG_DONTWAIT));
	assert_int_equal(14, output->written);
	assert_int_equal(0, output_flush(output, PATIENCE));
	assert_int_equal(-1, recv(fd[1], got, sizeof got, MSG_DONTWAIT));
	close(fd[1]);
	assert_int_equal(0, output_put(output, "x", 1, PATIENCE));
	assert_int_equal(-1, output_flush(output, PATIENCE));
	assert_int_equal(EPIPE, errno);
	close(fd[0]);
	free(output);
}

/* A peer that reads nothing holds nobody beyond the deadline. */
static void
output_times_out(int *fd)
{
	struct output *output = malloc(sizeof *output);
	static char block[100000];
	int result = 0;
	size_t i;

	output_start(output, fd[1]);
	for (i = 0; i < 1000 && result == 0; i++)
		result = output_put(
			output, block, sizeof block, deadline_after_ms(20));
	assert_int_equal(-1, result);
	assert_int_equal(ETIMEDOUT, errno);
	close(fd[0]);
	close(fd[1]);
	free(output);
}

static void
test_output_timeout(void **state)
{
	int fd[2];

	(void)state;
	assert_int_equal(0, pipe(fd));
	output_times_out(fd);
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	output_times_out(fd);
}

/* All octets arrive in order, however they were put. */
static void
test_output_order(void **state)
{
	struct output *output = malloc(sizeof *output);
	int fd[2], status;
	unsigned char octets[70000];
	size_t i, total = 0, len;
	pid_t child;

	(void)state;
	assert_int_equal(0, pipe(fd));
	child = fork();
	if (child == 0) {
		size_t at = 0;
		ssize_t count;

		close(fd[1]);
		while ((count = read(fd[0], octets, sizeof octets)) > 0)
			for (i = 0; i < (size_t)count; i++)
				if (octets[i] != (unsigned char)(at++ % 251))
					_exit(1);
		_exit(at > 1000000 ? 0 : 2);
	}
	close(fd[0]);
	output_start(output, fd[1]);
	for (len = 1; total <= 1000000; len = (len * 7 + 1) % sizeof octets) {
		char *space;
		size_t room;

		for (i = 0; i < len; i++)
			octets[i] = (unsigned char)((total + i) % 251);
		assert_int_equal(0, output_put(output, octets, len, PATIENCE));
		total += len;
		space = output_space(output, &room);
		if (room > 0) {
			*space = (char)(total++ % 251);
			output_commit(output, 1);
		}
	}
	assert_int_equal(0, output_flush(output, PATIENCE));
	assert_int_equal(total, output->written);
	close(fd[1]);
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_int_equal(0, status);
	free(output);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_buffer_end),
		cmocka_unit_test(test_longer_than_buffer),
		cmocka_unit_test(test_timeout_keeps_input),
		cmocka_unit_test(test_drain_is_bounded),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_output_gathers),
		cmocka_unit_test(test_output_timeout),
		cmocka_unit_test(test_output_order),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
