/*
 * Which headers are loops, and which only look like one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "local/loop.h"
#include "tests/unit/temporary.h"

static const struct {
	const char *content;
	enum loop_result result;
} ROWS[] = {
	{"", LOOP_NONE},
	{"\n", LOOP_NONE},
	{"Subject: x\n\nbody\n", LOOP_NONE},
	{"Delivered-To: a@b.test\n\n", LOOP_DELIVERED_TO},
	{"Delivered-To: a@b.test", LOOP_DELIVERED_TO},
	{"delivered-TO:A@B.Test\n\n", LOOP_DELIVERED_TO},
	{"Received: x\n y\nDelivered-To: \n a@b.test\n\n", LOOP_DELIVERED_TO},
	{"Delivered-To: aa@b.test\n\n", LOOP_NONE},
	{"Delivered-To: a@b.testing\n\n", LOOP_NONE},
	{"X-Delivered-To: a@b.test\n\n", LOOP_NONE},
	{"Subject: x\n\nDelivered-To: a@b.test\n\n", LOOP_NONE},
	{"Subject: x\n Delivered-To: a@b.test\n\n", LOOP_NONE},
};

static enum loop_result
check(const char *before, const char *content)
{
	char path[TEMPORARY_MAX];
	int folder = temporary_make(path);

	temporary_write(folder, "message", before, 0600);
	int fd = openat(folder, "message", O_RDWR | O_APPEND);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	enum loop_result result =
		loop_check(fd, strlen(before), strlen(content), "a@b.test");
	close(fd);
	temporary_remove(path, folder);
	return result;
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		assert_int_equal(check("", ROWS[i].content), ROWS[i].result);
		assert_int_equal(
			check("Delivered-To: a@b.test\n", ROWS[i].content),
			ROWS[i].result);
	}
}

static void
test_many(const char *line, int most, enum loop_result result)
{
	char content[4000] = "";
	size_t at = 0, length = strlen(line);

	for (int i = 0; i <= most; i++) {
		if (i == most)
			assert_int_equal(check("", content), LOOP_NONE);
		assert_true(at + length < sizeof content);
		memcpy(content + at, line, length + 1);
		at += length;
	}
	assert_int_equal(check("", content), result);
}

static void
test_received(void **state)
{
	(void)state;
	test_many("Received: by x\n", LOOP_RECEIVED_MAX, LOOP_RECEIVED);
	test_many("Delivered-To: x@y\n", LOOP_FORWARDS_MAX, LOOP_FORWARDS);
}

static void
test_error(void **state)
{
	(void)state;
	assert_int_equal(loop_check(-1, 0, 10, "a@b.test"), LOOP_ERROR);
	assert_int_equal(loop_check(0, UINT64_MAX, 10, "a@b"), LOOP_ERROR);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_received),
		cmocka_unit_test(test_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
