/*
 * Whose an address is, as far as that can be told without asking.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "local/work.h"

static void
test_owner(void **state)
{
	static const char *const same[] = {"ann@host.test", "Ann@HOST.test",
		"ann-@host.test", "ann-a-b@host.test", "ann-x-y@host.test"};
	static const char *const others[] = {"anna@host.test", "bob@host.test",
		"ann@host-a.test", "ann@other.test", "ann", "-ann@host.test",
		"@host.test", ""};
	uint32_t ann = work_owner(same[0]);

	(void)state;
	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
		assert_int_equal(work_owner(same[i]), ann);
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		assert_int_not_equal(work_owner(others[i]), ann);
	/* a dash in the domain ends no local part */
	assert_int_not_equal(
		work_owner("x@a-b.test"), work_owner("x@a-c.test"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_owner)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
