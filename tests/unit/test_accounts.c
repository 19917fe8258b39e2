/*
 * The user database's public half: records that are refused, look-ups, and
 * databases that are damaged in every octet of their heads.
 */
#include "lib/accounts.h"
#include "lib/cdbfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <skalibs/cdbmake.h>
#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

struct place {
	char folder[64];
	char path[96];
};

static const struct row {
	const char *name;
	unsigned uid, gid;
	const char *home, *maildir;
	int is_valid;
} ROWS[] = {
	{"plain", 1000, 1000, "/home/a", "./Maildir/", 1},
	{"dots in names", 1000, 1000, "/home/..a/b..", "...", 1},
	{"octets from 0x80", 1000, 1000, "/home/\xc3\xa4", "Maildir", 1},
	{"uid 0", 0, 1000, "/home/a", "./Maildir/", 0},
	{"gid 0", 1000, 0, "/home/a", "./Maildir/", 0},
	{"uid -1", (unsigned)-1, 1000, "/home/a", "./Maildir/", 0},
	{"relative home", 1000, 1000, "home/a", "./Maildir/", 0},
	{"empty home", 1000, 1000, "", "./Maildir/", 0},
	{"home goes up", 1000, 1000, "/home/../root", "./Maildir/", 0},
	{"home ends up", 1000, 1000, "/home/..", "./Maildir/", 0},
	{"control character", 1000, 1000, "/home/\n", "./Maildir/", 0},
	{"DEL", 1000, 1000, "/home/\177", "./Maildir/", 0},
	{"absolute maildir", 1000, 1000, "/home/a", "/Maildir/", 0},
	{"maildir goes up", 1000, 1000, "/home/a", "./../b/", 0},
	{"maildir is up", 1000, 1000, "/home/a", "..", 0},
	{"empty maildir", 1000, 1000, "/home/a", "", 0},
};

static struct account
make_account(const struct row *row)
{
	struct account account;

	memset(&account, 0, sizeof account);
	account.uid = row->uid;
	account.gid = row->gid;
	snprintf(account.home, sizeof account.home, "%s", row->home);
	snprintf(account.maildir, sizeof account.maildir, "%s", row->maildir);
	return account;
}

/* The record as anybody might have written it, unchecked. */
static size_t
raw(const struct row *row, unsigned char *into)
{
	size_t home = strlen(row->home), maildir = strlen(row->maildir), at = 0;

	into[at++] = 1;
	for (int shift = 24; shift >= 0; shift -= 8)
		into[at++] = (unsigned char)(row->uid >> shift);
	for (int shift = 24; shift >= 0; shift -= 8)
		into[at++] = (unsigned char)(row->gid >> shift);
	into[at++] = 0;
	into[at++] = (unsigned char)home;
	memcpy(into + at, row->home, home);
	at += home;
	into[at++] = 0;
	into[at++] = (unsigned char)maildir;
	memcpy(into + at, row->maildir, maildir);
	return at + maildir;
}

static void
test_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(ROWS); i++) {
		const struct row *row = &ROWS[i];
		struct account account = make_account(row), again;
		unsigned char octets[256], packed[256];
		size_t length = raw(row, octets), packed_length = 0;
		int valid = row->is_valid ? 0 : -1;

		print_message("# %s\n", row->name);
		assert_int_equal(account_unpack(octets, length, &again), valid);
		assert_int_equal(account_pack(&account, packed, sizeof packed,
					 &packed_length),
			valid);
		if (valid < 0)
			continue;
		assert_int_equal(packed_length, length);
		assert_memory_equal(packed, octets, length);
		assert_string_equal(again.home, row->home);
		assert_string_equal(again.maildir, row->maildir);
		assert_int_equal(account_pack(&account, packed, length - 1,
					 &packed_length),
			-1);
		for (size_t cut = 0; cut < length; cut++)
			assert_int_equal(
				account_unpack(octets, cut, &again), -1);
		octets[length] = 0;
		assert_int_equal(
			account_unpack(octets, length + 1, &again), -1);
		octets[0] = 2;
		assert_int_equal(account_unpack(octets, length, &again), -1);
	}
}

static int
make_place(void **state)
{
	struct place *place = calloc(1, sizeof *place);
	unsigned char octets[256];
	cdbmaker maker = CDBMAKER_ZERO;

	if (place == NULL)
		return -1;
	snprintf(place->folder, sizeof place->folder, "/tmp/accountsXXXXXX");
	if (mkdtemp(place->folder) == NULL)
		return -1;
	snprintf(place->path, sizeof place->path, "%s/cdb", place->folder);
	int fd = open(place->path, O_RDWR | O_CREAT | O_EXCL, 0600);
	size_t length = raw(&ROWS[0], octets);
	if (fd < 0 || !cdbmake_start(&maker, fd) ||
		!cdbmake_add(&maker, "a@example.com", 13, (char *)octets,
			(unsigned)length) ||
		!cdbmake_add(&maker, "bad@example.com", 15, "x", 1) ||
		!cdbmake_finish(&maker))
		return -1;
	close(fd);
	*state = place;
	return 0;
}

static int
remove_place(void **state)
{
	struct place *place = *state;

	unlink(place->path);
	rmdir(place->folder);
	free(place);
	return 0;
}

static void
test_find(void **state)
{
	struct place *place = *state;
	struct account account;
	char missing[128], huge[400];

	assert_int_equal(
		account_virtual(place->path, "A@Example.COM", &account),
		ACCOUNT_FOUND);
	assert_string_equal(account.name, "a@example.com");
	assert_int_equal(account.uid, 1000);
	assert_int_equal(account.groups, 0);
	assert_int_equal(
		account_virtual(place->path, "b@example.com", &account),
		ACCOUNT_NONE);
	assert_int_equal(
		account_virtual(place->path, "", &account), ACCOUNT_NONE);
	memset(huge, 'a', sizeof huge - 1);
	huge[sizeof huge - 1] = 0;
	assert_int_equal(
		account_virtual(place->path, huge, &account), ACCOUNT_NONE);
	assert_int_equal(
		account_virtual(place->path, "bad@example.com", &account),
		ACCOUNT_TROUBLE);
	snprintf(missing, sizeof missing, "%s/none", place->folder);
	assert_int_equal(account_virtual(missing, "a@example.com", &account),
		ACCOUNT_NONE);
	assert_int_equal(
		account_virtual(place->folder, "a@example.com", &account),
		ACCOUNT_TROUBLE);
}

static void
test_walk(void **state)
{
	struct place *place = *state;
	struct cdbfile file;
	cdb_data key, data;

	assert_int_equal(cdbfile_open(&file, place->path), 0);
	assert_int_equal(cdbfile_next(&file, &key, &data), 1);
	assert_int_equal(key.len, 13);
	assert_memory_equal(key.s, "a@example.com", 13);
	assert_int_equal(cdbfile_next(&file, &key, &data), 1);
	assert_int_equal(data.len, 1);
	assert_int_equal(cdbfile_next(&file, &key, &data), 0);
	assert_int_equal(cdbfile_next(&file, &key, &data), 0);
	cdbfile_close(&file);
}

static void
use(const char *path)
{
	struct account account;
	struct cdbfile file;
	cdb_data key, data;
	int turns = 0;

	(void)account_virtual(path, "a@example.com", &account);
	if (cdbfile_open(&file, path) < 0)
		return;
	while (cdbfile_next(&file, &key, &data) > 0 && turns++ < 10000)
		assert_true(key.s >= file.map.map &&
			    data.s + data.len <= file.map.map + file.map.size);
	assert_true(turns < 10000);
	cdbfile_close(&file);
}

/* Each octet changed, and each length: never a crash, never a map left. */
static void
test_damage(void **state)
{
	struct place *place = *state;
	char octets[8192];

	int fd = open(place->path, O_RDWR);
	assert_true(fd >= 0);
	ssize_t length = read(fd, octets, sizeof octets);
	assert_true(length > 2048 && length < 4096);
	for (off_t i = 0; i < length; i++) {
		char changed = (char)~octets[i];

		assert_int_equal(pwrite(fd, &changed, 1, i), 1);
		use(place->path);
		assert_int_equal(pwrite(fd, &octets[i], 1, i), 1);
	}
	for (off_t i = length - 1; i >= 0; i--) {
		assert_int_equal(ftruncate(fd, i), 0);
		use(place->path);
	}
	close(fd);
}

static void
test_system(void **state)
{
	struct account account;

	(void)state;
	assert_int_equal(account_system("root", &account), ACCOUNT_NONE);
	assert_int_equal(account_system("", &account), ACCOUNT_NONE);
	assert_int_equal(
		account_system("no such user", &account), ACCOUNT_NONE);
	if (account_system("nobody", &account) == ACCOUNT_FOUND) {
		assert_string_equal(account.name, "nobody");
		assert_string_equal(account.maildir, "./Maildir/");
		assert_true(account.groups >= 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test_setup_teardown(
			test_find, make_place, remove_place),
		cmocka_unit_test_setup_teardown(
			test_walk, make_place, remove_place),
		cmocka_unit_test_setup_teardown(
			test_damage, make_place, remove_place),
		cmocka_unit_test(test_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
