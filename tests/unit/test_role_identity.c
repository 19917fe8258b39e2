/*
 * Roles: becoming somebody else for good, as root with a control/ids of its own;
 * and private mode, where nobody becomes anybody.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/role.h"
#include "tests/unit/children.h"

#define ROLE_UID 64901
#define ROLE_GID 64902
#define EXTRA_GID 64903
#define VMAIL_UID 64904
#define USER_ID 64999

struct place {
	char path[TEMPORARY_MAX];
	int folder;
	struct home home;
	struct role role; /* of the tester, for each test to change */
};

static const struct role TESTER = {
	.program = "tester",
	.user = "_keep-tester",
	.group = "_keep-tester",
};

static int
place_make(void **state)
{
	struct place *place = calloc(1, sizeof *place);
	char why[300] = "";

	place->folder = temporary_make(place->path);
	place->role = TESTER;
	temporary_need(fchmod(place->folder, 0755) == 0, "chmod");
	temporary_need(mkdirat(place->folder, "control", 0755) == 0, "control");
	temporary_write(place->folder, "control/ids",
		"# made by a test\n"
		"user _keep-tester 64901\n"
		"group _keep-tester 64902\n"
		"group _keep-extra 64903\n"
		"user _keep-vmail 64904\n"
		"group _keep-vmail 64904\n",
		0644);
	setenv("KEEPMAIL", place->path, 1);
	if (geteuid() == 0 && home_open(&place->home, why, sizeof why) < 0)
		fail_msg("%s", why);
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

static bool
is_root(void)
{
	if (geteuid() == 0)
		return true;
	print_message("# skipped: this needs root\n");
	return false;
}

/* Becomes what tcpserver's -u and -g make. */
static int
drop(uid_t uid, gid_t gid)
{
	return setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
			       setresuid(uid, uid, uid) < 0
		       ? -1
		       : 0;
}

static int
is_exactly(uid_t uid, gid_t gid)
{
	uid_t u[3];
	gid_t g[3];

	NEED(getresuid(&u[0], &u[1], &u[2]) == 0);
	NEED(getresgid(&g[0], &g[1], &g[2]) == 0);
	for (int i = 0; i < 3; i++)
		NEED(u[i] == uid && g[i] == gid);
	return 0;
}

/* role_take, which says why on failure; and must fail with a word if given. */
static int
take(const struct place *place, const char *word)
{
	char why[300];
	int result = role_take(&place->role, &place->home, why, sizeof why);

	if (word == NULL && result < 0)
		dprintf(2, "# %s\n", why);
	if (word != NULL && result < 0 && strstr(why, word) == NULL) {
		dprintf(2, "# no \"%s\" in: %s\n", word, why);
		return 0;
	}
	return result;
}

/* --- role_take --- */

static int
act_take(void *context)
{
	struct place *place = context;
	gid_t group[10] = {0};

	place->role.groups[0] = "_keep-extra";
	place->role.groups[1] = "?_keep-missing";
	NEED(take(place, NULL) == 0);
	NEED(is_exactly(ROLE_UID, ROLE_GID) == 0);
	NEED(getgroups(10, group) == 1 && group[0] == EXTRA_GID);
	return 0;
}

static int
act_take_no_groups(void *context)
{
	gid_t group[10];

	/* what the parent had must be gone */
	NEED(setgroups(2, (gid_t[]){4, 5}) == 0);
	NEED(take(context, NULL) == 0);
	NEED(getgroups(10, group) == 0);
	return 0;
}

static int
act_take_optional(void *context)
{
	struct place *place = context;
	gid_t group[10] = {0};

	place->role.groups[0] = "?_keep-missing";
	place->role.groups[1] = "?_keep-extra";
	NEED(take(place, NULL) == 0);
	NEED(getgroups(10, group) == 1 && group[0] == EXTRA_GID);
	return 0;
}

/* Back to root: the list of calls kills it, and without a list it is refused. */
static int
act_back(void *context)
{
	NEED(take(context, NULL) == 0);
	NEED(setuid(0) < 0 && errno == EPERM);
	NEED(setresuid(0, 0, 0) < 0 && errno == EPERM);
	NEED(setgid(0) < 0 && errno == EPERM);
	NEED(setgroups(0, NULL) < 0 && errno == EPERM);
	return 0;
}

static int
act_missing_group(void *context)
{
	struct place *place = context;

	place->role.groups[0] = "_keep-missing";
	NEED(take(place, "_keep-missing") < 0);
	NEED(geteuid() == 0);
	return 0;
}

static int
act_missing_user(void *context)
{
	struct place *place = context;

	place->role.user = "_keep-stranger";
	NEED(take(place, "_keep-stranger") < 0);
	place->role = TESTER;
	place->role.group = "_keep-strangers";
	NEED(take(place, "_keep-strangers") < 0);
	return 0;
}

static int
act_not_root(void *context)
{
	NEED(drop(USER_ID, USER_ID) == 0);
	NEED(take(context, "as root") < 0);
	return 0;
}

static int
act_given(void *context)
{
	struct place *place = context;

	place->role.is_given = true;
	NEED(drop(ROLE_UID, ROLE_GID) == 0);
	NEED(take(place, NULL) == 0);
	NEED(is_exactly(ROLE_UID, ROLE_GID) == 0);
	return 0;
}

static int
act_not_given(void *context)
{
	struct place *place = context;

	place->role.is_given = true;
	NEED(take(place, "tcpserver") < 0);
	/* the uid alone, and another one's */
	NEED(setresgid(0, 0, 0) == 0 &&
		setresuid(ROLE_UID, ROLE_UID, ROLE_UID) == 0);
	NEED(take(place, "tcpserver") < 0);
	return 0;
}

static int
act_given_other(void *context)
{
	struct place *place = context;

	place->role.is_given = true;
	NEED(drop(USER_ID, ROLE_GID) == 0);
	NEED(take(place, "tcpserver") < 0);
	return 0;
}

/* The saved uid is still root's: it could come back. */
static int
act_given_saved(void *context)
{
	struct place *place = context;

	place->role.is_given = true;
	NEED(setresgid(ROLE_GID, ROLE_GID, ROLE_GID) == 0);
	NEED(setresuid(ROLE_UID, ROLE_UID, 0) == 0);
	NEED(take(place, "not for good") < 0);
	return 0;
}

static int
act_stays_root(void *context)
{
	struct place *place = context;

	place->role.user = "root";
	place->role.group = "root";
	NEED(take(place, NULL) == 0);
	NEED(geteuid() == 0);
	NEED(drop(USER_ID, USER_ID) == 0);
	NEED(take(place, "as root") < 0);
	return 0;
}

static void
test_take(void **state)
{
	if (!is_root())
		return;
	assert_int_equal(0, child_ending(act_take, *state));
	assert_int_equal(0, child_ending(act_take_no_groups, *state));
	assert_int_equal(0, child_ending(act_take_optional, *state));
	assert_int_equal(SANITIZED ? 0 : KILLED + SIGSYS,
		child_ending(act_back, *state));
	assert_int_equal(0, child_ending(act_missing_group, *state));
	assert_int_equal(0, child_ending(act_missing_user, *state));
	assert_int_equal(0, child_ending(act_not_root, *state));
	assert_int_equal(0, child_ending(act_given, *state));
	assert_int_equal(0, child_ending(act_not_given, *state));
	assert_int_equal(0, child_ending(act_given_other, *state));
	assert_int_equal(0, child_ending(act_given_saved, *state));
	assert_int_equal(0, child_ending(act_stays_root, *state));
}

/* --- role_become --- */

static int
act_become(void *context)
{
	const struct place *place = context;
	gid_t group[10] = {0};

	NEED(role_become(&place->home, USER_ID, USER_ID, (gid_t[]){EXTRA_GID},
		     1) == 0);
	NEED(is_exactly(USER_ID, USER_ID) == 0);
	NEED(getgroups(10, group) == 1 && group[0] == EXTRA_GID);
	NEED(setuid(0) < 0 && errno == EPERM);
	NEED(setresuid(0, 0, 0) < 0 && errno == EPERM);
	NEED(setgid(0) < 0 && errno == EPERM);
	NEED(setgroups(0, NULL) < 0 && errno == EPERM);
	NEED(umask(0) == 077);
	return 0;
}

/* The one who owns virtual mail is a user, although its name is a role's. */
static int
act_become_vmail(void *context)
{
	const struct place *place = context;

	NEED(role_become(&place->home, VMAIL_UID, VMAIL_UID, NULL, 0) == 0);
	return is_exactly(VMAIL_UID, VMAIL_UID);
}

static int
act_become_refused(void *context)
{
	const struct home *home = &((struct place *)context)->home;

	NEED(role_become(home, 0, USER_ID, NULL, 0) < 0 && errno == EPERM);
	NEED(role_become(home, USER_ID, 0, NULL, 0) < 0 && errno == EPERM);
	NEED(role_become(home, 0, 0, NULL, 0) < 0 && errno == EPERM);
	NEED(role_become(home, ROLE_UID, USER_ID, NULL, 0) < 0 &&
		errno == EPERM);
	NEED(is_exactly(0, 0) == 0);
	return 0;
}

static int
act_become_not_root(void *context)
{
	const struct home *home = &((struct place *)context)->home;

	NEED(drop(USER_ID, USER_ID) == 0);
	NEED(role_become(home, USER_ID + 1, USER_ID, NULL, 0) < 0 &&
		errno == EPERM);
	NEED(is_exactly(USER_ID, USER_ID) == 0);
	return 0;
}

static void
test_become(void **state)
{
	if (!is_root())
		return;
	assert_int_equal(0, child_ending(act_become, *state));
	assert_int_equal(0, child_ending(act_become_vmail, *state));
	assert_int_equal(0, child_ending(act_become_refused, *state));
	assert_int_equal(0, child_ending(act_become_not_root, *state));
}

/* --- private mode --- */

static int
act_private(void *context)
{
	struct place *place = context;
	struct home home = {.is_private = true};

	if (getuid() == 0)
		NEED(drop(USER_ID, USER_ID) == 0);
	uid_t uid = getuid();
	gid_t gid = getgid();
	NEED(role_become(&home, uid + 1, gid, NULL, 0) < 0 && errno == EPERM);
	NEED(role_become(&home, 0, 0, NULL, 0) < 0 && errno == EPERM);
	NEED(role_become(&home, uid, gid, NULL, 0) == 0);
	NEED(umask(0) == 077);
	place->home = home;
	NEED(take(place, NULL) == 0);
	return is_exactly(uid, gid);
}

static int
act_private_root(void *context)
{
	struct home home = {.is_private = true};

	(void)context;
	NEED(role_become(&home, 0, 0, NULL, 0) < 0 && errno == EPERM);
	return 0;
}

static void
test_private(void **state)
{
	assert_int_equal(0, child_ending(act_private, *state));
	assert_int_equal(0, child_ending(act_private_root, *state));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_become),
		cmocka_unit_test(test_private),
	};

	return cmocka_run_group_tests_name(
		"role identity", tests, place_make, place_remove);
}
