#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/envelope.h"
#include "tools/sendmail_options.h"

#define ARGUMENTS_MAX 20

/* Reads a command line whose words are parted by blanks; "_" is an empty one. */
static int
read_line(const char *line, struct sendmail_options *options)
{
	static char copy[300];
	static char empty[1];
	static char *argument[ARGUMENTS_MAX + 1];
	int count = 0;
	char *rest, *word;

	snprintf(copy, sizeof(copy), "%s", line);
	for (word = strtok_r(copy, " ", &rest); word && count < ARGUMENTS_MAX;
		word = strtok_r(NULL, " ", &rest))
		argument[count++] = strcmp(word, "_") == 0 ? empty : word;
	argument[count] = NULL;
	optind = 0;
	return sendmail_options_read(count, argument, options);
}

/* As programs in the wild call it. */
static const struct {
	const char *line;
	enum sendmail_mode mode;
	int header, dot_ends;
	const char *sender, *name, *recipient;
} good[] = {
	{"sendmail a@a", SENDMAIL_SUBMIT, 0, 1, NULL, NULL, "a@a"},
	{"/usr/sbin/sendmail -t -i", SENDMAIL_SUBMIT, 1, 0, NULL, NULL, NULL},
	{"sendmail -oi -t", SENDMAIL_SUBMIT, 1, 0, NULL, NULL, NULL},
	{"sendmail -ti", SENDMAIL_SUBMIT, 1, 0, NULL, NULL, NULL},
	{"sendmail -FCronDaemon -i -B8BITMIME -oem root", SENDMAIL_SUBMIT, 0, 0,
		NULL, "CronDaemon", "root"},
	{"sendmail -oem -oi -f ann@a -- b@b", SENDMAIL_SUBMIT, 0, 0, "ann@a",
		NULL, "b@b"},
	{"sendmail -i -fann@a -F Ann b@b", SENDMAIL_SUBMIT, 0, 0, "ann@a",
		"Ann", "b@b"},
	{"sendmail -f _ b@b", SENDMAIL_SUBMIT, 0, 1, "", NULL, "b@b"},
	{"sendmail -r ann@a b@b", SENDMAIL_SUBMIT, 0, 1, "ann@a", NULL, "b@b"},
	{"sendmail -G -i -Ac -O IgnoreDots=true -odb -L tag -X /x -C /y -e m "
	 "b@b",
		SENDMAIL_SUBMIT, 0, 0, NULL, NULL, "b@b"},
	{"sendmail -bm -U -n -h 17 -d8 -p ESMTP b@b", SENDMAIL_SUBMIT, 0, 1,
		NULL, NULL, "b@b"},
	{"sendmail -b m -O IgnoreDots b@b", SENDMAIL_SUBMIT, 0, 0, NULL, NULL,
		"b@b"},
	{"sendmail -bp", SENDMAIL_LIST, 0, 1, NULL, NULL, NULL},
	{"mailq", SENDMAIL_LIST, 0, 1, NULL, NULL, NULL},
	{"/usr/bin/newaliases", SENDMAIL_ALIASES, 0, 1, NULL, NULL, NULL},
	{"sendmail -bi", SENDMAIL_ALIASES, 0, 1, NULL, NULL, NULL},
	{"sendmail -q", SENDMAIL_FLUSH, 0, 1, NULL, NULL, NULL},
	{"sendmail -q15m", SENDMAIL_NOTHING, 0, 1, NULL, NULL, NULL},
	{"sendmail -qRa.test", SENDMAIL_FLUSH, 0, 1, NULL, NULL, NULL},
	{"sendmail -qSann@a.test", SENDMAIL_FLUSH, 0, 1, NULL, NULL, NULL},
	{"sendmail -I", SENDMAIL_ALIASES, 0, 1, NULL, NULL, NULL},
	{"sendmail -bs", SENDMAIL_SESSION, 0, 1, NULL, NULL, NULL},
	{"sendmail -bv a@a", SENDMAIL_VERIFY, 0, 1, NULL, NULL, "a@a"},
};

static void
test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct sendmail_options options;

		assert_int_equal(read_line(good[i].line, &options), 0);
		assert_int_equal(options.mode, good[i].mode);
		assert_int_equal(options.header_recipients, good[i].header);
		assert_int_equal(options.dot_ends, good[i].dot_ends);
		if (good[i].sender)
			assert_string_equal(options.sender, good[i].sender);
		else
			assert_null(options.sender);
		if (good[i].name)
			assert_string_equal(options.name, good[i].name);
		else
			assert_null(options.name);
		if (good[i].recipient)
			assert_string_equal(
				options.recipient[0], good[i].recipient);
		else
			assert_null(options.recipient[0]);
	}
}

static void
test_bad(void **state)
{
	static const char *const line[] = {"sendmail -bd", "sendmail -bt",
		"sendmail -bD", "sendmail -qR", "sendmail -q-x",
		"sendmail -qI--all", "sendmail -qX", "sendmail -f",
		"sendmail -F", "sendmail -Z", "sendmail -f a@a\nb -t",
		"sendmail -F A\rB -t", "sendmail -N never,delay a",
		"sendmail -N often a", "sendmail -R some a"};

	(void)state;
	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++) {
		struct sendmail_options options;

		assert_int_equal(read_line(line[i], &options), -1);
	}
}

static void
test_notify(void **state)
{
	struct sendmail_options options;

	(void)state;
	assert_int_equal(
		read_line("sendmail -N success,DELAY -R hdrs -V e a", &options),
		0);
	assert_int_equal(options.notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
	assert_int_equal(options.ret, RET_HDRS);
	assert_string_equal(options.envid, "e");
	assert_int_equal(read_line("sendmail -Nnever -Rfull a", &options), 0);
	assert_int_equal(options.notify, NOTIFY_NEVER);
	assert_int_equal(options.ret, RET_FULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_notify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
