/*
 * The maildrop: what is listed and in which order, sizes, unique ids, files
 * that others rename or remove, and the UPDATE state. Each test has a Maildir
 * of its own below a temporary folder.
 */
#include "pop3d/maildrop.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/durable.h"
#include "pop3d/number.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

struct place {
	char home[64];
	int at; /* the home */
	struct account account;
};

static void
put_file(const struct place *place, const char *path, const char *text)
{
	int fd = openat(place->at, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(durable_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void
rename_file(const struct place *place, const char *from, const char *to)
{
	assert_int_equal(renameat(place->at, from, place->at, to), 0);
}

static int
exists(const struct place *place, const char *path)
{
	return faccessat(place->at, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
set_up(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	assert_non_null(place);
	strncpy(place->home, "/tmp/test_maildrop.XXXXXX",
		sizeof place->home - 1);
	assert_non_null(mkdtemp(place->home));
	place->at = open(place->home, O_RDONLY | O_DIRECTORY);
	assert_true(place->at >= 0);
	assert_int_equal(mkdirat(place->at, "Maildir", 0700), 0);
	assert_int_equal(mkdirat(place->at, "Maildir/new", 0700), 0);
	assert_int_equal(mkdirat(place->at, "Maildir/cur", 0700), 0);
	memcpy(place->account.home, place->home, sizeof place->home);
	strncpy(place->account.maildir, "./Maildir/",
		sizeof place->account.maildir - 1);
	*state = place;
	return 0;
}

static int
remove_entry(
	const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct place *place = *state;

	close(place->at);
	nftw(place->home, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(place);
	return 0;
}

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

	assert_int_equal(maildrop_open(&drop, &place->account), 0);
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
	assert_int_equal(maildrop_open(&drop, &place->account), 0);
	assert_int_equal(drop.messages, 1);
	maildrop_close(&drop);

	rename_file(place, "Maildir", "Elsewhere");
	assert_int_equal(maildrop_open(&drop, &place->account), 0);
	assert_int_equal(drop.messages, 0);
	maildrop_close(&drop);

	assert_int_equal(symlinkat("Elsewhere", place->at, "Maildir"), 0);
	assert_int_equal(maildrop_open(&drop, &place->account), -1);
	assert_true(errno == ELOOP || errno == ENOTDIR);

	assert_int_equal(unlinkat(place->at, "Maildir", 0), 0);
	put_file(place, "Maildir", "no folder");
	assert_int_equal(maildrop_open(&drop, &place->account), -1);
	assert_int_equal(errno, ENOTDIR);

	strncpy(place->account.maildir, "Elsewhere/../Elsewhere",
		sizeof place->account.maildir - 1);
	assert_int_equal(maildrop_open(&drop, &place->account), -1);
	assert_int_equal(errno, EINVAL);
}

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
		{"09.told,S=4,W=5", "a\nb\n", 5}, /* believed, as S= is right */
		{"10.wrong,S=5,W=5", "a\nb\n", 6},
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
	assert_int_equal(maildrop_open(&drop, &place->account), 0);
	assert_int_equal(drop.messages, LENGTH(ROWS));
	for (size_t row = 0; row < LENGTH(ROWS); row++) {
		assert_string_equal(drop.message[row].name, ROWS[row].name);
		assert_int_equal(maildrop_octets(&drop, &drop.message[row]),
			ROWS[row].octets);
	}
	maildrop_close(&drop);
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
	assert_int_equal(maildrop_open(&drop, &place->account), 0);
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
	assert_int_equal(maildrop_open(&drop, &place->account), 0);
	for (size_t at = 0; at < drop.messages; at++) {
		maildrop_uidl(&drop.message[at], again);
		assert_string_equal(again, first[at]);
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
	assert_int_equal(maildrop_open(&drop, &place->account), 0);
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
	assert_int_equal(maildrop_open(&drop, &place->account), 0);
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
		assert_true(maildrop_is_unchanged(&drop.message[at], &status));
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
	assert_int_equal(maildrop_open(&drop, &place->account), 0);
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
	assert_int_equal(maildrop_open(&drop, &place->account), 0);
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
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_uidl, set_up, tear_down),
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
