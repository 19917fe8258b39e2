/*
 * Path names of the queue: each as doc/queue.md has it, and what is refused as
 * part of one.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "queue/layout.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define ID "06abcdefghjkmnpqrstv"
#define DEST "0123456789abcdef0123456789abcdef"

static void
test_paths(void **state)
{
	char path[LAYOUT_PATH_MAX];

	(void)state;
	layout_message(QUEUE_INCOMING, ID, path);
	assert_string_equal("incoming/" ID, path);
	layout_message(QUEUE_DOUBTFUL, ID, path);
	assert_string_equal("doubtful/" ID, path);
	layout_bucket(0, path);
	assert_string_equal("deferred/0000000000", path);
	layout_bucket(0x1c9a3f0, path);
	assert_string_equal("deferred/0001c9a3f0", path);
	layout_bucket(UINT64_MAX, path);
	assert_string_equal("deferred/ffffffffff", path);
	layout_deferred(0x1c9a3f0, ID, path);
	assert_string_equal("deferred/0001c9a3f0/" ID, path);
	layout_waiting(DEST, "10001c88e27", ID, path);
	assert_string_equal("waiting/" DEST "/10001c88e27/" ID, path);
	layout_job_folder(CHANNEL_REMOTE, DEST, path);
	assert_string_equal(QUEUE_JOBS_REMOTE "/" DEST, path);
	layout_job(CHANNEL_LOCAL, DEST, ID, 0, path);
	assert_string_equal(QUEUE_JOBS_LOCAL "/" DEST "/" ID ".0", path);
	layout_job(CHANNEL_REMOTE, DEST, ID, UINT32_MAX, path);
	assert_string_equal("jobs/remote/" DEST "/" ID ".ffffffff", path);
	assert_true(strlen(path) < LAYOUT_PATH_MAX);
	assert_string_equal("local", channel_name(CHANNEL_LOCAL));
	assert_string_equal("remote", channel_name(CHANNEL_REMOTE));
}

static void
test_dest(void **state)
{
	char one[LAYOUT_DEST_LENGTH + 1], other[LAYOUT_DEST_LENGTH + 1];
	char text[LAYOUT_DEST_LENGTH + 2];

	(void)state;
	layout_dest("example.org", one);
	assert_int_equal(LAYOUT_DEST_LENGTH, strlen(one));
	assert_true(layout_dest_is_valid(one, strlen(one)));
	layout_dest("example.org", other);
	assert_string_equal(one, other);
	layout_dest("example.org.", other);
	assert_string_not_equal(one, other);
	/* BLAKE2s with a digest of 16 octets: folders stay where they are */
	layout_dest("", other);
	assert_string_equal("64550d6ffe2c0a01a14aba1eade0200c", other);
	layout_dest("../../etc\n", other);
	assert_true(layout_dest_is_valid(other, strlen(other)));

	assert_true(layout_dest_is_valid(DEST, 32));
	assert_false(layout_dest_is_valid(DEST, 31));
	assert_false(layout_dest_is_valid(DEST, 33));
	assert_false(layout_dest_is_valid("", 0));
	for (size_t i = 0; i < LAYOUT_DEST_LENGTH; i++) {
		static const char BAD[] = {'g', 'A', '/', '.', 0, '\n', ' '};

		for (size_t bad = 0; bad < sizeof BAD; bad++) {
			memcpy(text, DEST, sizeof DEST);
			text[i] = BAD[bad];
			assert_false(layout_dest_is_valid(text, 32));
		}
	}
}

static void
test_minute(void **state)
{
	static const char *const BAD[] = {"", ".", "..", "0", "000000000",
		"00000000000", "000000000g", "000000000A", "00000000 0",
		"-000000001", "+000000001", "0x00000001", "../../../.",
		"0000000000\n", "000000000\n"};
	uint64_t minute = 77;

	(void)state;
	for (size_t i = 0; i < LENGTH(BAD); i++)
		if (layout_minute_scan(BAD[i], &minute) == 0)
			fail_msg("minute: %s", BAD[i]);
	assert_int_equal(77, minute);
	assert_int_equal(0, layout_minute_scan("0000000000", &minute));
	assert_true(minute == 0);
	assert_int_equal(0, layout_minute_scan("0001c9a3f0", &minute));
	assert_true(minute == 0x1c9a3f0);
	assert_int_equal(0, layout_minute_scan("ffffffffff", &minute));
	assert_true(minute == 0xffffffffff);
}

static void
test_job(void **state)
{
	static const char *const BAD[] = {"", ".", "..", ID, ID ".", ID "0",
		ID "-0", ID ".g", ID ".A", ID ".00", ID ".01", ID ".-1",
		ID ".100000000", ID ".fffffffff", ID ".0.0", ID ".0 ",
		ID ".0\n", ID ".0~", ID ".0/..", ID "..0", "x" ID ".0",
		"06abcdefghjkmnpqrsl1.0", "06ABCDEFGHJKMNPQRSTV.0",
		"06abcdefghjkmnpqrst.0", "../abcdefghjkmnpqrst.0"};
	uint32_t number = 77;
	char id[21] = "unchanged";

	(void)state;
	for (size_t i = 0; i < LENGTH(BAD); i++)
		if (layout_job_scan(BAD[i], id, &number) == 0)
			fail_msg("job: %s", BAD[i]);
	assert_string_equal("unchanged", id);
	assert_int_equal(77, number);
	assert_int_equal(0, layout_job_scan(ID ".0", id, &number));
	assert_string_equal(ID, id);
	assert_int_equal(0, number);
	assert_int_equal(0, layout_job_scan(ID ".1f", id, &number));
	assert_int_equal(31, number);
	assert_int_equal(0, layout_job_scan(ID ".ffffffff", id, &number));
	assert_true(number == UINT32_MAX);
}

static void
test_place(void **state)
{
	static const char *const GOOD[] = {"incoming/" ID, "active/" ID,
		"held/" ID, "doubtful/" ID, "deferred/0001c9a3f0/" ID,
		"waiting/" DEST "/10001c88e27/" ID};
	static const char *const BAD[] = {"", "/", ID, "active", "active/",
		"active//" ID, "active/" ID "/", "active/" ID "0",
		"active/../" ID, "./active/" ID, "/active/" ID, "jobs/" ID,
		"requests/" ID, "deferred/" ID, "deferred/0001c9a3f/" ID,
		"deferred/0001c9a3f00/" ID, "deferred/0001C9a3f0/" ID,
		"deferred/../../../../" ID, "waiting/" DEST "/" ID,
		"waiting/" DEST "/../" ID, "waiting//10001c88e27/" ID,
		"waiting/" DEST "/10001c88e2/" ID,
		"waiting/" DEST "/10001c88e27/", "waiting/" DEST,
		"active/06abcdefghjkmnpqrst0"};

	(void)state;
	for (size_t i = 0; i < LENGTH(GOOD); i++)
		if (!layout_place_is_valid(GOOD[i], ID))
			fail_msg("place: %s", GOOD[i]);
	for (size_t i = 0; i < LENGTH(BAD); i++)
		if (layout_place_is_valid(BAD[i], ID))
			fail_msg("place: %s", BAD[i]);
	assert_false(layout_place_is_valid("active/x", "x"));
	assert_false(layout_place_is_valid("active/..", ".."));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_dest),
		cmocka_unit_test(test_minute),
		cmocka_unit_test(test_job),
		cmocka_unit_test(test_place),
	};

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
