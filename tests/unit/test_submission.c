/* Which senders belong to a login, and the header of what it submits. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "smtpd/header.h"
#include "smtpd/senders.h"
#include "smtpd/submission.h"
#include "smtpd/trace.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define ID "0123456789abcdefghjk"

struct place {
	struct domains locals;
	struct setting_list list;
	char *line[2];
	size_t number[2];
};

static int
place_make(void **state)
{
	static char first[] = "ann@a.test sales@a.test\t @lists.test",
		    second[] = "bob help@";
	struct place *place = calloc(1, sizeof *place);

	*state = place;
	place->line[0] = first;
	place->line[1] = second;
	place->number[0] = 3;
	place->number[1] = 7;
	place->list = (struct setting_list){
		place->line, place->number, LENGTH(place->line), true};
	return domains_add(&place->locals, "a.test", 6);
}

static int
place_remove(void **state)
{
	struct place *place = *state;

	domains_free(&place->locals);
	free(place);
	return 0;
}

static bool
belongs(const struct place *place, const char *login, const char *address)
{
	struct path path;

	assert_int_equal(address_mailbox_scan(address, strlen(address),
				 ADDRESS_NULL | ADDRESS_NO_DOMAIN, &path),
		0);
	return senders_belong(&place->list, &place->locals, login, &path);
}

static void
senders(void **state)
{
	static const struct {
		const char *login, *address;
		bool does;
	} cases[] = {
		{"ann@a.test", "ann@a.test", true},
		{"ANN@A.Test", "Ann@a.test", true},
		{"ann@a.test", "\"ann\"@a.test", true},
		{"ann@a.test", "", true},
		{"ann@a.test", "ann", false},
		{"ann@a.test", "ann-x@a.test", false},
		{"ann@a.test", "ann@b.test", false},
		{"ann@a.test", "sales@a.test", true},
		{"Ann@A.test", "SALES@a.test", true},
		{"ann@a.test", "x@lists.test", true},
		{"ann@a.test", "x@sub.lists.test", false},
		{"ann@a.test", "help@a.test", false},
		{"bob", "bob@a.test", true},
		{"bob", "bob@b.test", false},
		{"bob", "help@z.test", true},
		{"bob", "sales@a.test", false},
		{"", "\"\"@a.test", true},
		{"bob@", "bob@a.test", false},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
		if (belongs(*state, cases[i].login, cases[i].address) !=
			cases[i].does)
			fail_msg("%s and %s", cases[i].login, cases[i].address);
}

static void
senders_list(void **state)
{
	struct place *place = *state;
	static const char *const bad[] = {
		"ann", "ann !x@y.test", "ann x y", " ", "ann x@y.test bad"};
	char line[5000], why[200];
	struct setting_list list = place->list;

	assert_int_equal(senders_check(&list, why, sizeof why), 0);
	for (size_t i = 0; i < LENGTH(bad); i++) {
		snprintf(line, sizeof line, "%s", bad[i]);
		place->line[1] = line;
		assert_int_equal(senders_check(&list, why, sizeof why), -1);
		assert_non_null(strstr(why, "control/senderlogins line 7"));
	}
	memset(line, 'a', sizeof line - 1);
	line[sizeof line - 1] = 0;
	assert_int_equal(senders_check(&list, why, sizeof why), -1);
}

static const char *
judge(const struct place *place, const char *header)
{
	return senders_header(&place->list, &place->locals, "ann@a.test",
		header, strlen(header));
}

static void
senders_of_a_header(void **state)
{
	assert_null(judge(*state, "Subject: x\n\n"));
	assert_null(judge(*state, "From: Ann <ann@a.test>\n\n"));
	assert_null(judge(
		*state, "From: ann@a.test,\n \"x@y\" <sales@a.test>\n\n"));
	assert_non_null(judge(*state, "From: ann@a.test\nFROM : x@y.test\n\n"));
	assert_non_null(judge(*state, "From: ann@a.test, x@y.test\n\n"));
	assert_non_null(judge(*state, "From:\n\n"));
	assert_non_null(judge(*state, "From: <>\n\n"));
	assert_non_null(judge(*state, "From: ann\n\n"));
}

/* --- the header --- */

/* Takes text in pieces of this size; returns where the body begins. */
static size_t
take(struct header *header, const char *text, size_t piece)
{
	size_t at = 0, len = strlen(text), taken;

	header_start(header);
	while (at < len) {
		size_t part = len - at < piece ? len - at : piece;
		enum header_result result =
			header_take(header, text + at, part, &taken);

		at += taken;
		if (result == HEADER_WHOLE)
			break;
		assert_int_equal(result, HEADER_MORE);
		assert_int_equal(taken, part);
	}
	return at;
}

static void
header_ends(void **state)
{
	static const struct {
		const char *text;
		size_t body_at; /* 0: no end */
		bool is_sound;
	} cases[] = {
		{"A: b\n c\nD: e\n\nbody\n\n", 14, true},
		{"\nbody\n", 1, true},
		{"A: b\n", 0, true},
		{"A: b", 0, true},
		{"", 0, true},
		{"A: b\nno field\nC: d\n\nbody", 20, false},
		{"body\n\n", 6, false},
		{"A: b\n \n\nx", 8, true},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		for (size_t piece = 1; piece < 30; piece++) {
			struct header header;
			size_t at = take(&header, cases[i].text, piece);
			size_t wanted = cases[i].body_at;

			assert_int_equal(header.is_whole, wanted != 0);
			if (wanted == 0)
				wanted = strlen(cases[i].text);
			assert_int_equal(at, wanted);
			assert_int_equal(header.len, wanted);
			assert_int_equal(
				header_is_sound(&header), cases[i].is_sound);
			if (wanted > 0)
				assert_memory_equal(
					header.block, cases[i].text, wanted);
			header_end(&header);
			header_end(&header);
		}
}

static void
header_is_bounded(void **state)
{
	static const char line[] = "X-Line: 0123456789012345678901234567890\n";
	struct header header;
	size_t taken, total = 0;
	enum header_result result;

	(void)state;
	header_start(&header);
	do {
		result = header_take(&header, line, sizeof line - 1, &taken);
		total += taken;
	} while (result == HEADER_MORE);
	assert_int_equal(result, HEADER_TOO_LONG);
	assert_true(total > HEADER_MAX && total < HEADER_MAX + sizeof line);
	header_end(&header);
}

static void
header_additions_are_made(void **state)
{
	static const struct {
		const char *text, *additions;
	} cases[] = {
		{"A: b\n\n", "Date: Tue, 14 Nov 2023 22:13:20 +0000\n"
			     "Message-ID: <" ID "@host.test>\n"},
		{"", "Date: Tue, 14 Nov 2023 22:13:20 +0000\n"
		     "Message-ID: <" ID "@host.test>\n"},
		{"DATE:\n\n", "Message-ID: <" ID "@host.test>\n"},
		{"Message-Id: x\n\n",
			"Date: Tue, 14 Nov 2023 22:13:20 +0000\n"},
		{"Message-Id: x\ndate :y\n\n", ""},
	};
	char into[HEADER_ADDITIONS_MAX];

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct header header;

		take(&header, cases[i].text, 7);
		size_t len = header_additions(
			&header, ID, "host.test", 1700000000, into);
		assert_int_equal(len, strlen(cases[i].additions));
		assert_memory_equal(into, cases[i].additions, len);
		header_end(&header);
	}
}

static void
trace_is_hidden(void **state)
{
	char field[TRACE_MAX];
	const struct trace trace = {
		.hello = "my.host",
		.name = "n.test",
		.address = "192.0.2.1",
		.me = "host.test",
		.protocol = "ESMTP",
		.is_hidden = true,
		.id = ID,
		.time_s = 1700000000,
	};

	(void)state;
	trace_write(field, sizeof field, &trace);
	assert_string_equal(field,
		"Received: by host.test with ESMTP id " ID ";\n"
		"\tTue, 14 Nov 2023 22:13:20 +0000\n");
}

static void
keys(void **state)
{
	char key[COUNTER_KEY_MAX + 1], other[COUNTER_KEY_MAX + 1], login[256];

	(void)state;
	submission_key(key, "Ann B@A.test");
	assert_string_equal(key, "account ann b@a.test");
	memset(login, 'x', sizeof login - 1);
	login[sizeof login - 1] = 0;
	submission_key(key, login);
	assert_int_equal(strlen(key), COUNTER_KEY_MAX);
	login[254] = 'y';
	submission_key(other, login);
	assert_string_not_equal(key, other);
	login[COUNTER_KEY_MAX - 8] = 0;
	submission_key(key, login);
	assert_int_equal(strlen(key), COUNTER_KEY_MAX);
	assert_null(strchr(key, '~'));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			senders, place_make, place_remove),
		cmocka_unit_test_setup_teardown(
			senders_list, place_make, place_remove),
		cmocka_unit_test_setup_teardown(
			senders_of_a_header, place_make, place_remove),
		cmocka_unit_test(header_ends),
		cmocka_unit_test(header_is_bounded),
		cmocka_unit_test(header_additions_are_made),
		cmocka_unit_test(trace_is_hidden),
		cmocka_unit_test(keys),
	};

	return cmocka_run_group_tests_name("submission", tests, NULL, NULL);
}
