/*
 * The user database as the tools change it and authd reads it; which addresses and
 * passwords may be in it; who passes.
 */
#include "tools/auth_check.h"
#include "tools/maildir_make.h"
#include "tools/secrets.h"
#include "tools/users.h"
#include "tests/unit/accounts.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* A home in private mode, as home_open would find it. */
static struct home *
make_home(void)
{
	struct home *home = calloc(1, sizeof *home);
	char path[HOME_NAME_MAX];

	assert_non_null(home);
	home->is_private = true;
	snprintf(home->path, sizeof home->path, "/tmp/secretsXXXXXX");
	assert_non_null(mkdtemp(home->path));
	assert_int_equal(mkdir(home_path(home, "users", path), 0700), 0);
	return home;
}

static void
remove_home(struct home *home)
{
	static const char *const name[] = {"users/accounts.cdb",
		"users/secrets.cdb", "users/.lock", "program"};
	char path[HOME_NAME_MAX];

	for (size_t i = 0; i < LENGTH(name); i++)
		(void)unlink(home_path(home, name[i], path));
	assert_int_equal(rmdir(home_path(home, "users", path)), 0);
	assert_int_equal(rmdir(home->path), 0);
	free(home);
}

static void
test_match(void **state)
{
	char hash[SECRETS_HASH_MAX], other[SECRETS_HASH_MAX];

	(void)state;
	assert_int_equal(secrets_hash("right", hash), 0);
	assert_int_equal(secrets_hash("right", other), 0);
	assert_string_not_equal(hash, other);
	assert_memory_equal(hash, "$y$", 3);
	assert_true(secrets_match(hash, "right"));
	assert_false(secrets_match(hash, "wrong"));
	assert_false(secrets_match(hash, ""));
	assert_false(secrets_match(NULL, "right"));
	assert_false(secrets_match("", ""));
	assert_false(secrets_match("", "right"));
	assert_false(secrets_match("!", "!"));
	assert_false(secrets_match("*0", "right"));
	assert_false(secrets_match("nonsense", "nonsense"));
}

static void
test_change(void **state)
{
	struct home *home = make_home();
	struct users users;
	struct stat st;
	char path[HOME_NAME_MAX], why[300];
	struct secret secret;

	(void)state;
	assert_int_equal(users_open(&users, home, why, sizeof why), 0);
	assert_int_equal(users_has(&users, "a@x", why, sizeof why), 0);
	put_account(&users, "a@x");
	put_account(&users, "b@x");
	put_account(&users, "a@x");
	assert_int_equal(users_has(&users, "a@x", why, sizeof why), 1);
	assert_int_equal(users_has(&users, "b@x", why, sizeof why), 1);
	assert_int_equal(users_has(&users, "c@x", why, sizeof why), 0);
	assert_int_equal(users_put_password(&users, "a@x", "one",
				 USERS_KEEP_HASHES, why, sizeof why),
		0);
	assert_int_equal(users_put_password(&users, "b@x", "two",
				 USERS_KEEP_HASHES, why, sizeof why),
		0);
	assert_int_equal(users_put_password(&users, "a@x", "three",
				 USERS_KEEP_HASHES, why, sizeof why),
		0);
	home_path(home, "users/secrets.cdb", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(secrets_find(path, "a@x", &secret), 1);
	assert_true(secrets_match(secret.hash, "three"));
	assert_int_equal(secrets_find(path, "b@x", &secret), 1);
	assert_true(secrets_match(secret.hash, "two"));
	assert_int_equal(secrets_find(path, "c@x", &secret), 0);
	/* A damaged database stays as it is. */
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(users_put_password(&users, "a@x", "one",
				 USERS_KEEP_HASHES, why, sizeof why),
		-1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 100);
	assert_int_equal(secrets_find(path, "a@x", &secret), -1);
	home_path(home, "users/accounts.cdb", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	users_close(&users);
	remove_home(home);
}

static void
test_names(void **state)
{
	static const char *const bad[] = {"", "user", "@x", "\"\"@x", "a/b@x",
		"\".a\"@x", "../a@x", "a@../x", "a@x/y", "a@[127.0.0.1]",
		"a b@x", "a@x y", "a\n@x", "a@x@y", "\xc3\xa4@x"};
	static const char *const good[][3] = {
		{"User@Example.COM", "user@example.com", "user"},
		{"a+b@x", "a+b@x", "a+b"},
		{"\"a b\"@x", "\"a b\"@x", "a b"},
	};
	struct users_name name;
	char why[300], text[400];

	(void)state;
	for (size_t i = 0; i < LENGTH(bad); i++) {
		print_message("# %zu\n", i);
		assert_int_equal(
			users_read_name(bad[i], &name, why, sizeof why), -1);
		assert_true(strlen(why) > 0);
	}
	for (size_t i = 0; i < LENGTH(good); i++) {
		assert_int_equal(
			users_read_name(good[i][0], &name, why, sizeof why), 0);
		assert_string_equal(name.address, good[i][1]);
		assert_string_equal(name.local, good[i][2]);
	}
	memset(text, 'a', 256);
	memcpy(text + 254, "@x", 3);
	assert_int_equal(users_read_name(text, &name, why, sizeof why), -1);
	assert_int_equal(users_read_name(text + 1, &name, why, sizeof why), 0);
}

static int
read_password(const void *octets, size_t length, char *password)
{
	char why[300];
	int end[2];

	assert_int_equal(pipe(end), 0);
	assert_int_equal(write(end[1], octets, length), length);
	close(end[1]);
	int result = users_read_password(end[0], password, why, sizeof why);
	close(end[0]);
	return result;
}

static void
test_passwords(void **state)
{
	char password[USERS_PASSWORD_MAX + 1], text[600];

	(void)state;
	assert_int_equal(read_password("a b \nrest", 9, password), 0);
	assert_string_equal(password, "a b ");
	assert_int_equal(read_password("a", 1, password), 0);
	assert_string_equal(password, "a");
	assert_int_equal(read_password("", 0, password), -1);
	assert_int_equal(read_password("\nabc\n", 5, password), -1);
	assert_int_equal(read_password("a\0b\n", 4, password), -1);
	memset(text, 'x', sizeof text);
	assert_int_equal(read_password(text, 600, password), -1);
	assert_int_equal(read_password(text, 512, password), -1);
	text[511] = '\n';
	assert_int_equal(read_password(text, 600, password), 0);
	assert_int_equal(strlen(password), 511);
}

static void
write_program(const struct home *home, char path[HOME_NAME_MAX])
{
	static const char text[] = "#!/bin/sh\n"
				   "w=$(tr '\\0' ' ' <&3)\n"
				   "case $w in\n"
				   "'b@x good '*|'c@x good '*) exec \"$@\" ;;\n"
				   "*temp*) exit 111 ;;\n"
				   "esac\n"
				   "exit 1\n";

	int fd = open(
		home_path(home, "program", path), O_WRONLY | O_CREAT, 0700);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
	close(fd);
}

static void
test_check(void **state)
{
	static const struct row {
		const char *name, *password;
		enum auth_verdict with, without; /* a program */
	} rows[] = {
		{"a@x", "secret", AUTH_YES, AUTH_YES},
		{"A@X", "secret", AUTH_YES, AUTH_YES},
		{"a@x", "Secret", AUTH_NO, AUTH_NO},
		{"a@x", "temp", AUTH_NO, AUTH_NO},
		{"a@x", "", AUTH_NO, AUTH_NO},
		{"", "secret", AUTH_NO, AUTH_NO},
		{"a@x\n", "secret", AUTH_NO, AUTH_NO},
		{"a", "secret", AUTH_NO, AUTH_NO},
		{"B@x", "good", AUTH_YES, AUTH_NO},
		{"b@x", "bad", AUTH_NO, AUTH_NO},
		{"b@x", "temp", AUTH_TEMPORARY, AUTH_NO},
		{"c@x", "good", AUTH_NO, AUTH_NO},
		{"root", "x", AUTH_NO, AUTH_NO},
	};
	struct home *home = make_home();
	char program[HOME_NAME_MAX], none[] = "", why[300];
	struct auth_settings settings = {.program = none};
	const struct auth_place place = {.home = home, .settings = &settings};
	struct users users;

	(void)state;
	write_program(home, program);
	assert_int_equal(users_open(&users, home, why, sizeof why), 0);
	put_account(&users, "a@x");
	put_account(&users, "b@x");
	assert_int_equal(users_put_password(&users, "a@x", "secret",
				 USERS_KEEP_HASHES, why, sizeof why),
		0);
	users_close(&users);
	for (size_t i = 0; i < 2 * LENGTH(rows); i++) {
		const struct row *row = &rows[i / 2];
		char key[ACCOUNT_KEY_MAX];

		settings.program = i % 2 == 0 ? program : none;
		print_message("# row %zu\n", i / 2);
		enum auth_verdict verdict = auth_check(
			&place, row->name, row->password, "192.0.2.1", key);
		assert_int_equal(
			verdict, i % 2 == 0 ? row->with : row->without);
		if (verdict == AUTH_YES)
			assert_true(strcmp(key, "u:a@x") == 0 ||
				    strcmp(key, "u:b@x") == 0);
	}
	remove_home(home);
}

static void
test_folders(void **state)
{
	char folder[] = "/tmp/secretsXXXXXX";
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(folder));
	int parent = open(folder, O_RDONLY | O_DIRECTORY);
	assert_true(parent >= 0);
	int made = maildir_make_folder(parent, "M", 0700, (uid_t)-1, (gid_t)-1);
	assert_true(made >= 0);
	assert_int_equal(maildir_make_inner(made, geteuid(), getegid()), 0);
	assert_int_equal(maildir_make_inner(made, geteuid(), getegid()), 0);
	assert_int_equal(fstatat(made, "new", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	assert_int_equal(symlinkat("M", parent, "L"), 0);
	assert_int_equal(
		maildir_make_folder(parent, "L", 0700, (uid_t)-1, (gid_t)-1),
		-1);
	unlinkat(parent, "L", 0);
	unlinkat(made, "tmp", AT_REMOVEDIR);
	unlinkat(made, "new", AT_REMOVEDIR);
	unlinkat(made, "cur", AT_REMOVEDIR);
	unlinkat(parent, "M", AT_REMOVEDIR);
	close(made);
	close(parent);
	assert_int_equal(rmdir(folder), 0);
}

/* What somebody who was stopped before the owner was given left behind. */
static void
test_folder_left(void **state)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct may[2];
	char folder[] = "/tmp/secretsXXXXXX";
	struct stat st;
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(folder));
	int parent = open(folder, O_RDONLY | O_DIRECTORY);
	assert_true(parent >= 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (syscall(SYS_capget, &head, may) < 0)
			_exit(3);
		may[0].effective &= ~(1u << CAP_CHOWN);
		if (syscall(SYS_capset, &head, may) < 0)
			_exit(3);
		_exit(maildir_make_folder(parent, "M", 0700, 12345, 12345) < 0
				? 0
				: 1);
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	assert_int_equal(status, 0);
	assert_int_equal(fstatat(parent, "M", &st, 0), 0);
	int made = maildir_make_folder(parent, "M", 0700, 12345, 12345);
	assert_true(made >= 0);
	assert_int_equal(fstat(made, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	close(made);
	unlinkat(parent, "M", AT_REMOVEDIR);
	close(parent);
	assert_int_equal(rmdir(folder), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_folders),
		cmocka_unit_test(test_folder_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
