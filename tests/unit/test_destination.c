/*
 * The list of destinations: what is packed is read again, and nothing else is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "queue/destination.h"

struct seen {
	struct destination last;
	unsigned count;
};

static void
see(void *context, const struct destination *one)
{
	struct seen *seen = context;

	seen->last = *one;
	seen->count++;
}

static struct destination
sample(void)
{
	struct destination one = {
		.state = DESTINATION_DOWN,
		.out = 1,
		.window = 2,
		.ready = 3,
		.messages = 4,
		.has_waiting = true,
		.failures = 5,
		.probe_s = 6,
	};

	destination_text(one.name, sizeof one.name, "mx:example.org");
	destination_text(one.reply, sizeof one.reply, "4.4.1 no\nhost\x80");
	return one;
}

static void
test_round(void **state)
{
	struct destination one = sample();
	stralloc octets = STRALLOC_ZERO;
	struct seen seen = {0};
	uint32_t count = 0;

	(void)state;
	assert_int_equal(destination_pack_count(&octets, 70000), 0);
	assert_int_equal(destination_pack(&octets, &one), 0);
	assert_int_equal(destination_pack(&octets, &one), 0);
	assert_int_equal(
		destination_unpack(octets.s, octets.len, &count, see, &seen),
		0);
	assert_int_equal(count, 70000);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.last.name, "mx:example.org");
	assert_string_equal(seen.last.reply, "4.4.1 no?host?");
	assert_int_equal(seen.last.state, DESTINATION_DOWN);
	assert_int_equal(seen.last.out, 1);
	assert_int_equal(seen.last.window, 2);
	assert_int_equal(seen.last.ready, 3);
	assert_int_equal(seen.last.messages, 4);
	assert_true(seen.last.has_waiting);
	assert_false(seen.last.is_local);
	assert_int_equal(seen.last.failures, 5);
	assert_int_equal(seen.last.probe_s, 6);

	/* any octet changed */
	for (size_t i = 0; i < octets.len; i++) {
		octets.s[i] ^= 1;
		assert_int_equal(destination_unpack(octets.s, octets.len,
					 &count, see, &seen),
			-1);
		octets.s[i] ^= 1;
	}
	assert_int_equal(
		destination_unpack(octets.s, 0, &count, see, &seen), -1);
	assert_int_equal(destination_unpack(
				 octets.s, octets.len - 1, &count, see, &seen),
		-1);
	stralloc_free(&octets);
}

/* Sound records, but of what no runner writes. */
static void
test_bad(void **state)
{
	struct destination one;
	uint32_t count;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		stralloc octets = STRALLOC_ZERO;
		struct seen seen = {0};

		one = sample();
		if (i == 0)
			one.state = (enum destination_state)4;
		else if (i == 1)
			one.name[0] = '\033';
		else
			one.reply[0] = '\n';
		assert_int_equal(destination_pack_count(&octets, 1), 0);
		assert_int_equal(destination_pack(&octets, &one), 0);
		assert_int_equal(destination_unpack(octets.s, octets.len,
					 &count, see, &seen),
			-1);
		assert_int_equal(seen.count, 0);
		stralloc_free(&octets);
	}
}

static void
test_text(void **state)
{
	char text[5];

	(void)state;
	destination_text(text, sizeof text, "abcdef");
	assert_string_equal(text, "abcd");
	destination_text(text, sizeof text, "");
	assert_string_equal(text, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
