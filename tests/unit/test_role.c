/*
 * Roles: files, marks and limits. Children overstep, and the kernel refuses them.
 * System calls are in test_role_calls.c, identities in test_role_identity.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/role.h"
#include "tests/unit/children.h"

struct place {
	char path[TEMPORARY_MAX];
	int folder;
	struct home home;
};

static int
place_make(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	place->folder = temporary_make(place->path);
	temporary_need(fchmod(place->folder, 0755) == 0, "chmod");
	temporary_need(mkdirat(place->folder, "control", 0755) == 0, "control");
	temporary_need(mkdirat(place->folder, "spool", 0777) == 0, "spool");
	temporary_write(place->folder, "control/me", "host\n", 0644);
	snprintf(place->home.path, sizeof place->home.path, "%s", place->path);
	place->home.is_private = true;
	*state = place;
	return 0;
}

static int
place_remove(void **state)
{
	struct place *place = *state;

	temporary_remove(place->path, place->folder);
	free(place);
	return 0;
}

/* cmocka's own "skip" counts as a failure in TAP, so the cases are left out. */
static bool
has_landlock(void)
{
	if (syscall(444, NULL, 0, 1) >= 1)
		return true;
	print_message("# skipped: this kernel has no Landlock\n");
	return false;
}

/* Confines the child; says why on failure. */
static int
confine(const struct place *place, const struct role_path *path, unsigned calls,
	bool reaches_network)
{
	char why[300];
	int result = role_confine(
		path, reaches_network, calls, &place->home, why, sizeof why);

	if (result < 0)
		dprintf(2, "# %s\n", why);
	return result;
}

/* The kernel lets nobody do so. */
#define NEED_DENIED(call) NEED((call) < 0 && errno == EACCES)

/* --- files --- */

static int
act_empty_set(void *context)
{
	struct place *place = context;

	NEED(confine(place, NULL, CALLS_READ | CALLS_WRITE, false) == 0);
	NEED_DENIED(open("/etc/passwd", O_RDONLY));
	NEED_DENIED(open("/", O_RDONLY | O_DIRECTORY));
	NEED_DENIED(openat(place->folder, "control/me", O_RDONLY));
	NEED_DENIED(openat(place->folder, "new", O_WRONLY | O_CREAT, 0600));
	return 0;
}

static int
act_read_path(void *context)
{
	struct place *place = context;

	static const struct role_path path[] = {
		{"control", ROLE_READ}, {"not/there", ROLE_READ}, {NULL, 0}};

	NEED(confine(place, path, CALLS_READ | CALLS_WRITE, false) == 0);
	NEED(openat(place->folder, "control/me", O_RDONLY) >= 0);
	NEED(openat(place->folder, "control", O_RDONLY | O_DIRECTORY) >= 0);
	NEED_DENIED(openat(place->folder, "control/me", O_WRONLY));
	NEED_DENIED(openat(place->folder, "control/me", O_RDWR));
	NEED_DENIED(
		openat(place->folder, "control/new", O_WRONLY | O_CREAT, 0600));
	NEED_DENIED(unlinkat(place->folder, "control/me", 0));
	NEED_DENIED(mkdirat(place->folder, "control/sub", 0700));
	NEED_DENIED(openat(place->folder, "spool", O_RDONLY | O_DIRECTORY));
	NEED_DENIED(open("/etc/passwd", O_RDONLY));
	return 0;
}

static int
act_write_path(void *context)
{
	struct place *place = context;

	static const struct role_path path[] = {
		{"spool", ROLE_WRITE}, {NULL, 0}};

	NEED(confine(place, path, CALLS_READ | CALLS_WRITE, false) == 0);
	int fd = openat(
		place->folder, "spool/one", O_RDWR | O_CREAT | O_EXCL, 0600);
	NEED(fd >= 0);
	NEED(write(fd, "x", 1) == 1 && fsync(fd) == 0);
	NEED(ftruncate(fd, 0) == 0);
	NEED(renameat(place->folder, "spool/one", place->folder, "spool/two") ==
		0);
	NEED(mkdirat(place->folder, "spool/sub", 0700) == 0);
	NEED(renameat(place->folder, "spool/two", place->folder,
		     "spool/sub/two") == 0);
	NEED(linkat(place->folder, "spool/sub/two", place->folder, "spool/two",
		     0) == 0);
	NEED(unlinkat(place->folder, "spool/sub/two", 0) == 0);
	NEED(unlinkat(place->folder, "spool/two", 0) == 0);
	NEED(unlinkat(place->folder, "spool/sub", AT_REMOVEDIR) == 0);
	NEED(mknodat(place->folder, "spool/fifo", S_IFIFO | 0600, 0) == 0);
	NEED(unlinkat(place->folder, "spool/fifo", 0) == 0);
	/* what is not asked for: devices, links to elsewhere, other folders */
	NEED_DENIED(mknodat(place->folder, "spool/node", S_IFSOCK | 0600, 0));
	NEED_DENIED(openat(place->folder, "control/me", O_RDONLY));
	NEED_DENIED(openat(place->folder, "new", O_WRONLY | O_CREAT, 0600));
	return 0;
}

/* A child may narrow, and never widen again. */
static int
act_narrow(void *context)
{
	struct place *place = context;

	static const struct role_path both[] = {
		{"control", ROLE_READ}, {"spool", ROLE_WRITE}, {NULL, 0}};
	static const struct role_path one[] = {
		{"control", ROLE_READ}, {NULL, 0}};

	NEED(confine(place, both, CALLS_READ | CALLS_WRITE, false) == 0);
	NEED(openat(place->folder, "spool", O_RDONLY | O_DIRECTORY) >= 0);
	NEED(confine(place, one, CALLS_READ | CALLS_WRITE, false) == 0);
	NEED(openat(place->folder, "spool", O_RDONLY | O_DIRECTORY) < 0);
	NEED(openat(place->folder, "control/me", O_RDONLY) >= 0);
	NEED(confine(place, NULL, CALLS_READ | CALLS_WRITE, false) == 0);
	NEED(openat(place->folder, "control/me", O_RDONLY) < 0);
	NEED(confine(place, both, CALLS_READ | CALLS_WRITE, false) == 0);
	NEED(openat(place->folder, "control/me", O_RDONLY) < 0);
	return 0;
}

/* One file, and a path that begins with a slash. */
static int
act_single_file(void *context)
{
	struct place *place = context;

	static const struct role_path path[] = {{"control/me", ROLE_READ},
		{"/etc/passwd", ROLE_READ}, {"spool", ROLE_CONNECT}, {NULL, 0}};

	NEED(confine(place, path, CALLS_READ, false) == 0);
	NEED(openat(place->folder, "control/me", O_RDONLY) >= 0);
	NEED(open("/etc/passwd", O_RDONLY) >= 0);
	NEED_DENIED(open("/etc/group", O_RDONLY));
	NEED_DENIED(openat(place->folder, "spool", O_RDONLY | O_DIRECTORY));
	return 0;
}

static void
test_files(void **state)
{
	struct place *place = *state;

	if (!has_landlock())
		return;
	assert_int_equal(0, child_ending(act_empty_set, place));
	assert_int_equal(0, child_ending(act_read_path, place));
	assert_int_equal(0, child_ending(act_write_path, place));
	assert_int_equal(0, child_ending(act_narrow, place));
	assert_int_equal(0, child_ending(act_single_file, place));
}

/* --- marks and limits --- */

static int
act_marks(void *context)
{
	struct place *place = context;

	NEED(confine(place, NULL, CALLS_BASE, false) == 0);
	NEED(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	NEED(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == SANITIZED);
	return 0;
}

static int
act_limits(void *context)
{
	struct place *place = context;

	static const struct role role = {.program = "tester",
		.user = "_keep-tester",
		.group = "_keep-tester",
		.calls = CALLS_READ,
		.memory_octets = 64 * 1024 * 1024,
		.descriptors = 40};
	struct rlimit limit;
	char why[300], folder[10];

	NEED(role_take(&role, &place->home, why, sizeof why) == 0);
	NEED(getrlimit(RLIMIT_CORE, &limit) == 0);
	NEED(limit.rlim_cur == 0 && limit.rlim_max == 0);
	NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	NEED(limit.rlim_cur == 40 && limit.rlim_max == 40);
	if (!SANITIZED) {
		NEED(getrlimit(RLIMIT_DATA, &limit) == 0);
		NEED(limit.rlim_cur == role.memory_octets);
		NEED(limit.rlim_max == role.memory_octets);
		NEED(malloc(128 * 1024 * 1024) == NULL);
	}
	NEED(umask(077) == 0);
	NEED(getcwd(folder, sizeof folder) && strcmp(folder, "/") == 0);
	return 0;
}

/* A limit that is lower already stays. */
static int
act_lower_limit(void *context)
{
	struct place *place = context;

	static const struct role role = {.program = "tester",
		.user = "_keep-tester",
		.group = "_keep-tester",
		.descriptors = 40};
	struct rlimit limit = {30, 30};
	char why[300];

	NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	NEED(role_take(&role, &place->home, why, sizeof why) == 0);
	NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	NEED(limit.rlim_cur == 30 && limit.rlim_max == 30);
	return 0;
}

static void
test_marks(void **state)
{
	assert_int_equal(0, child_ending(act_marks, *state));
	assert_int_equal(0, child_ending(act_limits, *state));
	assert_int_equal(0, child_ending(act_lower_limit, *state));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_marks),
	};

	return cmocka_run_group_tests_name(
		"role", tests, place_make, place_remove);
}
