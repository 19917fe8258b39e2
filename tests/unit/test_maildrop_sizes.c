/*
 * The sizes of a maildrop's messages: by the name, by counting, by the cache that
 * earlier sessions left; and the quota.
 */
#include "tests/unit/maildrop_harness.h"

static void
test_sizes(void **state)
{
	static const struct {
		const char *name;
		const char *text;
		uint64_t octets;
	} ROWS[] = {
		{"01.empty", "", 0},
		{"02.line", "a\n", 3},
		{"03.no-end", "a", 3},
		{"04.crlf", "a\r\nb\n", 6},
		{"05.bare-cr", "a\rb\n", 5},
		{"06.dots", ".\n..\n", 7},
		{"07.last-cr", "a\r", 4},
		{"08.told,S=4,W=6", "a\nb\n", 6},
		{"09.told,S=4,W=5", "a\nb\n", 5}, /* believed, as it can be */
		{"10.told,S=5,W=5", "a\nb\n", 5},
		{"11.small,S=4,W=3", "a\nb\n", 6},
		{"12.large,S=4,W=11", "a\nb\n", 6},
		{"13.alone,W=5", "a\nb\n", 6},
		{"14.odd,S=4,W=5x", "a\nb\n", 6},
		{"15.over,S=4,W=99999999999999999999", "a\nb\n", 6},
		{"16.flags,S=4:2,W=5", "a\nb\n", 6},
	};
	struct place *place = *state;
	struct maildrop drop;
	char path[300];

	for (size_t row = 0; row < LENGTH(ROWS); row++) {
		snprintf(path, sizeof path, "Maildir/cur/%s", ROWS[row].name);
		put_file(place, path, ROWS[row].text);
	}
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(drop.messages, LENGTH(ROWS));
	for (size_t row = 0; row < LENGTH(ROWS); row++) {
		assert_string_equal(drop.message[row].name, ROWS[row].name);
		assert_int_equal(maildrop_octets(&drop, &drop.message[row]),
			ROWS[row].octets);
	}
	maildrop_close(&drop);
}

/* Sizes that a session counted are known to the next, as long as the file is the
 * same. */
static void
test_sizes_kept(void **state)
{
	struct place *place = *state;
	struct maildrop drop;
	struct stat status;
	char cache[400];

	assert_int_equal(mkdirat(place->at, "Maildir/tmp", 0700), 0);
	put_file(place, "Maildir/cur/1.a:2,S", "a\nb\n");
	put_file(place, "Maildir/cur/2.b,S=2,W=3", "a\n");
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(maildrop_octets(&drop, &drop.message[0]), 6);
	assert_int_equal(maildrop_octets(&drop, &drop.message[1]), 3);
	maildrop_close(&drop);
	int fd = openat(place->at, "Maildir/keepmail-sizes", O_RDONLY);
	assert_true(fd >= 0);
	ssize_t length = read(fd, cache, sizeof cache - 1);
	close(fd);
	assert_true(length > 0);
	cache[length] = '\0';
	/* One line beside the head: of the other the name tells. */
	assert_ptr_equal(
		strchr(strchr(cache, '\n') + 1, '\n'), cache + length - 1);

	/* Nobody needs to open the file again: it cannot be. */
	rename_file(place, "Maildir/cur/1.a:2,S", "Maildir/cur/1.a:2,FS");
	assert_int_equal(fchmodat(place->at, "Maildir/cur/1.a:2,FS", 0, 0), 0);
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(maildrop_octets(&drop, &drop.message[0]), 6);
	assert_int_equal(drop.counted, 0);
	assert_int_equal(
		fstatat(place->at, "Maildir/cur/1.a:2,FS", &status, 0), 0);
	assert_true(maildrop_is_unchanged(&drop, &drop.message[0], &status));
	maildrop_close(&drop);

	/* The file is another than it was: that is noticed when it is opened. */
	assert_int_equal(
		fchmodat(place->at, "Maildir/cur/1.a:2,FS", 0600, 0), 0);
	put_file(place, "Maildir/cur/1.a:2,FS", "a\nb\nc\n");
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(maildrop_octets(&drop, &drop.message[0]), 6);
	assert_int_equal(
		fstatat(place->at, "Maildir/cur/1.a:2,FS", &status, 0), 0);
	assert_false(maildrop_is_unchanged(&drop, &drop.message[0], &status));
	assert_int_equal(maildrop_octets(&drop, &drop.message[0]), 9);
	maildrop_close(&drop);
}

/* What is in the cache's place and is none is not used, and does no harm. */
static void
test_sizes_hostile(void **state)
{
	static const struct {
		const char *before, *after; /* a line that is in order */
	} ROWS[] = {
		{"", "1 2 3 4 5\n"},			 /* no head */
		{"keepmail-sizes 2\n", ""},		 /* another version */
		{"keepmail-sizes 1\n", "1 2 3 4 5"},	 /* no last LF */
		{"keepmail-sizes 1\n", "1 2 3 4\n"},	 /* one too few */
		{"keepmail-sizes 1\n", "1 2 3 4 5 6\n"}, /* one too many */
		{"keepmail-sizes 1\n", "1 2 3  5\n"},
		{"keepmail-sizes 1\n", "1 2 3 4 2\n"}, /* smaller on the wire */
		{"keepmail-sizes 1\n", "1 2 3 4 9\n"}, /* more than all of CR */
		{"keepmail-sizes 1\n", "1 2 3 4 -5\n"},
		{"keepmail-sizes 1\n", "1 2 3 4 99999999999999999999\n"},
		{"keepmail-sizes 1\n", "\n"},
	};
	struct place *place = *state;
	struct maildrop drop;
	char good[500] = "", text[600];

	assert_int_equal(mkdirat(place->at, "Maildir/tmp", 0700), 0);
	put_file(place, "Maildir/cur/1.a", "a\nb\n");
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(maildrop_octets(&drop, &drop.message[0]), 6);
	maildrop_close(&drop);
	int fd = openat(place->at, "Maildir/keepmail-sizes", O_RDONLY);
	assert_true(fd >= 0 && read(fd, good, sizeof good - 1) > 0);
	close(fd);
	/* A good line, that tells another size than the right one: so it is
	 * seen whether it is used. */
	char *line = strchr(good, '\n') + 1, *last = strrchr(line, ' ') + 1;
	assert_string_equal(last, "6\n");
	*last = '7';
	for (size_t row = 0; row <= LENGTH(ROWS); row++) {
		int is_good = row == LENGTH(ROWS);

		snprintf(text, sizeof text, "%s%s%s",
			is_good ? "" : ROWS[row].before, is_good ? good : line,
			is_good ? "" : ROWS[row].after);
		put_file(place, "Maildir/keepmail-sizes", text);
		assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
		assert_int_equal(maildrop_octets(&drop, &drop.message[0]),
			is_good ? 7 : 6);
		drop.counted = 0; /* keep it out of the way */
		maildrop_close(&drop);
	}
	assert_int_equal(unlinkat(place->at, "Maildir/keepmail-sizes", 0), 0);
	assert_int_equal(
		mkfifoat(place->at, "Maildir/keepmail-sizes", 0600), 0);
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(maildrop_octets(&drop, &drop.message[0]), 6);
	maildrop_close(&drop);
}

static void
test_quota(void **state)
{
	struct place *place = *state;
	struct maildrop drop;
	struct maildrop_update update;
	char quota[200] = "";

	put_file(place, "Maildir/maildirsize", "100000S\n1000 3\n");
	put_file(place, "Maildir/cur/1.a", "12345\n");
	put_file(place, "Maildir/cur/2.b:2,ST", "123456\n");
	put_file(place, "Maildir/new/3.c", "1\n");
	put_file(place, "Maildir/new/4.d", "1\n");
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	for (size_t at = 0; at < 3; at++)
		drop.message[at].deleted = 1;
	assert_int_equal(maildrop_update(&drop, &update), 0);
	assert_int_equal(update.deleted, 3);
	maildrop_close(&drop);
	int fd = openat(place->at, "Maildir/maildirsize", O_RDONLY);
	assert_true(read(fd, quota, sizeof quota - 1) > 0);
	close(fd);
	/* What was in the trash was not counted. */
	assert_string_equal(quota, "100000S\n1000 3\n-8 -2\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_sizes_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_sizes_hostile, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_quota, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
