#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lib/role.h"
#include "lib/sanitized.h"

/*
 * Landlock's numbers, ours because headers of older systems know only the first
 * of them. Rights that the running kernel does not know are left out: what it
 * cannot forbid stays allowed, and the uid still stands before it.
 */
#define FS_EXECUTE (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_DIR (1ull << 7)
#define FS_REMOVE_DIR (1ull << 4)
#define FS_MAKE_REG (1ull << 8)
#define FS_MAKE_FIFO (1ull << 10)
#define FS_REFER (1ull << 13)
#define FS_TRUNCATE (1ull << 14)
#define FS_ALL_1 ((1ull << 13) - 1)
#define FS_ALL_2 (FS_ALL_1 | FS_REFER)
#define FS_ALL_3 (FS_ALL_2 | FS_TRUNCATE)
#define FS_ALL_5 (FS_ALL_3 | 1ull << 15)
#define FS_OF_A_FILE \
	(FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | 1ull << 15)
#define NET_BIND (1ull << 0)
#define NET_CONNECT (1ull << 1)
#define SCOPE_ABSTRACT_SOCKETS (1ull << 0)
#define SCOPE_SIGNALS (1ull << 1)
#define RULE_PATH 1
#define RULE_PORT 2

struct ruleset {
	uint64_t fs, net, scoped;
};

struct path_rule {
	uint64_t allowed;
	int32_t folder;
} __attribute__((packed));

struct port_rule {
	uint64_t allowed, port;
};

static int fail(char *why, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int
fail(char *why, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, size, format, arguments);
	va_end(arguments);
	return -1;
}

/* --- limits --- */

static int
set_limit(int resource, uint64_t value)
{
	struct rlimit limit = {value, value};
	struct rlimit old;

	if (getrlimit((__rlimit_resource_t)resource, &old) == 0 &&
		old.rlim_max < value)
		limit.rlim_cur = limit.rlim_max = old.rlim_max;
	return setrlimit((__rlimit_resource_t)resource, &limit);
}

static int
take_limits(const struct role *role, char *why, size_t size)
{
	if (set_limit(RLIMIT_CORE, 0) < 0 ||
		(role->memory_octets != 0 && !SANITIZED &&
			set_limit(RLIMIT_DATA, role->memory_octets) < 0) ||
		(role->descriptors != 0 &&
			set_limit(RLIMIT_NOFILE, role->descriptors) < 0))
		return fail(
			why, size, "cannot set limits: %s", strerror(errno));
	umask(0);
	if (chdir("/") < 0)
		return fail(why, size, "cannot go to /: %s", strerror(errno));
	return 0;
}

/* --- identity --- */

/* True if every uid and gid of this process is the given one, and neither root
 * nor anything else can be had. */
static bool
is_for_good(uid_t uid, gid_t gid)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	return getresuid(&ruid, &euid, &suid) == 0 &&
	       getresgid(&rgid, &egid, &sgid) == 0 && ruid == uid &&
	       euid == uid && suid == uid && rgid == gid && egid == gid &&
	       sgid == gid && setuid(0) < 0 && setgid(0) < 0 &&
	       setgroups(0, NULL) < 0;
}

/* Finds the supplementary groups. Returns how many, or -1. */
static int
find_groups(const struct role *role, const struct home *home,
	gid_t group[ROLE_GROUPS_MAX], char *why, size_t size)
{
	int count = 0;

	for (unsigned i = 0; i < ROLE_GROUPS_MAX && role->groups[i]; i++) {
		const char *name = role->groups[i];
		bool optional = name[0] == '?';

		if (home_group_id(home, name + optional, &group[count]) == 0)
			count++;
		else if (!optional)
			return fail(why, size,
				"control/ids does not name group %s: run "
				"make-users",
				name);
	}
	return count;
}

static int
take_identity(const struct role *role, const struct home *home, char *why,
	size_t size)
{
	gid_t group[ROLE_GROUPS_MAX], gid;
	uid_t uid;

	if (home_user_id(home, role->user, &uid) < 0 ||
		home_group_id(home, role->group, &gid) < 0)
		return fail(why, size,
			"control/ids does not name user %s and group %s: run "
			"make-users",
			role->user, role->group);
	if (!role->is_given) {
		int groups = find_groups(role, home, group, why, size);

		if (groups < 0)
			return -1;
		if (getuid() != 0)
			return fail(why, size,
				"started as uid %u: start it as root, so that "
				"it can become %s",
				(unsigned)getuid(), role->user);
		if (setgroups((size_t)groups, group) < 0 ||
			setresgid(gid, gid, gid) < 0 ||
			setresuid(uid, uid, uid) < 0)
			return fail(why, size, "cannot become %s: %s",
				role->user, strerror(errno));
	}
	if (uid == 0 || gid == 0 || !is_for_good(uid, gid))
		return fail(why, size,
			"is uid %u gid %u, and not for good %s:%s (%u:%u)%s",
			(unsigned)getuid(), (unsigned)getgid(), role->user,
			role->group, (unsigned)uid, (unsigned)gid,
			role->is_given ? ": does tcpserver have -u and -g?"
				       : "");
	return 0;
}

int
role_become(const struct home *home, uid_t uid, gid_t gid, const gid_t *group,
	unsigned groups)
{
	umask(077);
	if (home->is_private) {
		if (uid != geteuid() || uid == 0) {
			errno = EPERM;
			return -1;
		}
		return 0;
	}
	if (uid == 0 || gid == 0 || home_is_role_uid(home, uid)) {
		errno = EPERM;
		return -1;
	}
	if (setgroups(groups, group) < 0 || setresgid(gid, gid, gid) < 0 ||
		setresuid(uid, uid, uid) < 0)
		return -1;
	if (!is_for_good(uid, gid)) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

/* --- Landlock --- */

static uint64_t
known_rights(int version)
{
	switch (version) {
	case 1:
		return FS_ALL_1;
	case 2:
		return FS_ALL_2;
	case 3:
	case 4:
		return FS_ALL_3;
	default:
		return FS_ALL_5;
	}
}

/* 0 also for a path that is not there, and one of sockets alone. */
static int
allow_path(int set, const struct role_path *path, unsigned calls,
	uint64_t known, const struct home *home, char *why, size_t size)
{
	struct path_rule rule = {.allowed = 0};
	char name[HOME_NAME_MAX];
	struct stat st;

	if (path->access & (ROLE_READ | ROLE_WRITE))
		rule.allowed |= FS_READ_FILE | FS_READ_DIR;
	if (path->access & ROLE_WRITE)
		rule.allowed |= FS_WRITE_FILE | FS_REMOVE_FILE | FS_REMOVE_DIR |
				FS_MAKE_REG | FS_MAKE_DIR | FS_MAKE_FIFO |
				FS_REFER | FS_TRUNCATE;
	else if (calls & CALLS_EXEC)
		rule.allowed |= FS_EXECUTE;
	if (path->access == ROLE_CONNECT)
		return 0;
	if (path->path[0] == '/')
		snprintf(name, sizeof name, "%s", path->path);
	else
		home_path(home, path->path, name);
	rule.folder = open(name, O_PATH | O_CLOEXEC);
	if (rule.folder < 0 || fstat(rule.folder, &st) < 0) {
		int saved = errno;

		if (rule.folder >= 0)
			close(rule.folder);
		return saved == ENOENT ? 0
				       : fail(why, size, "%s: %s", name,
						 strerror(saved));
	}
	if (!S_ISDIR(st.st_mode))
		rule.allowed &= FS_OF_A_FILE;
	rule.allowed &= known;
	long added = syscall(444 + 1, set, RULE_PATH, &rule, 0);
	int saved = errno;
	close(rule.folder);
	return added == 0 ? 0
			  : fail(why, size, "Landlock does not take %s: %s",
				    name, strerror(saved));
}

/* Who connects to the network may choose the address from which it does; a port
 * of its own it gets from the kernel, and cannot listen there. */
static int
allow_source(int set, char *why, size_t size)
{
	struct port_rule rule = {.allowed = NET_BIND, .port = 0};

	if (syscall(445, set, RULE_PORT, &rule, 0) == 0)
		return 0;
	return fail(why, size, "Landlock does not take port 0: %s",
		strerror(errno));
}

static int
restrict_files(const struct role_path *path, bool reaches_network,
	unsigned calls, const struct home *home, char *why, size_t size)
{
	long version = syscall(444, NULL, 0, 1);
	struct ruleset attribute = {.fs = known_rights((int)version)};

	if (version < 1) {
		snprintf(why, size,
			"this kernel has no Landlock: file access is limited "
			"by the uid alone");
		return 0;
	}
	if (version >= 4)
		attribute.net =
			reaches_network ? NET_BIND : NET_BIND | NET_CONNECT;
	if (version >= 6)
		attribute.scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS;
	size_t known = version >= 6 ? 24 : version >= 4 ? 16 : 8;
	int set = (int)syscall(444, &attribute, known, 0);
	if (set < 0)
		return fail(why, size, "Landlock: %s", strerror(errno));
	for (unsigned i = 0; i < ROLE_PATHS_MAX && path && path[i].path; i++)
		if (allow_path(set, &path[i], calls, attribute.fs, home, why,
			    size) < 0) {
			close(set);
			return -1;
		}
	if (version >= 4 && reaches_network &&
		allow_source(set, why, size) < 0) {
		close(set);
		return -1;
	}
	long restricted = syscall(446, set, 0);
	int saved = errno;
	close(set);
	return restricted == 0
		       ? 0
		       : fail(why, size, "Landlock: %s", strerror(saved));
}

/* --- all of it --- */

int
role_confine(const struct role_path *path, bool reaches_network, unsigned calls,
	const struct home *home, char *why, size_t size)
{
	*why = 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(why, size, "no_new_privs: %s", strerror(errno));
	if (!SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return fail(why, size, "not dumpable: %s", strerror(errno));
	if (calls & CALLS_ANY)
		return 0;
	if (restrict_files(path, reaches_network, calls, home, why, size) < 0)
		return -1;
	if (reaches_network)
		calls |= CALLS_NETWORK;
	if (role_filter_install(calls) < 0)
		return fail(why, size, "seccomp: %s", strerror(errno));
	return 0;
}

int
role_take(const struct role *role, const struct home *home, char *why,
	size_t size)
{
	*why = 0;
	if (take_limits(role, why, size) < 0)
		return -1;
	if (strcmp(role->user, "root") == 0) {
		if (!home->is_private && getuid() != 0)
			return fail(why, size, "must be started as root");
		prctl(PR_SET_DUMPABLE, SANITIZED, 0, 0, 0);
		return 0;
	}
	if (!home->is_private && take_identity(role, home, why, size) < 0)
		return -1;
	return role_confine(role->path, role->reaches_network, role->calls,
		home, why, size);
}
