/*
 * The text of reports: what goes back, which fields stand there, what a reply
 * text says of itself.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "queue/report.h"

#define REPLY "550 5.1.1 no such user (host mx.y.test [192.0.2.1])"

/* --- reply texts --- */

static const struct {
	const char *text;
	char class;
	const char *status;
	bool is_smtp;
	const char *host, *address, *words;
} VERDICTS[] = {
	{REPLY, '5', "5.1.1", true, "mx.y.test", "192.0.2.1",
		"550 5.1.1 no such user"},
	{"550 no (host [2001:db8::1])", '5', "5.0.0", true, "", "2001:db8::1",
		"550 no"},
	{"552 full (host a.test [192.0.2.1])", '5', "5.2.2", true, "a.test",
		"192.0.2.1", "552 full"},
	{"450 4.2.1 later (host a.test [192.0.2.1])", '4', "4.2.1", true,
		"a.test", "192.0.2.1", "450 4.2.1 later"},
	{"421 busy (host a.test [192.0.2.1])", '4', "4.3.2", true, "a.test",
		"192.0.2.1", "421 busy"},
	/* a class that does not fit */
	{"450 4.2.1 later (host a.test [192.0.2.1])", '5', "5.2.1", true,
		"a.test", "192.0.2.1", "450 4.2.1 later"},
	{"250 2.0.0 ok (host a.test [192.0.2.1])", '2', "2.0.0", true, "a.test",
		"192.0.2.1", "250 2.0.0 ok"},
	{REPORT_EXPIRED_TEXT "450 4.2.1 x (host a.test [192.0.2.1])", '5',
		"5.4.7", true, "a.test", "192.0.2.1", "450 4.2.1 x"},
	{"4.4.1 no connection: refused (host a.test [192.0.2.1])", '4', "4.4.1",
		false, "a.test", "192.0.2.1", "4.4.1 no connection: refused"},
	{"5.1.2 the address leads to no host", '5', "5.1.2", false, "", "",
		"5.1.2 the address leads to no host"},
	{"we do not want this", '5', "5.0.0", false, "", "",
		"we do not want this"},
	{"", '5', "5.0.0", false, "", "", ""},
	{"550", '5', "5.0.0", false, "", "", "550"},
	{"55", '5', "5.0.0", false, "", "", "55"},
	{"5.1234.1 x", '5', "5.0.0", false, "", "", "5.1234.1 x"},
	{"5.1.1x", '5', "5.0.0", false, "", "", "5.1.1x"},
	{"5.1.", '5', "5.0.0", false, "", "", "5.1."},
	{"5.123.456", '5', "5.123.456", false, "", "", "5.123.456"},
	/* a host in a stranger's words; only the last one is ours */
	{"550 x (host evil [1.2.3.4]) (host a.test [192.0.2.1])", '5', "5.0.0",
		true, "a.test", "192.0.2.1", "550 x (host evil [1.2.3.4])"},
	{"550 x (host a b [1.2.3.4])", '5', "5.0.0", false, "", "",
		"550 x (host a b [1.2.3.4])"},
	{"550 x (host a.test [zz])", '5', "5.0.0", false, "", "",
		"550 x (host a.test [zz])"},
	{"550 x (host ])", '5', "5.0.0", false, "", "", "550 x (host ])"},
	{"550 x (host [])", '5', "5.0.0", false, "", "", "550 x (host [])"},
	{"550 a\r\nX: \303\274\t", '5', "5.0.0", false, "", "",
		"550 a??X: ???"},
};

static void
test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof VERDICTS / sizeof VERDICTS[0]; i++) {
		struct report_verdict got;

		report_judge(VERDICTS[i].text, VERDICTS[i].class, &got);
		if (strcmp(got.status, VERDICTS[i].status) != 0 ||
			got.is_smtp != VERDICTS[i].is_smtp ||
			strcmp(got.host, VERDICTS[i].host) != 0 ||
			strcmp(got.address, VERDICTS[i].address) != 0 ||
			strcmp(got.words, VERDICTS[i].words) != 0)
			fail_msg("%s: %s, %d, %s, %s, %s", VERDICTS[i].text,
				got.status, got.is_smtp, got.host, got.address,
				got.words);
	}
}

static void
test_long_words(void **state)
{
	char text[OUTCOME_TEXT_MAX + 1];
	struct report_verdict got;

	(void)state;
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = 0;
	report_judge(text, '5', &got);
	assert_int_equal(strlen(got.words), REPORT_DIAGNOSTIC_MAX);
}

/* --- whole reports --- */

struct scene {
	struct report report;
	struct report_recipient recipient[2];
	char *text;
	size_t length, limit;
};

static int
put(void *context, const void *octets, size_t length)
{
	struct scene *scene = context;

	if (scene->length + length > scene->limit)
		return -1;
	char *more = realloc(scene->text, scene->length + length + 1);
	assert_non_null(more);
	scene->text = more;
	memcpy(more + scene->length, octets, length);
	scene->length += length;
	more[scene->length] = 0;
	return 0;
}

static struct scene *
make(const char *content, size_t octets)
{
	struct scene *scene = calloc(1, sizeof *scene);

	assert_non_null(scene);
	int fd = memfd_create("message", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "head", 4), 4);
	assert_true(write(fd, content, octets) == (ssize_t)octets);
	scene->limit = SIZE_MAX;
	scene->recipient[0] = (struct report_recipient){
		.address = "a@y.test",
		.orcpt = "rfc822;b+2Bc@x.test",
		.outcome = OUTCOME_FAILED,
		.text = REPLY,
		.attempt_ms = 1700000100000,
	};
	scene->recipient[1] = scene->recipient[0];
	scene->recipient[1].address = "d@y.test";
	scene->recipient[1].orcpt = "";
	scene->report = (struct report){
		.kind = REPORT_FAILED,
		.me = "me.test",
		.from_local = "MAILER-DAEMON",
		.from_host = "me.test",
		.to = "s@x.test",
		.id = "0123456789abcdefghjk",
		.about = "kjhgfedcba9876543210",
		.envid = "e+2Bf",
		.whole_max = 1000,
		.now_s = 1700000200,
		.arrival_s = 1700000000,
		.retry_until_s = 1700604800,
		.recipient = scene->recipient,
		.recipients = 2,
		.fd = fd,
		.offset = 4,
		.octets = octets,
	};
	return scene;
}

static void
compose(struct scene *scene)
{
	assert_int_equal(report_prepare(&scene->report), 0);
	assert_int_equal(report_write(&scene->report, put, scene), 0);
}

static void
has(const struct scene *scene, const char *text)
{
	if (strstr(scene->text, text) == NULL)
		fail_msg("no \"%s\" in:\n%s", text, scene->text);
}

static void
has_not(const struct scene *scene, const char *text)
{
	if (strstr(scene->text, text) != NULL)
		fail_msg("\"%s\" in:\n%s", text, scene->text);
}

static void
unmake(struct scene *scene)
{
	/* No line is longer than RFC 5322 allows. */
	for (char *line = scene->text; line != NULL && *line != 0;) {
		size_t length = strcspn(line, "\n");

		assert_true(length <= 998);
		line += length + (line[length] != 0);
	}
	close(scene->report.fd);
	free(scene->text);
	free(scene);
}

#define MESSAGE "Subject: x\nFrom: s@x.test\n\nbody\n"

static void
test_failure(void **state)
{
	struct scene *scene = make(MESSAGE, strlen(MESSAGE));

	(void)state;
	compose(scene);
	assert_false(scene->report.is_8bit);
	assert_true(scene->report.returns_whole);
	has(scene, "Date: Tue, 14 Nov 2023 22:16:40 +0000\n");
	has(scene,
		"To: <s@x.test>\nMessage-ID: <0123456789abcdefghjk@me.test>");
	has(scene, "\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n");
	has(scene,
		"\n\n<a@y.test>:\n" REPLY "\n\n<d@y.test>:\n" REPLY "\n\n--- ");
	has(scene, "Reporting-MTA: dns; me.test\nOriginal-Envelope-Id: e+f\n"
		   "Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\n"
		   "X-Queue-Id: kjhgfedcba9876543210\n"
		   "\nOriginal-Recipient: rfc822; b+c@x.test\n"
		   "Final-Recipient: rfc822; a@y.test\n"
		   "Action: failed\nStatus: 5.1.1\n"
		   "Remote-MTA: dns; mx.y.test\n"
		   "Diagnostic-Code: smtp; 550 5.1.1 no such user\n"
		   "Last-Attempt-Date: Tue, 14 Nov 2023 22:15:00 +0000\n"
		   "\nFinal-Recipient: rfc822; d@y.test\n");
	has(scene, "Content-Type: message/rfc822\n\n" MESSAGE "\n--=_");
	has_not(scene, "8bit");
	has_not(scene, "Will-Retry-Until");
	unmake(scene);
}

static void
test_other_kinds(void **state)
{
	struct scene *scene = make(MESSAGE, strlen(MESSAGE));

	(void)state;
	scene->report.kind = REPORT_DELAYED;
	scene->report.ret = RET_FULL;
	scene->report.envid = "";
	compose(scene);
	has(scene, "Action: delayed\nStatus: 4.1.1\n");
	has(scene, "\nWill-Retry-Until: Tue, 21 Nov 2023 22:13:20 +0000\n");
	has(scene, "text/rfc822-headers\n\nSubject: x\nFrom: s@x.test\n\n--=_");
	has_not(scene, "Envelope-Id");
	has_not(scene, "body\n");
	unmake(scene);

	scene = make(MESSAGE, strlen(MESSAGE));
	scene->report.kind = REPORT_ARRIVED;
	scene->recipient[0].outcome = OUTCOME_DELIVERED;
	scene->recipient[0].text = "2.0.0 in the Maildir";
	scene->recipient[1].outcome = OUTCOME_RELAYED;
	scene->recipient[1].text = "250 ok (host mx.y.test [192.0.2.1])";
	compose(scene);
	has(scene, "Action: delivered\nStatus: 2.0.0\nLast-Attempt-Date: ");
	has(scene, "Action: relayed\nStatus: 2.0.0\nRemote-MTA: dns; "
		   "mx.y.test\nDiagnostic-Code: smtp; 250 ok\n");
	unmake(scene);
}

/* What of the message goes back. */
static void
test_return(void **state)
{
	static const struct {
		const char *content;
		enum envelope_ret ret;
		uint64_t whole_max;
		const char *returned;
	} rows[] = {
		{MESSAGE, RET_NONE, sizeof MESSAGE - 1, MESSAGE},
		{MESSAGE, RET_NONE, sizeof MESSAGE - 2,
			"Subject: x\nFrom: s@x.test\n"},
		{MESSAGE, RET_HDRS, 1000, "Subject: x\nFrom: s@x.test\n"},
		{MESSAGE, RET_FULL, 0, MESSAGE},
		{"\nbody\n", RET_HDRS, 0, ""},
		{"no field\n", RET_HDRS, 0, ""},
		{"A: b\nno field\n", RET_HDRS, 0, "A: b\n"},
		{"A: b", RET_HDRS, 0, ""},
		{"", RET_NONE, 1000, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char wanted[200];
		struct scene *scene =
			make(rows[i].content, strlen(rows[i].content));

		scene->report.ret = rows[i].ret;
		scene->report.whole_max = rows[i].whole_max;
		compose(scene);
		snprintf(wanted, sizeof wanted, "\n\n%s\n--%s--\n",
			rows[i].returned, scene->report.boundary);
		has(scene, wanted);
		unmake(scene);
	}
}

/* A header beyond all bounds ends after its last whole field. */
static void
test_long_header(void **state)
{
	static const char FIELD[] = "X-Filler: 0123456789012345678901234567\n";
	size_t count = 2 * REPORT_HEADER_MAX / (sizeof FIELD - 1);
	char *content = malloc(count * sizeof FIELD);

	(void)state;
	assert_non_null(content);
	for (size_t i = 0; i < count; i++)
		memcpy(content + i * (sizeof FIELD - 1), FIELD,
			sizeof FIELD - 1);
	struct scene *scene = make(content, count * (sizeof FIELD - 1));
	compose(scene);
	assert_false(scene->report.returns_whole);
	assert_true(scene->report.return_octets <= REPORT_HEADER_MAX);
	assert_true(
		scene->report.return_octets > REPORT_HEADER_MAX - sizeof FIELD);
	assert_int_equal(scene->report.return_octets % (sizeof FIELD - 1), 0);
	unmake(scene);

	/* All of it goes back in pieces. */
	scene = make(content, count * (sizeof FIELD - 1));
	scene->report.ret = RET_FULL;
	compose(scene);
	assert_non_null(memmem(scene->text, scene->length, content,
		count * (sizeof FIELD - 1)));
	unmake(scene);
	free(content);
}

/* 8-bit octets are declared wherever they are, and only there. */
static void
test_8bit(void **state)
{
	static const char EIGHT[] = "Subject: gr\374n\n\nbody\n";
	struct scene *scene = make(EIGHT, strlen(EIGHT));

	(void)state;
	compose(scene);
	assert_true(scene->report.is_8bit);
	assert_false(scene->report.needs_utf8);
	has(scene, "\"\nContent-Transfer-Encoding: 8bit\n\n");
	has(scene, "charset=us-ascii\n\nThis is");
	has(scene, "message/delivery-status\n\nReporting");
	has(scene, "message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubj");
	unmake(scene);

	scene = make(EIGHT, strlen(EIGHT));
	scene->report.smtputf8 = true;
	scene->report.ret = RET_HDRS;
	scene->recipient[0].address = "\303\274@y.test";
	compose(scene);
	has(scene, "charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nThis");
	has(scene, "message/global-delivery-status\n"
		   "Content-Transfer-Encoding: 8bit\n\nReporting");
	has(scene, "Final-Recipient: utf-8; \303\274@y.test\n");
	has(scene, "message/global-headers\nContent-Transfer-Encoding: 8bit\n");
	assert_false(scene->report.needs_utf8);
	unmake(scene);

	scene = make(EIGHT, strlen(EIGHT));
	scene->report.smtputf8 = true;
	scene->report.to = "\303\244@x.test";
	compose(scene);
	has(scene, "Content-Type: message/global\n");
	assert_true(scene->report.needs_utf8);
	unmake(scene);
}

/* Nothing that a stranger said adds a field or a part. */
static void
test_hostile_words(void **state)
{
	struct scene *scene = make(MESSAGE, strlen(MESSAGE));
	char text[OUTCOME_TEXT_MAX + 1];

	(void)state;
	scene->recipient[0].text = "550 x\n\nAction: delivered\r\n\303\274\1";
	scene->recipient[0].orcpt = "rfc822;a+0AAction: delivered";
	scene->report.envid = "a+0Ab";
	memset(text, 'w', sizeof text - 1);
	text[sizeof text - 1] = 0;
	scene->recipient[1].text = text;
	compose(scene);
	has(scene,
		"Diagnostic-Code: x-keepmail; 550 x??Action: delivered?????");
	has_not(scene, "\nAction: delivered");
	has_not(scene, "Envelope-Id");
	has_not(scene, "Original-Recipient");
	assert_false(scene->report.is_8bit);
	unmake(scene);
}

static void
test_bouncetext(void **state)
{
	char line[4][20] = {
		"We are sorry.", "<x@y.test>:", "\303\274ber", "\374ber\1"};
	char *lines[] = {line[0], line[1], line[2], line[3]};
	size_t numbers[] = {1, 3, 4, 5};
	struct setting_list list = {
		.line = lines, .number = numbers, .count = 4, .present = true};
	struct scene *scene = make(MESSAGE, strlen(MESSAGE));

	(void)state;
	scene->report.bouncetext = &list;
	compose(scene);
	has(scene, "me.test.\n\nWe are sorry.\n\n <x@y.test>:\n\303\274ber\n"
		   "?ber?\n\nYour message");
	has(scene, "charset=utf-8\n");
	assert_true(scene->report.is_8bit);
	unmake(scene);
}

/* What goes wrong is told, not hidden. */
static void
test_trouble(void **state)
{
	struct scene *scene = make(MESSAGE, strlen(MESSAGE));

	(void)state;
	scene->report.octets++;
	errno = 0;
	assert_int_equal(report_prepare(&scene->report), -1);
	assert_int_equal(errno, EIO);
	scene->report.octets--;
	compose(scene);
	size_t whole = scene->length;
	char first[REPORT_BOUNDARY_SIZE];
	memcpy(first, scene->report.boundary, sizeof first);
	assert_int_equal(report_prepare(&scene->report), 0);
	assert_string_not_equal(first, scene->report.boundary);
	for (size_t limit = 0; limit < whole; limit += 7) {
		scene->length = 0;
		scene->limit = limit;
		assert_int_equal(report_write(&scene->report, put, scene), -1);
	}
	unmake(scene);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_return),
		cmocka_unit_test(test_long_header),
		cmocka_unit_test(test_8bit),
		cmocka_unit_test(test_hostile_words),
		cmocka_unit_test(test_bouncetext),
		cmocka_unit_test(test_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
