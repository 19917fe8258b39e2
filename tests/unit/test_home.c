/*
 * The home: where it may lie, private mode only by a file of the running user,
 * and a strict reading of control/ids. Private mode runs in a child that is not
 * root; what needs a file of root's is skipped without it.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/home.h"

#define OTHER_ID 65534

static int
home_make(void **state)
{
	char *path = strdup("/tmp/home.XXXXXX"), control[64];

	if (mkdtemp(path) == NULL)
		return -1;
	snprintf(control, sizeof control, "%s/control", path);
	*state = path;
	setenv("KEEPMAIL", path, 1);
	return chmod(path, 0755) < 0 || mkdir(control, 0755) < 0 ? -1 : 0;
}

static int
home_remove(void **state)
{
	static const char *const name[] = {
		"/control/private", "/control/ids", "/control", ""};
	char *path = *state;

	for (size_t i = 0; i < sizeof name / sizeof name[0]; i++) {
		char full[64];

		snprintf(full, sizeof full, "%s%s", path, name[i]);
		remove(full);
	}
	int result = access(path, F_OK) == 0 ? -1 : 0;
	free(path);
	return result;
}

static void
put(const char *home, const char *name, const char *text, size_t length,
	mode_t mode)
{
	char path[64];

	snprintf(path, sizeof path, "%s/control/%s", home, name);
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void
give_away(const char *home, const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "%s/control/%s", home, name);
	assert_int_equal(lchown(path, OTHER_ID, OTHER_ID), 0);
}

/* home_open by a user who is not root: 0 private, 1 installed, 2 refused. */
static int
open_as_other(void)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct home home;
		char why[300];
		uid_t uid;
		gid_t gid;

		if (geteuid() == 0 &&
			(setgid(OTHER_ID) < 0 || setuid(OTHER_ID) < 0))
			_exit(10);
		if (home_open(&home, why, sizeof why) < 0)
			_exit(2);
		if (!home.is_private)
			_exit(1);
		if (home_user_id(&home, "_keep-queue", &uid) < 0 ||
			uid != geteuid() ||
			home_group_id(&home, "keep-read", &gid) < 0 ||
			gid != getegid() || home_is_role_uid(&home, uid) ||
			!home_is_user(&home, "_keep-smtpd", uid) ||
			home_is_user(&home, "_keep-smtpd", uid + 1))
			_exit(11);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
assert_refused(const char *wanted)
{
	struct home home;
	char why[300] = "";

	assert_int_equal(home_open(&home, why, sizeof why), -1);
	if (strstr(why, wanted) == NULL)
		fail_msg("no \"%s\" in: %s", wanted, why);
}

static void
test_path(void **state)
{
	char path[HOME_PATH_MAX + 10], name[HOME_NAME_MAX];
	struct home home = {.path = "/var/lib/keepmail"};

	(void)state;
	setenv("KEEPMAIL", "relative/folder", 1);
	assert_refused("KEEPMAIL must be an absolute path");
	memset(path, 'x', sizeof path);
	path[0] = '/';
	path[HOME_PATH_MAX + 1] = 0;
	setenv("KEEPMAIL", path, 1);
	assert_refused("at most 80 octets");
	path[HOME_PATH_MAX] = 0;
	setenv("KEEPMAIL", path, 1);
	assert_refused("control/ids: No such file or directory");
	assert_string_equal(home_path(&home, "control/me", name),
		"/var/lib/keepmail/control/me");
}

static void
test_trailing_slashes(void **state)
{
	const char *path = *state;
	char slashes[100];
	struct home home;
	char why[300];

	snprintf(slashes, sizeof slashes, "%s///", path);
	setenv("KEEPMAIL", slashes, 1);
	(void)home_open(&home, why, sizeof why);
	assert_string_equal(home.path, path);
}

static void
test_private(void **state)
{
	const char *home = *state;

	assert_int_equal(open_as_other(), 2); /* neither file: refused */
	put(home, "private", "", 0, 0644);
	if (geteuid() == 0) {
		assert_refused("does not run as root");
		/* root's file does not make it private for another. */
		assert_int_equal(open_as_other(), 2);
		give_away(home, "private");
		assert_refused("does not run as root");
	}
	assert_int_equal(open_as_other(), 0);
}

static void
test_private_odd(void **state)
{
	const char *home = *state;
	char path[64];

	snprintf(path, sizeof path, "%s/control/private", home);
	assert_int_equal(symlink("/dev/null", path), 0);
	if (geteuid() == 0)
		give_away(home, "private");
	assert_int_equal(open_as_other(), 2);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	if (geteuid() == 0)
		give_away(home, "private");
	assert_int_equal(open_as_other(), 2);
}

static void
test_ids(void **state)
{
	static const char text[] = "# numbers\n"
				   "user _keep-queue 101\n"
				   "user\t_keep-vmail  102 \n"
				   "\n"
				   "group keep-read 201\n"
				   "group _keep-queue 202";
	const char *path = *state;
	struct home home;
	char why[300];
	uid_t uid = 0;
	gid_t gid = 0;

	if (geteuid() != 0)
		skip();
	put(path, "ids", text, sizeof text - 1, 0644);
	assert_int_equal(home_open(&home, why, sizeof why), 0);
	assert_false(home.is_private);
	assert_int_equal(home.identities, 4);
	assert_int_equal(home_user_id(&home, "_keep-queue", &uid), 0);
	assert_int_equal(uid, 101);
	assert_int_equal(home_group_id(&home, "_keep-queue", &gid), 0);
	assert_int_equal(gid, 202);
	assert_int_equal(home_group_id(&home, "_keep-vmail", &gid), -1);
	assert_int_equal(home_user_id(&home, "keep-read", &uid), -1);
	assert_true(home_is_role_uid(&home, 101));
	assert_false(home_is_role_uid(&home, 102)); /* owns mail: no role */
	assert_false(home_is_role_uid(&home, 0));
	assert_false(home_is_role_uid(&home, 201));
	assert_true(home_is_user(&home, "_keep-queue", 101));
	assert_false(home_is_user(&home, "_keep-queue", 102));
	assert_false(home_is_user(&home, "nobody", 0));
	assert_int_equal(open_as_other(), 1);
}

static void
test_ids_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} row[] = {
		{"user a 0\n", "line 1: expected"},
		{"\nuser a\n", "line 2: expected"},
		{"user a 1 2\n", "line 1"},
		{"user a -1\n", "line 1"},
		{"user a +1\n", "line 1"},
		{"user a 1x\n", "line 1"},
		{"user a 4294967295\n", "line 1"},
		{"user a 4294967297\n", "line 1"},
		{"user a 99999999999999999999\n", "line 1"},
		{"owner a 1\n", "line 1"},
		{"user a-name-that-is-longer-than-32-letters 1\n", "line 1"},
	};
	const char *path = *state;
	char many[64 * 20 + 100] = "";
	size_t size = 0;

	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		put(path, "ids", row[i].text, strlen(row[i].text), 0644);
		assert_refused(row[i].why);
	}
	for (int i = 0; i <= HOME_IDENTITIES_MAX; i++)
		size += (size_t)snprintf(many + size, 20, "user u%d 5\n", i);
	put(path, "ids", many, size, 0644);
	assert_refused("line 65");
	put(path, "ids", "", 0, 0666);
	assert_refused("that nobody else may write");
	put(path, "ids", "", 0, 0664);
	assert_refused("that nobody else may write");
	put(path, "ids", "", 0, 0644);
	give_away(path, "ids");
	assert_refused("a file of root's");
}

/* A file that is cut off in the middle must not pass for a shorter one. */
static void
test_ids_odd(void **state)
{
	const char *path = *state;
	static const char nul[] = "user a 5\n\0user b 6\n";
	char text[20000], link[64];

	if (geteuid() != 0)
		skip();
	memset(text, '#', 20000);
	memcpy(text + 19980, "\nuser a 5\n", 10);
	put(path, "ids", text, 20000, 0644);
	assert_refused("too long");
	put(path, "ids", nul, sizeof nul - 1, 0644);
	assert_refused("NUL");
	snprintf(link, sizeof link, "%s/control/ids", path);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink("/etc/hostname", link), 0);
	assert_refused("symbolic links");
}

#define IN_HOME(test) \
	cmocka_unit_test_setup_teardown(test, home_make, home_remove)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_HOME(test_path),
		IN_HOME(test_trailing_slashes),
		IN_HOME(test_private),
		IN_HOME(test_private_odd),
		IN_HOME(test_ids),
		IN_HOME(test_ids_refused),
		IN_HOME(test_ids_odd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
