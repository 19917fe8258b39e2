/*
 * The warden's children: none has more than its time, even stopped, and no
 * account more than its share.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "local/children.h"

static void
test_share(void **state)
{
	struct children children;

	(void)state;
	assert_int_equal(children_start(&children, 8), 0);
	assert_int_equal(children_next_ms(&children), DEADLINE_NEVER);
	assert_true(children_has_room(&children, "s:ann"));
	children_add(&children, 1001, "s:ann", DEADLINE_NEVER);
	assert_true(children_has_room(&children, "s:ann"));
	children_add(&children, 1002, "s:ann", DEADLINE_NEVER);
	assert_false(children_has_room(&children, "s:ann"));
	assert_true(children_has_room(&children, "s:anna"));
	for (pid_t pid = 1003; pid <= 1008; pid++) {
		assert_true(children_has_room(&children, "a:"));
		children_add(&children, pid, "a:", DEADLINE_NEVER);
	}
	assert_false(children_has_room(&children, "a:"));
	assert_false(children_has_room(&children, "s:bob"));
	children_remove(&children, 77);
	assert_int_equal(children.count, 8);
	children_remove(&children, 1001);
	assert_int_equal(children.count, 7);
	assert_true(children_has_room(&children, "s:ann"));
	children_free(&children);
	assert_int_equal(children_start(&children, 1), 0);
	assert_true(children_has_room(&children, "s:ann"));
	children_free(&children);
}

static void
test_stopped_is_killed(void **state)
{
	struct children children;
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		for (;;)
			raise(SIGSTOP);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(children_start(&children, 4), 0);
	children_add(&children, pid, "s:ann", deadline_after_ms(60000));
	assert_int_equal(children_kill_overdue(&children), 0);
	int64_t next_ms = children_next_ms(&children);
	assert_true(next_ms > deadline_now_ms());
	children.child[0].end_ms = deadline_now_ms();
	assert_int_equal(children_kill_overdue(&children), 1);
	/* once is enough */
	assert_int_equal(children_kill_overdue(&children), 0);
	assert_int_equal(children_next_ms(&children), DEADLINE_NEVER);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	children_remove(&children, pid);
	assert_int_equal(children.count, 0);
	children_free(&children);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_stopped_is_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
