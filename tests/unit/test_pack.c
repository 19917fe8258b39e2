/*
 * Packing and unpacking: what goes in comes out, octets stand as doc/queue.md
 * says, and whatever is missing fails for good.
 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/pack.h"

static void
test_octets(void **state)
{
	static const unsigned char expected[] = {0xfe, 0x12, 0x34, 0x12, 0x34,
		0x56, 0x78, 1, 2, 3, 4, 5, 6, 7, 8, 0, 3, 'a', 0, 'b', 0, 0};
	stralloc octets = STRALLOC_ZERO;

	(void)state;
	assert_int_equal(pack_u8(&octets, 0xfe), 0);
	assert_int_equal(pack_u16(&octets, 0x1234), 0);
	assert_int_equal(pack_u32(&octets, 0x12345678), 0);
	assert_int_equal(pack_u64(&octets, 0x0102030405060708), 0);
	assert_int_equal(pack_text(&octets, "a\0b", 3), 0);
	assert_int_equal(pack_text(&octets, "", 0), 0);
	assert_int_equal(octets.len, sizeof expected);
	assert_memory_equal(octets.s, expected, sizeof expected);
	stralloc_free(&octets);
}

static void
test_round_trip(void **state)
{
	stralloc octets = STRALLOC_ZERO;
	struct unpack cursor;
	size_t length;

	(void)state;
	assert_int_equal(pack_u8(&octets, 255), 0);
	assert_int_equal(pack_u16(&octets, UINT16_MAX), 0);
	assert_int_equal(pack_u32(&octets, UINT32_MAX), 0);
	assert_int_equal(pack_u64(&octets, UINT64_MAX), 0);
	assert_int_equal(pack_text(&octets, "text", 4), 0);
	assert_true(stralloc_catb(&octets, "xyz", 3));
	unpack_start(&cursor, octets.s, octets.len);
	assert_int_equal(unpack_u8(&cursor), 255);
	assert_int_equal(unpack_u16(&cursor), UINT16_MAX);
	assert_int_equal(unpack_u32(&cursor), UINT32_MAX);
	assert_true(unpack_u64(&cursor) == UINT64_MAX);
	assert_memory_equal(unpack_text(&cursor, &length), "text", 4);
	assert_int_equal(length, 4);
	assert_false(unpack_ended(&cursor));
	assert_memory_equal(unpack_octets(&cursor, 3), "xyz", 3);
	assert_true(unpack_ended(&cursor));
	stralloc_free(&octets);
}

static void
test_text_length(void **state)
{
	stralloc octets = STRALLOC_ZERO;
	char *text = calloc(1, UINT16_MAX + 1);

	(void)state;
	assert_int_equal(pack_text(&octets, text, UINT16_MAX), 0);
	assert_int_equal(octets.len, UINT16_MAX + 2);
	errno = 0;
	assert_int_equal(pack_text(&octets, text, UINT16_MAX + 1), -1);
	assert_int_equal(errno, EOVERFLOW);
	assert_int_equal(octets.len, UINT16_MAX + 2);
	stralloc_free(&octets);
	free(text);
}

/* Every kind of read, with one octet fewer than it needs, from memory that ends
 * there (a sanitizer sees a read beyond). */
static void
test_missing(void **state)
{
	static const size_t need[] = {1, 2, 4, 8, 5, 3};

	(void)state;
	for (size_t kind = 0; kind < sizeof need / sizeof need[0]; kind++) {
		size_t size = need[kind] - 1, length = 9;
		unsigned char *octets = calloc(1, size + 1);
		unsigned char *end = octets + 1 + size;
		struct unpack cursor;

		if (kind == 4)
			octets[2] = 3; /* a text of three, of which two stand */
		unpack_start(&cursor, end - size, size);
		switch (kind) {
		case 0:
			assert_int_equal(unpack_u8(&cursor), 0);
			break;
		case 1:
			assert_int_equal(unpack_u16(&cursor), 0);
			break;
		case 2:
			assert_int_equal(unpack_u32(&cursor), 0);
			break;
		case 3:
			assert_true(unpack_u64(&cursor) == 0);
			break;
		case 4:
			assert_null(unpack_text(&cursor, &length));
			assert_int_equal(length, 0);
			break;
		default:
			assert_null(unpack_octets(&cursor, 3));
		}
		assert_true(cursor.failed);
		/* It sticks, though what is asked for now would be there. */
		assert_null(unpack_octets(&cursor, 0));
		assert_false(unpack_ended(&cursor));
		free(octets);
	}
}

static void
test_empty(void **state)
{
	struct unpack cursor;

	(void)state;
	unpack_start(&cursor, "", 0);
	assert_true(unpack_ended(&cursor));
	assert_non_null(unpack_octets(&cursor, 0));
	assert_null(unpack_octets(&cursor, SIZE_MAX));
	assert_true(cursor.failed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_octets),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_text_length),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
