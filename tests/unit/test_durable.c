/*
 * The durable steps: exclusive, never through a link, never over another file,
 * and the old content in place after a failure.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/durable.h"

static int
folder_make(void **state)
{
	char path[] = "/tmp/durable.XXXXXX";
	int *folder = malloc(sizeof *folder);

	if (mkdtemp(path) == NULL)
		return -1;
	*folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = folder;
	return *folder < 0 ? -1 : 0;
}

/* The names in the folder; each is removed if so asked. */
static int
names(int folder, int is_last)
{
	int count = 0;
	DIR *dir = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY));

	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0)
			continue;
		count++;
		if (is_last && unlinkat(folder, entry->d_name, 0) < 0)
			unlinkat(folder, entry->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
	return count;
}

static int
folder_remove(void **state)
{
	int *folder = *state;
	char path[64], place[100];

	names(*folder, 1);
	snprintf(path, sizeof path, "/proc/self/fd/%d", *folder);
	ssize_t length = readlink(path, place, sizeof place - 1);
	if (length < 0)
		return -1;
	place[length] = 0;
	close(*folder);
	free(folder);
	return rmdir(place);
}

static void
assert_content(int folder, const char *name, const char *text)
{
	char octets[100] = "";

	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, octets, sizeof octets - 1), strlen(text));
	assert_string_equal(octets, text);
	close(fd);
}

static void
put(int folder, const char *name, const char *text)
{
	int fd = durable_create(folder, name, 0600);

	assert_true(fd >= 0);
	assert_int_equal(durable_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(durable_sync_file(fd), 0);
	close(fd);
	assert_int_equal(durable_sync_folder(folder), 0);
}

static void
test_create(void **state)
{
	int folder = *(int *)*state;
	struct stat st;

	int fd = durable_create(folder, "new", 0640);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07137, 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(durable_write_at(fd, "cd", 2, 2), 0);
	assert_int_equal(durable_write_at(fd, "ab", 2, 0), 0);
	close(fd);
	assert_content(folder, "new", "abcd");
	errno = 0;
	assert_int_equal(durable_create(folder, "new", 0640), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(symlinkat("elsewhere", folder, "link"), 0);
	assert_int_equal(durable_create(folder, "link", 0640), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(names(folder, 0), 2);
}

static void
test_write_errors(void **state)
{
	int folder = *(int *)*state;

	put(folder, "file", "x");
	int fd = openat(folder, "file", O_RDONLY | O_CLOEXEC);
	assert_int_equal(durable_write_all(fd, "y", 1), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(durable_write_at(fd, "y", 1, 0), -1);
	assert_int_equal(durable_write_all(fd, "", 0), 0);
	close(fd);
	assert_int_equal(durable_sync_file(-1), -1);
}

/* A pipe takes its octets in pieces: everything gets there all the same. */
static void
test_short_writes(void **state)
{
	int pipes[2], status;
	size_t size = 1 << 20, got = 0;
	char *octets = calloc(1, size);

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(pipes[0]);
		_exit(durable_write_all(pipes[1], octets, size) < 0);
	}
	close(pipes[1]);
	for (ssize_t more; (more = read(pipes[0], octets, 1000)) > 0;)
		got += (size_t)more;
	assert_int_equal(got, size);
	close(pipes[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	free(octets);
}

static void
test_publish(void **state)
{
	int folder = *(int *)*state;

	put(folder, "one", "1");
	put(folder, "two", "2");
	errno = 0;
	assert_int_equal(durable_publish(folder, "one", folder, "two"), -1);
	assert_int_equal(errno, EEXIST);
	assert_content(folder, "one", "1");
	assert_content(folder, "two", "2");
	assert_int_equal(durable_publish(folder, "one", folder, "three"), 0);
	assert_content(folder, "three", "1");
	assert_int_equal(durable_publish(folder, "one", folder, "four"), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(names(folder, 0), 2);
}

static void
test_replace(void **state)
{
	int folder = *(int *)*state;
	struct stat st;
	mode_t mask = umask(077);

	for (int i = 0; i < 2; i++) {
		const char *text = i == 0 ? "the first" : "second";

		assert_int_equal(
			durable_replace(folder, "name", text, strlen(text),
				0644, (uid_t)-1, (gid_t)-1),
			0);
		assert_content(folder, "name", text);
		assert_int_equal(fstatat(folder, "name", &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0644);
		assert_int_equal(names(folder, 0), 1);
	}
	umask(mask);
	if (geteuid() == 0) {
		assert_int_equal(
			durable_replace(folder, "name", "", 0, 0640, 12, 34),
			0);
		assert_int_equal(fstatat(folder, "name", &st, 0), 0);
		assert_int_equal(st.st_uid, 12);
		assert_int_equal(st.st_gid, 34);
	}
}

static void
test_replace_fails(void **state)
{
	int folder = *(int *)*state, status;
	char name[280];

	put(folder, "name", "old");
	/* A folder stands there: the old one stays, the temporary file goes. */
	assert_int_equal(mkdirat(folder, "folder", 0700), 0);
	assert_int_equal(durable_replace(folder, "folder", "x", 1, 0600,
				 (uid_t)-1, (gid_t)-1),
		-1);
	assert_int_equal(errno, EISDIR);
	assert_int_equal(names(folder, 0), 2);
	memset(name, 'n', sizeof name);
	name[sizeof name - 1] = 0;
	assert_int_equal(durable_replace(folder, name, "x", 1, 0600, (uid_t)-1,
				 (gid_t)-1),
		-1);
	assert_int_equal(errno, ENAMETOOLONG);
	/* The disk is full, as it were. */
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit limit = {4, 4};

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		int result = durable_replace(folder, "name", "much longer", 11,
			0600, (uid_t)-1, (gid_t)-1);
		_exit(result == -1 && errno == EFBIG ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_content(folder, "name", "old");
	assert_int_equal(names(folder, 0), 2);
}

#define IN_FOLDER(test) \
	cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_create),
		IN_FOLDER(test_write_errors),
		cmocka_unit_test(test_short_writes),
		IN_FOLDER(test_publish),
		IN_FOLDER(test_replace),
		IN_FOLDER(test_replace_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
