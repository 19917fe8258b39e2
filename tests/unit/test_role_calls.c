/*
 * Roles: the list of system calls. Children make calls that their classes do not
 * hold, and are killed by SIGSYS or refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/role.h"
#include "tests/unit/children.h"

/* Confines the child; says why on failure. */
static int
confine(const struct home *home, const struct role_path *path, unsigned calls,
	bool reaches_network)
{
	char why[300];
	int result = role_confine(
		path, reaches_network, calls, home, why, sizeof why);

	if (result < 0)
		dprintf(2, "# %s\n", why);
	return result;
}

static const struct role_path ALL_READABLE[] = {{"/", ROLE_READ}, {NULL, 0}};

static int
try_exec(struct home *home, unsigned calls)
{
	char program[] = "/bin/true";
	char *argument[] = {program, NULL}, *environment[] = {NULL};

	NEED(confine(home, ALL_READABLE, calls, false) == 0);
	execve(program, argument, environment);
	return 2;
}

static int
act_exec(void *context)
{
	struct home *home = context;

	return try_exec(home, CALLS_READ | CALLS_WRITE | CALLS_CONNECT |
				      CALLS_SERVE | CALLS_FORK);
}

static int
act_exec_allowed(void *context)
{
	struct home *home = context;

	return try_exec(home, CALLS_READ | CALLS_EXEC);
}

static int
act_inet_refused(void *context)
{
	struct home *home = context;

	static const int family[] = {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET};

	NEED(confine(home, NULL, CALLS_CONNECT, false) == 0);
	NEED(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	for (size_t i = 0; i < sizeof family / sizeof family[0]; i++)
		NEED(socket(family[i], SOCK_DGRAM, 0) < 0 &&
			errno == EAFNOSUPPORT);
	return 0;
}

static int
act_inet_allowed(void *context)
{
	struct home *home = context;

	NEED(confine(home, NULL, CALLS_BASE, true) == 0);
	NEED(socket(AF_INET, SOCK_STREAM, 0) >= 0);
	NEED(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	return 0;
}

static int
act_inet_killed(void *context)
{
	struct home *home = context;

	NEED(confine(home, NULL, CALLS_READ | CALLS_SERVE | CALLS_FORK,
		     false) == 0);
	(void)socket(AF_INET, SOCK_STREAM, 0);
	return 0;
}

static int
act_unix_killed(void *context)
{
	struct home *home = context;

	NEED(confine(home, NULL, CALLS_READ, false) == 0);
	(void)socket(AF_UNIX, SOCK_STREAM, 0);
	return 0;
}

static int
try_fork(struct home *home, unsigned calls)
{
	int status;

	NEED(confine(home, NULL, calls, false) == 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(7);
	NEED(pid > 0 && waitpid(pid, &status, 0) == pid);
	NEED(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	return 0;
}

static int
act_fork(void *context)
{
	struct home *home = context;

	return try_fork(
		home, CALLS_READ | CALLS_WRITE | CALLS_CONNECT | CALLS_SERVE);
}

static int
act_fork_allowed(void *context)
{
	struct home *home = context;

	return try_fork(home, CALLS_FORK);
}

static int
act_open(void *context)
{
	struct home *home = context;

	NEED(confine(home, NULL, CALLS_BASE, false) == 0);
	(void)open("/etc/passwd", O_RDONLY);
	return 0;
}

static int
act_unlink(void *context)
{
	struct home *home = context;

	NEED(confine(home, NULL, CALLS_READ, false) == 0);
	(void)unlinkat(AT_FDCWD, "/not/there", 0);
	return 0;
}

static int
act_kill(void *context)
{
	struct home *home = context;

	NEED(confine(home, NULL, CALLS_READ, false) == 0);
	(void)kill(getppid(), 0);
	return 0;
}

static int
act_trace(void *context)
{
	struct home *home = context;

	NEED(confine(home, NULL, ~0u ^ CALLS_ANY, false) == 0);
	(void)syscall(__NR_ptrace, 0, 0, 0, 0);
	return 0;
}

static int
act_set_id(void *context)
{
	struct home *home = context;

	NEED(confine(home, NULL, ~0u ^ CALLS_ANY, false) == 0);
	(void)syscall(__NR_setuid, getuid());
	return 0;
}

/* A second list does not give back what the first took. */
static int
act_widen(void *context)
{
	struct home *home = context;

	NEED(confine(home, NULL, CALLS_READ, false) == 0);
	NEED(confine(home, NULL, CALLS_READ | CALLS_FORK, false) == 0);
	(void)fork();
	return 0;
}

static int
act_unknown_call(void *context)
{
	struct home *home = context;

	NEED(confine(home, NULL, CALLS_BASE, false) == 0);
	NEED(syscall(900) < 0 && errno == ENOSYS);
	NEED(syscall(451) < 0 && errno == ENOSYS);
	NEED(getpid() > 0);
	return 0;
}

#if defined(__x86_64__)
static int
act_x32(void *context)
{
	struct home *home = context;

	NEED(confine(home, NULL, ~0u ^ CALLS_ANY, false) == 0);
	(void)syscall(0x40000000 | 39);
	return 0;
}
#endif

static void
test_calls(void **state)
{
	struct home home = {.is_private = true};

	(void)state;
	if (SANITIZED) {
		print_message(
			"# skipped: sanitizers need calls of their own\n");
		return;
	}
	assert_int_equal(KILLED + SIGSYS, child_ending(act_exec, &home));
	assert_int_equal(0, child_ending(act_exec_allowed, &home));
	assert_int_equal(0, child_ending(act_inet_refused, &home));
	assert_int_equal(0, child_ending(act_inet_allowed, &home));
	assert_int_equal(KILLED + SIGSYS, child_ending(act_inet_killed, &home));
	assert_int_equal(KILLED + SIGSYS, child_ending(act_unix_killed, &home));
	assert_int_equal(KILLED + SIGSYS, child_ending(act_fork, &home));
	assert_int_equal(0, child_ending(act_fork_allowed, &home));
	assert_int_equal(KILLED + SIGSYS, child_ending(act_open, &home));
	assert_int_equal(KILLED + SIGSYS, child_ending(act_unlink, &home));
	assert_int_equal(KILLED + SIGSYS, child_ending(act_kill, &home));
	assert_int_equal(KILLED + SIGSYS, child_ending(act_trace, &home));
	assert_int_equal(KILLED + SIGSYS, child_ending(act_set_id, &home));
	assert_int_equal(KILLED + SIGSYS, child_ending(act_widen, &home));
	assert_int_equal(0, child_ending(act_unknown_call, &home));
#if defined(__x86_64__)
	assert_int_equal(KILLED + SIGSYS, child_ending(act_x32, &home));
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
	};

	return cmocka_run_group_tests_name("role calls", tests, NULL, NULL);
}
