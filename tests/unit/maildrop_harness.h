#ifndef TESTS_UNIT_MAILDROP_HARNESS_H
#define TESTS_UNIT_MAILDROP_HARNESS_H

/* For tests of a maildrop: each has a Maildir of its own below a temporary
 * folder. */

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

static inline void
put_file(const struct place *place, const char *path, const char *text)
{
	int fd = openat(place->at, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(durable_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static inline void
rename_file(const struct place *place, const char *from, const char *to)
{
	assert_int_equal(renameat(place->at, from, place->at, to), 0);
}

static inline int
exists(const struct place *place, const char *path)
{
	return faccessat(place->at, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline int
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

static inline int
remove_entry(
	const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static inline int
tear_down(void **state)
{
	struct place *place = *state;

	close(place->at);
	nftw(place->home, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(place);
	return 0;
}

#endif
