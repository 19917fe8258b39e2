/*
 * The maildrop: what is listed and in which order, unique ids, its lock, files
 * that others rename or remove, and the UPDATE state. Each test has a Maildir
 * of its own below a temporary folder.
 */
#include "tests/unit/maildrop_harness.h"

static void
test_numbers(void **state)
{
	static const struct {
		const char *text;
		int good;
		uint64_t value;
	} ROWS[] = {
		{"0", 1, 0},
		{"007", 1, 7},
		{"18446744073709551615", 1, UINT64_MAX},
		{"18446744073709551616", 0, 0},
		{"99999999999999999999", 0, 0},
		{"", 0, 0},
		{"+1", 0, 0},
		{"-1", 0, 0},
		{"1 ", 0, 0},
		{"1x", 0, 0},
	};

	(void)state;
	for (size_t row = 0; row < LENGTH(ROWS); row++) {
		uint64_t value = 0;

		assert_int_equal(pop3_number(ROWS[row].text,
					 strlen(ROWS[row].text), &value),
			ROWS[row].good);
		assert_int_equal(value, ROWS[row].value);
	}
}

static void
test_order(void **state)
{
	static const char *const ORDER[] = {
		"abc", "zzz", "9.a.h", "10.a.h:2,S", "10.b.h", "200.a.h"};
	struct place *place = *state;
	struct maildrop drop;

	put_file(place, "Maildir/new/200.a.h", "a\n");
	put_file(place, "Maildir/cur/10.a.h:2,S", "a\n");
	put_file(place, "Maildir/new/10.b.h", "a\n");
	put_file(place, "Maildir/cur/9.a.h", "a\n");
	put_file(place, "Maildir/cur/zzz", "a\n");
	put_file(place, "Maildir/new/abc", "a\n");
	/* None of these is a message. */
	put_file(place, "Maildir/new/.hidden", "a\n");
	assert_int_equal(mkdirat(place->at, "Maildir/new/1.folder", 0700), 0);
	assert_int_equal(mkfifoat(place->at, "Maildir/cur/1.fifo", 0600), 0);
	assert_int_equal(
		symlinkat("../new/abc", place->at, "Maildir/cur/1.link"), 0);

	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(drop.messages, LENGTH(ORDER));
	for (size_t at = 0; at < LENGTH(ORDER); at++)
		assert_string_equal(drop.message[at].name, ORDER[at]);
	maildrop_close(&drop);
}

static void
test_missing_and_unreadable(void **state)
{
	struct place *place = *state;
	struct maildrop drop;

	put_file(place, "Maildir/cur/1.a", "a\n");
	assert_int_equal(unlinkat(place->at, "Maildir/new", AT_REMOVEDIR), 0);
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(drop.messages, 1);
	maildrop_close(&drop);

	rename_file(place, "Maildir", "Elsewhere");
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(drop.messages, 0);
	maildrop_close(&drop);

	assert_int_equal(symlinkat("Elsewhere", place->at, "Maildir"), 0);
	assert_int_equal(maildrop_open(&drop, &place->account, 0), -1);
	assert_true(errno == ELOOP || errno == ENOTDIR);

	assert_int_equal(unlinkat(place->at, "Maildir", 0), 0);
	put_file(place, "Maildir", "no folder");
	assert_int_equal(maildrop_open(&drop, &place->account, 0), -1);
	assert_int_equal(errno, ENOTDIR);

	strncpy(place->account.maildir, "Elsewhere/../Elsewhere",
		sizeof place->account.maildir - 1);
	assert_int_equal(maildrop_open(&drop, &place->account, 0), -1);
	assert_int_equal(errno, EINVAL);
}

static void
test_uidl(void **state)
{
	static const char SEVENTY[] = "1.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
				      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct place *place = *state;
	struct maildrop drop;
	char first[16][MAILDROP_UIDL_SIZE], again[MAILDROP_UIDL_SIZE];
	char path[300];

	assert_int_equal(sizeof SEVENTY, 71);
	snprintf(path, sizeof path, "Maildir/cur/%s:2,S", SEVENTY);
	put_file(place, path, "a\n");
	snprintf(path, sizeof path, "Maildir/cur/%sa", SEVENTY);
	put_file(place, path, "a\n");
	put_file(place, "Maildir/cur/2.a b", "a\n");
	put_file(place, "Maildir/cur/3.\303\244", "a\n");
	put_file(place, "Maildir/cur/#x", "a\n");
	put_file(place, "Maildir/cur/4.double:2,", "a\n");
	put_file(place, "Maildir/cur/4.double:2,S", "b\n");
	put_file(place, "Maildir/new/4.double", "c\n");
	put_file(place, "Maildir/new/:2,S", "d\n");
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(drop.messages, 9);
	for (size_t at = 0; at < drop.messages; at++) {
		maildrop_uidl(&drop.message[at], first[at]);
		size_t length = strlen(first[at]);
		assert_in_range(length, 1, 70);
		for (size_t octet = 0; octet < length; octet++)
			assert_in_range(first[at][octet], 33, 126);
		for (size_t before = 0; before < at; before++)
			assert_string_not_equal(first[before], first[at]);
	}
	maildrop_close(&drop);
	/* ":2,S" and "#x" sort first, as they have no time. */
	assert_string_equal(first[2], SEVENTY);
	assert_int_equal(first[0][0], '#');
	assert_int_equal(strlen(first[1]), 65);

	/* Flags and folder change nothing. */
	rename_file(place, "Maildir/new/4.double", "Maildir/cur/4.double:2,T");
	rename_file(place, "Maildir/cur/2.a b", "Maildir/cur/2.a b:2,RS");
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	for (size_t at = 0; at < drop.messages; at++) {
		maildrop_uidl(&drop.message[at], again);
		assert_string_equal(again, first[at]);
	}
	maildrop_close(&drop);
}

static void
test_lock(void **state)
{
	struct place *place = *state;
	struct maildrop one, two;

	assert_int_equal(maildrop_open(&one, &place->account, 0), 0);
	assert_true(one.lock >= 0);
	assert_int_equal(maildrop_open(&two, &place->account, 60), -1);
	assert_int_equal(errno, EBUSY);
	maildrop_unlock(&one);
	assert_int_equal(maildrop_open(&two, &place->account, 0), 0);
	maildrop_close(&one);
	maildrop_close(&two);

	/* What is no file cannot be locked. */
	assert_int_equal(unlinkat(place->at, "Maildir/keepmail-lock", 0), 0);
	assert_int_equal(
		symlinkat("elsewhere", place->at, "Maildir/keepmail-lock"), 0);
	assert_int_equal(maildrop_open(&one, &place->account, 0), -1);
	assert_int_equal(errno, ELOOP);
	assert_false(exists(place, "Maildir/elsewhere"));
	assert_int_equal(unlinkat(place->at, "Maildir/keepmail-lock", 0), 0);
	assert_int_equal(mkfifoat(place->at, "Maildir/keepmail-lock", 0600), 0);
	assert_int_equal(maildrop_open(&one, &place->account, 0), -1);
	assert_int_equal(errno, EINVAL);
}

/* Names fill several blocks, and are still right after a refresh. */
static void
test_many(void **state)
{
	enum { MANY = 2000 };
	struct place *place = *state;
	struct maildrop drop;
	char path[300], name[260];

	for (int at = 0; at < MANY; at++) {
		snprintf(path, sizeof path, "Maildir/cur/%d.%0100d,S=2,W=3",
			1000 + at, at);
		put_file(place, path, "a\n");
	}
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(drop.messages, MANY);
	snprintf(path, sizeof path, "Maildir/cur/%d.%0100d,S=2,W=3", 1007, 7);
	assert_int_equal(unlinkat(place->at, path, 0), 0);
	assert_int_equal(maildrop_refresh(&drop), 0);
	for (int at = 0; at < MANY; at++) {
		snprintf(name, sizeof name, "%d.%0100d,S=2,W=3", 1000 + at, at);
		assert_string_equal(drop.message[at].name, name);
		assert_int_equal(drop.message[at].gone, at == 7);
	}
	maildrop_close(&drop);
}

/* Two names of one file are one message. */
static void
test_two_names(void **state)
{
	struct place *place = *state;
	struct maildrop drop;
	struct maildrop_update update;
	char uidl[MAILDROP_UIDL_SIZE];

	put_file(place, "Maildir/new/1.a", "a\n");
	assert_int_equal(linkat(place->at, "Maildir/new/1.a", place->at,
				 "Maildir/cur/1.a:2,S", 0),
		0);
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	assert_int_equal(drop.messages, 1);
	maildrop_uidl(&drop.message[0], uidl);
	assert_string_equal(uidl, "1.a");
	drop.message[0].deleted = 1;
	assert_int_equal(maildrop_update(&drop, &update), 0);
	assert_int_equal(update.deleted, 1);
	maildrop_close(&drop);
	assert_false(exists(place, "Maildir/new/1.a"));
	assert_false(exists(place, "Maildir/cur/1.a:2,S"));
}

static void
test_found_again(void **state)
{
	struct place *place = *state;
	struct maildrop drop;
	struct stat status;

	put_file(place, "Maildir/new/1.a", "a\n");
	put_file(place, "Maildir/cur/2.a:2,", "b\n");
	put_file(place, "Maildir/cur/3.a", "c\n");
	put_file(place, "Maildir/cur/4.a", "d\n");
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	rename_file(place, "Maildir/new/1.a", "Maildir/cur/1.a:2,S");
	rename_file(place, "Maildir/cur/2.a:2,", "Maildir/cur/2.a:2,FRS");
	assert_int_equal(unlinkat(place->at, "Maildir/cur/3.a", 0), 0);
	/* Another file under the name of one that is kept elsewhere. */
	rename_file(place, "Maildir/cur/4.a", "kept");
	put_file(place, "Maildir/cur/4.a", "other\n");

	for (size_t at = 0; at < 4; at++) {
		int fd = maildrop_message_open(
			&drop, &drop.message[at], &status);

		assert_int_equal(fd >= 0, at < 2);
		if (fd < 0) {
			assert_int_equal(errno, ENOENT);
			continue;
		}
		assert_int_equal(maildrop_octets(&drop, &drop.message[at]), 3);
		assert_true(maildrop_is_unchanged(
			&drop, &drop.message[at], &status));
		close(fd);
	}
	assert_string_equal(drop.message[0].name, "1.a:2,S");
	assert_int_equal(drop.message[0].folder, MAILDROP_CUR);
	maildrop_close(&drop);
}

static void
test_update(void **state)
{
	struct place *place = *state;
	struct maildrop drop;
	struct maildrop_update update;

	put_file(place, "Maildir/new/1.deleted", "a\n");
	put_file(place, "Maildir/new/2.retrieved", "a\n");
	put_file(place, "Maildir/new/3.neither", "a\n");
	put_file(place, "Maildir/cur/4.renamed:2,", "a\n");
	put_file(place, "Maildir/cur/5.removed", "a\n");
	put_file(place, "Maildir/new/6.both", "a\n");
	put_file(place, "Maildir/new/7.occupied", "a\n");
	put_file(place, "Maildir/cur/8.replaced", "a\n");
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	rename_file(
		place, "Maildir/cur/4.renamed:2,", "Maildir/cur/4.renamed:2,T");
	assert_int_equal(unlinkat(place->at, "Maildir/cur/5.removed", 0), 0);
	put_file(place, "Maildir/cur/7.occupied:2,S", "other\n");
	rename_file(place, "Maildir/cur/8.replaced", "kept");
	put_file(place, "Maildir/cur/8.replaced", "other\n");
	for (size_t at = 0; at < drop.messages; at++) {
		drop.message[at].deleted =
			at == 0 || at == 3 || at == 4 || at == 5 || at == 7;
		drop.message[at].retrieved = at == 1 || at == 5 || at == 6;
	}
	assert_int_equal(maildrop_update(&drop, &update), 0);
	assert_int_equal(update.deleted, 5);
	assert_int_equal(update.remaining, 0);
	assert_int_equal(update.moved, 1);
	assert_int_equal(update.unmoved, 1);
	assert_int_equal(update.error, EEXIST);
	maildrop_close(&drop);
	assert_false(exists(place, "Maildir/new/1.deleted"));
	assert_true(exists(place, "Maildir/cur/2.retrieved:2,S"));
	assert_true(exists(place, "Maildir/new/3.neither"));
	assert_false(exists(place, "Maildir/cur/4.renamed:2,T"));
	assert_false(exists(place, "Maildir/new/6.both"));
	assert_false(exists(place, "Maildir/cur/6.both:2,S"));
	assert_true(exists(place, "Maildir/new/7.occupied"));
	/* Not the message that was marked. */
	assert_true(exists(place, "Maildir/cur/8.replaced"));
}

/* A message whose descriptor has no rights to remove: a closed folder. */
static void
test_update_fails(void **state)
{
	struct place *place = *state;
	struct maildrop drop;
	struct maildrop_update update;

	put_file(place, "Maildir/cur/1.a", "a\n");
	put_file(place, "Maildir/cur/2.a", "a\n");
	put_file(place, "Maildir/new/3.a", "a\n");
	assert_int_equal(maildrop_open(&drop, &place->account, 0), 0);
	close(drop.folder[MAILDROP_CUR]);
	drop.folder[MAILDROP_CUR] = open("/dev/null", O_RDONLY);
	for (size_t at = 0; at < drop.messages; at++)
		drop.message[at].deleted = 1;
	assert_int_equal(maildrop_update(&drop, &update), -1);
	assert_int_equal(update.deleted, 1);
	assert_int_equal(update.remaining, 2);
	assert_int_equal(update.error, ENOTDIR);
	maildrop_close(&drop);
	assert_true(exists(place, "Maildir/cur/1.a"));
	assert_false(exists(place, "Maildir/new/3.a"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_missing_and_unreadable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_uidl, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_two_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_found_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_update, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_update_fails, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
