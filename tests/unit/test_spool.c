#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <skalibs/stralloc.h>
#include "tools/spool.h"

static int
collect(void *context, const char *octets, size_t length)
{
	return !stralloc_catb(context, octets, length);
}

/* Reads octets, given in pieces of this many, through a pipe. */
static void
spool_octets(const char *octets, size_t length, size_t piece, int dot_ends,
	struct spool *spool)
{
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(ends[0]);
		for (size_t at = 0; at < length; at += piece) {
			size_t n = length - at < piece ? length - at : piece;
			if (write(ends[1], octets + at, n) != (ssize_t)n)
				_exit(0);
		}
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(spool_read(ends[0], dot_ends, spool), SPOOL_OK);
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
}

static const struct {
	const char *in;
	const char *to_dot; /* what is left of it with dot_ends */
} row[] = {
	{"", ""},
	{"a\nb\n", "a\nb\n"},
	{"a\n.\nb\n", "a\n"},
	{"a\r\n.\r\nb\r\n", "a\r\n"},
	{".\nb\n", ""},
	{".", ""},
	{"..\nb\n", "..\nb\n"},
	{".a\n.b\n", ".a\n.b\n"},
	{"a.\nb\n", "a.\nb\n"},
	{"\n.\r\r\n.", "\n.\r\r\n"},
	{"\n.\rx\n", "\n.\rx\n"},
	{"\n\n.x\n\n.\n.\n", "\n\n.x\n\n"},
};

static void
test_dots(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		for (size_t piece = 1; piece < 5; piece++)
			for (int dot_ends = 0; dot_ends < 2; dot_ends++) {
				struct spool spool = SPOOL_EMPTY;
				stralloc got = STRALLOC_ZERO;
				const char *expected =
					dot_ends ? row[i].to_dot : row[i].in;

				spool_octets(row[i].in, strlen(row[i].in),
					piece, dot_ends, &spool);
				assert_int_equal(
					spool_each(&spool, 0, collect, &got),
					0);
				assert_true(stralloc_0(&got));
				assert_string_equal(got.s, expected);
				assert_int_equal(
					spool.octets, strlen(expected));
				stralloc_free(&got);
				spool_free(&spool);
				spool_free(&spool);
			}
}

static void
test_long(void **state)
{
	size_t length = SPOOL_MEMORY_OCTETS + 70001;
	char *octets = malloc(length);
	size_t offset[] = {0, 1, SPOOL_MEMORY_OCTETS - 1, SPOOL_MEMORY_OCTETS,
		SPOOL_MEMORY_OCTETS + 70000};

	(void)state;
	assert_non_null(octets);
	for (size_t i = 0; i < length; i++)
		octets[i] = (char)(' ' + i % 89);
	for (int eight_bit = 0; eight_bit < 2; eight_bit++) {
		struct spool spool = SPOOL_EMPTY;

		if (eight_bit)
			octets[length - 1] = (char)0x80;
		spool_octets(octets, length, 10000, 0, &spool);
		assert_int_equal(spool.octets, length);
		assert_int_equal(spool.eight_bit, eight_bit);
		assert_int_equal(spool.held, SPOOL_MEMORY_OCTETS);
		for (size_t i = 0; i < 5; i++) {
			stralloc got = STRALLOC_ZERO;

			assert_int_equal(
				spool_each(&spool, offset[i], collect, &got),
				0);
			assert_int_equal(got.len, length - offset[i]);
			assert_memory_equal(got.s, octets + offset[i], got.len);
			stralloc_free(&got);
		}
		spool_free(&spool);
	}
	free(octets);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dots),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
