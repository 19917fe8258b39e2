/*
 * Records: octets as doc/queue.md says, torn tails at every length, and every
 * single bit that may turn over.
 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/records.h"

static void
test_octets(void **state)
{
	/* CRC-32 of "R", and of "Tab", from another program (Python's zlib). */
	static const unsigned char expected[] = {0, 0, 0, 0, 'R', 0x57, 0x67,
		0xdf, 0x55, 0, 0, 0, 2, 'T', 'a', 'b', 0x4b, 0xae, 0x05, 0xec};
	stralloc octets = STRALLOC_ZERO;

	(void)state;
	assert_int_equal(record_append(&octets, 'R', NULL, 0), 0);
	assert_int_equal(record_append(&octets, 'T', "ab", 2), 0);
	assert_int_equal(octets.len, sizeof expected);
	assert_memory_equal(octets.s, expected, sizeof expected);
	stralloc_free(&octets);
}

static void
make_three(stralloc *octets)
{
	assert_int_equal(record_append(octets, 'F', "first", 5), 0);
	assert_int_equal(record_append(octets, 'E', "", 0), 0);
	assert_int_equal(record_append(octets, 'L', "la\0st", 5), 0);
}

static void
test_round_trip(void **state)
{
	stralloc octets = STRALLOC_ZERO;
	struct record_cursor cursor;
	struct record record;

	(void)state;
	make_three(&octets);
	record_start(&cursor, octets.s, octets.len);
	assert_int_equal(record_next(&cursor, &record), RECORD_OK);
	assert_int_equal(record.type, 'F');
	assert_int_equal(record.length, 5);
	assert_memory_equal(record.payload, "first", 5);
	assert_int_equal(record_next(&cursor, &record), RECORD_OK);
	assert_int_equal(record.type, 'E');
	assert_int_equal(record.length, 0);
	assert_int_equal(record_next(&cursor, &record), RECORD_OK);
	assert_int_equal(record.length, 5);
	assert_memory_equal(record.payload, "la\0st", 5);
	assert_int_equal(record_next(&cursor, &record), RECORD_END);
	assert_int_equal(record_next(&cursor, &record), RECORD_END);
	stralloc_free(&octets);
}

/* Cut anywhere: the whole records before the cut, then a torn tail if it is not
 * between two; the cursor stays where the tail begins. */
static void
test_every_cut(void **state)
{
	static const size_t whole[] = {0, 14, 23, 37};
	stralloc octets = STRALLOC_ZERO;

	(void)state;
	make_three(&octets);
	assert_int_equal(octets.len, 37);
	for (size_t cut = 0; cut <= octets.len; cut++) {
		unsigned char *copy = malloc(cut + 1);
		struct record_cursor cursor;
		struct record record;
		size_t count = 0;

		/* At the end of its memory, so that a sanitizer sees more. */
		memcpy(copy + 1, octets.s, cut);
		record_start(&cursor, copy + 1, cut);
		enum record_result result;
		while ((result = record_next(&cursor, &record)) == RECORD_OK)
			count++;
		assert_int_equal(cursor.at - (copy + 1), whole[count]);
		assert_int_equal(
			result, whole[count] == cut ? RECORD_END : RECORD_TORN);
		assert_true(count == 3 || whole[count + 1] > cut);
		free(copy);
	}
	stralloc_free(&octets);
}

static void
test_every_bit(void **state)
{
	stralloc octets = STRALLOC_ZERO;
	struct record_cursor cursor;
	struct record record;

	(void)state;
	assert_int_equal(record_append(&octets, 'X', "payload", 7), 0);
	for (size_t bit = 0; bit < octets.len * 8; bit++) {
		octets.s[bit / 8] ^= (char)(1 << bit % 8);
		record_start(&cursor, octets.s, octets.len);
		assert_int_equal(record_next(&cursor, &record), RECORD_TORN);
		octets.s[bit / 8] ^= (char)(1 << bit % 8);
	}
	record_start(&cursor, octets.s, octets.len);
	assert_int_equal(record_next(&cursor, &record), RECORD_OK);
	stralloc_free(&octets);
}

static void
test_lengths(void **state)
{
	static const unsigned char huge[RECORD_OVERHEAD] = {
		255, 255, 255, 255, 'X'};
	stralloc octets = STRALLOC_ZERO;
	struct record_cursor cursor;
	struct record record;
	char *payload = calloc(1, RECORD_PAYLOAD_MAX + 1);

	(void)state;
	record_start(&cursor, huge, sizeof huge);
	assert_int_equal(record_next(&cursor, &record), RECORD_TORN);
	errno = 0;
	assert_int_equal(
		record_append(&octets, 'X', payload, RECORD_PAYLOAD_MAX + 1),
		-1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(octets.len, 0);
	assert_int_equal(
		record_append(&octets, 'X', payload, RECORD_PAYLOAD_MAX), 0);
	record_start(&cursor, octets.s, octets.len);
	assert_int_equal(record_next(&cursor, &record), RECORD_OK);
	assert_int_equal(record.length, RECORD_PAYLOAD_MAX);
	free(payload);
	stralloc_free(&octets);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_octets),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
