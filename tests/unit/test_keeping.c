/*
 * Where a delivery keeps a message: folders of the Maildir, and its quota.
 */
#include "tests/unit/deliver_place.h"
#include <sys/file.h>
#include <sys/wait.h>
#include "local/quota.h"

static void
test_folders(void **state)
{
	struct place place;
	char text[1000];

	(void)state;
	start(&place);
	assert_int_equal(mkdirat(place.folder, "Maildir", 0700), 0);
	assert_int_equal(mkdirat(place.folder, "Maildir/.lists.c", 0700), 0);
	address(&place, "ann-Lists.C@host.test", "Lists.C");
	expect(&place, OUTCOME_FAILED, "5.1.1 ");
	place.settings.has_folders = true;
	expect(&place, OUTCOME_DELIVERED, "./Maildir/.lists.c/");
	assert_int_equal(
		delivered(&place, "Maildir/.lists.c", text, sizeof text), 1);
	for (const char *const *name = (const char *const[]){".lists.c", "c",
		     "..", "lists.c/new", "lists.c.", "lists..c", NULL};
		*name != NULL; name++) {
		address(&place, "ann-x@host.test", *name);
		expect(&place, OUTCOME_FAILED, "5.1.1 ");
	}
	assert_int_equal(
		symlinkat(".lists.c", place.folder, "Maildir/.link"), 0);
	address(&place, "ann-link@host.test", "link");
	expect(&place, OUTCOME_FAILED, "5.1.1 ");
	stop(&place);
}

static void
test_quota(void **state)
{
	struct place place;
	char text[1000];

	(void)state;
	start(&place);
	place.account.quota_octets = 250;
	expect(&place, OUTCOME_DELIVERED, "./Maildir/");
	size_t length = 54 + strlen(CONTENT); /* with its trace */
	expect(&place, OUTCOME_DELIVERED, "./Maildir/");
	expect(&place, OUTCOME_DELIVERED, "./Maildir/");
	int maildir = openat(place.folder, "Maildir", O_RDONLY | O_DIRECTORY);
	char wanted[100];
	/* the first line was made when there was nothing to count */
	assert_non_null(strstr(
		temporary_read(maildir, "maildirsize", text, sizeof text),
		"250S\n"));
	expect(&place, OUTCOME_DEFERRED, "4.2.2 ");
	place.settings.over_fails = true;
	expect(&place, OUTCOME_FAILED, "5.2.2 ");
	/* other places are not counted */
	assert_int_equal(mkdirat(place.folder, "Maildir2", 0700), 0);
	temporary_write(place.folder, ".qmail", "./Maildir2/\n", 0600);
	expect(&place, OUTCOME_DELIVERED, "./Maildir2/");
	temporary_write(place.folder, ".qmail", "./Maildir/\n", 0600);
	expect(&place, OUTCOME_FAILED, "5.2.2 ");
	(void)unlinkat(place.folder, ".qmail", 0);
	/* another quota: all is counted */
	place.account.quota_octets = 10000;
	place.account.quota_messages = 4;
	expect(&place, OUTCOME_DELIVERED, "./Maildir/");
	snprintf(wanted, sizeof wanted, "10000S,4C\n%zu 3\n%zu 1\n", 3 * length,
		length);
	assert_string_equal(
		temporary_read(maildir, "maildirsize", text, sizeof text),
		wanted);
	expect(&place, OUTCOME_FAILED, "5.2.2 ");
	place.account.quota_octets = 50;
	expect(&place, OUTCOME_FAILED, "5.2.3 ");
	/* the user's own, where the account has none */
	place.account.quota_octets = place.account.quota_messages = 0;
	temporary_write(maildir, "maildirsize", "5C\n0 4\n", 0600);
	expect(&place, OUTCOME_DELIVERED, "./Maildir/");
	expect(&place, OUTCOME_FAILED, "5.2.2 ");
	/* nonsense in it is no quota */
	for (const char *const *one = (const char *const[]){"", "x\n", "-1C\n",
		     "5\n", "5C,\n", "99999999999999999999999S\n", NULL};
		*one != NULL; one++) {
		temporary_write(maildir, "maildirsize", *one, 0600);
		expect(&place, OUTCOME_DELIVERED, "./Maildir/");
	}
	temporary_write(maildir, "maildirsize",
		"5C\n9223372036854775807 9223372036854775807\n"
		"9223372036854775807 9223372036854775807\n",
		0600);
	expect(&place, OUTCOME_FAILED, "5.2.2 ");
	close(maildir);
	stop(&place);
}

/* Takes what it can; how often there was room is the status. */
static void
take_all(const char *path)
{
	const struct quota limit = {.octets = 100000, .messages = 60};
	int taken = 0, maildir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < 20; i++)
		taken += quota_take(maildir, &limit, 1000) == QUOTA_FITS;
	_exit(taken);
}

/* Many at once get no more than there is; what comes back is there again. */
static void
test_side_by_side(void **state)
{
	const struct quota limit = {.octets = 100000, .messages = 60};
	char path[TEMPORARY_MAX];
	int maildir, taken = 0;

	(void)state;
	maildir = temporary_make(path);
	for (int i = 0; i < 8; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			take_all(path);
	}
	for (int i = 0, status; i < 8; i++) {
		assert_true(wait(&status) > 0 && WIFEXITED(status));
		taken += WEXITSTATUS(status);
	}
	assert_int_equal(taken, 60);
	assert_true(quota_is_full(maildir, &limit));
	assert_true(quota_is_full(maildir, &(struct quota){0}));
	assert_false(quota_is_full(maildir, &(struct quota){.messages = 60}));
	quota_give_back(maildir, 1000);
	assert_false(quota_is_full(maildir, &limit));
	assert_int_equal(quota_take(maildir, &limit, 1000), QUOTA_FITS);
	assert_int_equal(quota_take(maildir, &limit, 1000), QUOTA_OVER);
	/* who holds the lock holds nobody up for good */
	int other = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(other, LOCK_EX), 0);
	assert_int_equal(quota_take(maildir, &limit, 1000), QUOTA_OVER);
	close(other);
	temporary_remove(path, maildir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folders),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
