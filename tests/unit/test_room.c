/*
 * When queue-inject takes nothing more: what is left of a disk, and how many
 * files it believes to be in a folder that others empty.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <cmocka.h>
#include "queue/room.h"
#include "tests/unit/temporary.h"

#define ID "1k0rp01dhqmsnhhp3e%02d"

static void
disk(void **state)
{
	char path[TEMPORARY_MAX], why[ROOM_TEXT_MAX];
	int folder = temporary_make(path);
	struct room_left left = {0};
	struct statvfs st;

	(void)state;
	assert_int_equal(fstatvfs(folder, &st), 0);
	assert_int_equal(room_on_disk(folder, &left, 1, why), SUBMIT_ACCEPTED);
	assert_string_equal(why, "");
	/* neither the sum nor the difference may wrap */
	assert_int_equal(
		room_on_disk(folder, &left, UINT64_MAX, why), SUBMIT_WRITE);
	left.octets = UINT64_MAX;
	assert_int_equal(room_on_disk(folder, &left, 0, why), SUBMIT_WRITE);
	assert_int_equal(
		room_on_disk(folder, &left, UINT64_MAX, why), SUBMIT_WRITE);
	assert_non_null(strstr(why, "KiB are free"));
	left = (struct room_left){0, UINT64_MAX};
	if (st.f_files != 0) {
		assert_int_equal(
			room_on_disk(folder, &left, 0, why), SUBMIT_WRITE);
		assert_non_null(strstr(why, "inodes are free"));
	}
	assert_int_equal(room_on_disk(-1, &left, 0, why), SUBMIT_WRITE);
	temporary_remove(path, folder);
}

static void
change(int folder, int number, bool exists)
{
	char id[32];

	snprintf(id, sizeof id, ID, number);
	if (exists)
		close(openat(folder, id, O_CREAT | O_WRONLY | O_EXCL, 0600));
	else
		assert_int_equal(unlinkat(folder, id, 0), 0);
}

/* The time of the last count goes by. */
static void
wait_to_count(struct room *room)
{
	room->counted_ms -= 2000;
}

static void
files(void **state)
{
	char path[TEMPORARY_MAX];
	int folder = temporary_make(path);
	struct room room = {.folder = folder, .incoming_max = 8};

	(void)state;
	/* what was there before is counted, and what has no id is not */
	close(openat(folder, ".hidden", O_CREAT | O_WRONLY, 0600));
	for (int i = 0; i < 6; i++)
		change(folder, i, true);
	assert_true(room_is_open(&room));
	assert_int_equal(room.files, 6);
	for (int i = 6; i < 8; i++) {
		assert_true(room_is_open(&room));
		change(folder, i, true);
		room_file_made(&room);
	}
	assert_false(room_is_open(&room));
	assert_int_equal(room.refusal, SUBMIT_BUSY);
	assert_non_null(strstr(room.why, "8 messages wait"));
	/* one less is not enough, and is not seen at once */
	for (int i = 0; i < 2; i++) {
		change(folder, i, false);
		assert_false(room_is_open(&room));
		wait_to_count(&room);
		assert_true(room_is_open(&room) == (i == 1));
	}
	assert_int_equal(room.refusal, SUBMIT_ACCEPTED);
	temporary_remove(path, folder);
}

/* Far from the limit nothing is counted. */
static void
estimate(void **state)
{
	char path[TEMPORARY_MAX];
	int folder = temporary_make(path);
	struct room room = {.folder = folder, .incoming_max = 800};

	(void)state;
	assert_true(room_is_open(&room));
	for (int i = 0; i < 799; i++) {
		room_file_made(&room);
		assert_true(room_is_open(&room));
	}
	assert_int_equal(room.files, 799);
	room_file_removed(&room);
	room_file_made(&room);
	/* now it is, and all have been taken meanwhile */
	room_file_made(&room);
	assert_true(room_is_open(&room));
	assert_int_equal(room.files, 0);
	room_file_removed(&room);
	assert_int_equal(room.files, 0);
	temporary_remove(path, folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disk),
		cmocka_unit_test(files),
		cmocka_unit_test(estimate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
