/*
 * Requests of administrators and their answers: what is packed is read again, and
 * nothing else is read.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/records.h"
#include "queue/request.h"

#define ID "06abcdefghjkmnpqrstv"
#define OTHER "06abcdefghjkmnpqrst0"

static enum request_result
result_of(const stralloc *octets)
{
	struct request request;
	enum request_result result =
		request_unpack(octets->s, octets->len, &request);

	if (result != REQUEST_OK) {
		assert_null(request.id);
		assert_int_equal(request.ids, 0);
	}
	request_free(&request);
	return result;
}

static void
test_round(void **state)
{
	struct request request = REQUEST_ZERO, again;
	stralloc octets = STRALLOC_ZERO;

	(void)state;
	request.operation = REQUEST_BOUNCE;
	memcpy(request.text, "no such project", 16);
	assert_int_equal(request_add(&request, ID, ""), 0);
	assert_int_equal(request_add(&request, OTHER, "held/" OTHER), 0);
	assert_int_equal(request_add(&request, ID, "held/" OTHER), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(request_add(&request, "../../x", ""), -1);
	assert_int_equal(request_pack(&request, &octets), 0);
	assert_int_equal(
		request_unpack(octets.s, octets.len, &again), REQUEST_OK);
	assert_int_equal(again.operation, REQUEST_BOUNCE);
	assert_string_equal(again.text, "no such project");
	assert_int_equal(again.ids, 2);
	assert_string_equal(again.id[0].id, ID);
	assert_string_equal(again.id[0].place, "");
	assert_string_equal(again.id[1].id, OTHER);
	assert_string_equal(again.id[1].place, "held/" OTHER);
	request_free(&again);

	/* cut anywhere, and any octet changed */
	for (size_t i = 0; i < octets.len; i++) {
		stralloc cut = {.s = octets.s, .len = i};
		struct request short_one;

		if (request_unpack(cut.s, cut.len, &short_one) == REQUEST_OK) {
			/* a whole record fewer is a request, too */
			assert_int_equal(short_one.ids, 1);
			request_free(&short_one);
		}
		octets.s[i] ^= 1;
		assert_int_equal(result_of(&octets), REQUEST_BAD);
		octets.s[i] ^= 1;
	}
	stralloc_free(&octets);
	request_free(&request);
}

static void
put(stralloc *into, char type, const char *payload, size_t length)
{
	assert_int_equal(
		record_append(into, (uint8_t)type, payload, length), 0);
}

#define PUT(into, type, payload) put(into, type, payload, sizeof payload - 1)

static void
test_bad(void **state)
{
	static const struct {
		const char *head;
		size_t length;
	} HEAD[] = {{"", 0}, {"\0\0\0", 3}, {"\7\0\0", 3}, {"\377\0\0", 3},
		{"\1\0\0\0", 4}, {"\1\0\1x", 4}, {"\5\0\1x", 4},
		{"\4\0\1\n", 4}, {"\4\0\1\200", 4}, {"\4\0\1\0", 4},
		{"\4\0\2x", 4}, {"\1", 1}};
	stralloc octets = STRALLOC_ZERO;

	(void)state;
	assert_int_equal(result_of(&octets), REQUEST_BAD);
	for (size_t i = 0; i < sizeof HEAD / sizeof HEAD[0]; i++) {
		octets.len = 0;
		put(&octets, 'Q', HEAD[i].head, HEAD[i].length);
		PUT(&octets, 'I', ID "\0\0");
		if (result_of(&octets) != REQUEST_BAD)
			fail_msg("head %zu is taken", i);
	}
	octets.len = 0;
	PUT(&octets, 'Q', "\1\0\0");
	assert_int_equal(result_of(&octets), REQUEST_BAD); /* no message */
	PUT(&octets, 'I', ID "\0\0");
	assert_int_equal(result_of(&octets), REQUEST_OK);
	PUT(&octets, 'Q', "\1\0\0");
	assert_int_equal(result_of(&octets), REQUEST_BAD);

	static const struct {
		const char *payload;
		size_t length;
	} IDS[] = {{"", 0}, {ID, 20}, {ID "\0", 21}, {ID "\0\0\0", 23},
		{"06abcdefghjkmnpqrst/\0\0", 22}, {ID "\0\1/", 23},
		{ID "\0\1\0", 23}, {ID "\0\12jobs/local", 32},
		{ID "\0\3../", 25}};
	for (size_t i = 0; i < sizeof IDS / sizeof IDS[0]; i++) {
		octets.len = 0;
		PUT(&octets, 'Q', "\1\0\0");
		put(&octets, 'I', IDS[i].payload, IDS[i].length);
		if (result_of(&octets) != REQUEST_BAD)
			fail_msg("id %zu is taken", i);
	}
	stralloc_free(&octets);
}

static void
test_bounds(void **state)
{
	struct request request = REQUEST_ZERO;
	stralloc octets = STRALLOC_ZERO;

	(void)state;
	request.operation = REQUEST_RETRY;
	for (int i = 0; i < REQUEST_IDS_MAX; i++)
		assert_int_equal(request_add(&request, ID,
					 "waiting/"
					 "0123456789abcdef0123456789abcdef/"
					 "10001c88e27/" ID),
			0);
	assert_int_equal(request_add(&request, ID, ""), -1);
	assert_int_equal(errno, E2BIG);
	assert_int_equal(request_pack(&request, &octets), 0);
	assert_true(octets.len <= REQUEST_OCTETS_MAX);
	assert_int_equal(result_of(&octets), REQUEST_OK);
	PUT(&octets, 'I', ID "\0\0");
	assert_int_equal(result_of(&octets), REQUEST_BAD);
	stralloc_free(&octets);
	request_free(&request);
}

static void
count(void *context, const struct request_answer *answer)
{
	int *seen = context;

	if (*seen == 0) {
		assert_string_equal(answer->id, ID);
		assert_true(answer->is_done);
		assert_string_equal(answer->text, "held");
	} else {
		assert_string_equal(answer->id, "");
		assert_false(answer->is_done);
	}
	++*seen;
}

static void
test_answers(void **state)
{
	struct request_answer one = {ID, true, "held"}, all = {"", false, "no"};
	stralloc octets = STRALLOC_ZERO;
	int seen = 0;

	(void)state;
	assert_int_equal(request_pack_answer(&octets, &one), 0);
	assert_int_equal(request_pack_answer(&octets, &all), 0);
	assert_int_equal(
		request_unpack_answers(octets.s, octets.len, count, &seen), 0);
	assert_int_equal(seen, 2);
	seen = 0;
	assert_int_equal(
		request_unpack_answers(octets.s, octets.len - 1, count, &seen),
		-1);
	octets.len = 0;
	PUT(&octets, 'A', "\0\0\2\0\0");
	assert_int_equal(
		request_unpack_answers(octets.s, octets.len, count, &seen), -1);
	octets.len = 0;
	PUT(&octets, 'A', "\0\0\1\0\1\n");
	assert_int_equal(
		request_unpack_answers(octets.s, octets.len, count, &seen), -1);
	stralloc_free(&octets);
}

static void
test_names(void **state)
{
	static const char *const NAMES[] = {
		"hold", "release", "delete", "bounce", "retry", "route"};
	enum request_operation operation;

	(void)state;
	for (int i = 0; i < 6; i++) {
		assert_int_equal(request_operation(NAMES[i], &operation), 0);
		assert_int_equal(operation, i + 1);
		assert_string_equal(request_name(operation), NAMES[i]);
	}
	assert_int_equal(request_operation("", &operation), -1);
	assert_int_equal(request_operation("Hold", &operation), -1);
	assert_int_equal(request_operation("destinations", &operation), -1);
	assert_string_equal(request_name(REQUEST_DESTINATIONS), "destinations");
	assert_null(request_name((enum request_operation)8));
}

/* A list names no message, and everything else does. */
static void
test_list(void **state)
{
	struct request request = {.operation = REQUEST_DESTINATIONS}, again;
	stralloc octets = STRALLOC_ZERO;

	(void)state;
	assert_int_equal(request_pack(&request, &octets), 0);
	assert_int_equal(
		request_unpack(octets.s, octets.len, &again), REQUEST_OK);
	assert_int_equal(again.operation, REQUEST_DESTINATIONS);
	assert_int_equal(again.ids, 0);
	request_free(&again);
	octets.len = 0;
	assert_int_equal(request_add(&request, ID, ""), 0);
	assert_int_equal(request_pack(&request, &octets), 0);
	assert_int_equal(result_of(&octets), REQUEST_BAD);
	octets.len = 0;
	request_free(&request);
	request.operation = REQUEST_RETRY;
	assert_int_equal(request_pack(&request, &octets), 0);
	assert_int_equal(result_of(&octets), REQUEST_BAD);
	stralloc_free(&octets);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
