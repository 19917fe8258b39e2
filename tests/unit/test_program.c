/*
 * What a command finds, and what its end means.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include "lib/deadline.h"
#include "lib/envelope.h"
#include "local/environment.h"
#include "local/program.h"
#include "tests/unit/temporary.h"

struct place {
	char path[TEMPORARY_MAX];
	struct environment environment;
	struct program_call call;
	char why[200], output[PROGRAM_OUTPUT_MAX + 1];
};

static const struct environment_words WORDS = {
	.keepmail = "/k",
	.programs = "/p",
	.user = "ann",
	.home = "/home/ann",
	.sender = "s p@x.test",
	.new_sender = "ann-a-owner@host.test",
	.recipient = "ann-a-b-c-d@mx.host.example.test",
	.local = "ann-a-b-c-d",
	.host = "mx.host.example.test",
	.extension = "a-b-c-d",
	.matched = "c-d",
	.notify = NOTIFY_SUCCESS | NOTIFY_DELAY,
	.ret = RET_FULL,
	.envid = "my+20id",
	.orcpt = "",
	.requiretls = 1,
};

static void
start(struct place *place, const char *content)
{
	int folder = temporary_make(place->path);

	temporary_write(folder, "message", content, 0600);
	assert_int_equal(environment_make(&place->environment, &WORDS), 0);
	place->call = (struct program_call){
		.environment = place->environment.variable,
		.home = folder,
		.content = openat(folder, "message", O_RDONLY | O_CLOEXEC),
		.octets = strlen(content),
		.limit_ms = 20000,
	};
	assert_true(place->call.content >= 0);
}

static void
stop(struct place *place)
{
	environment_free(&place->environment);
	close(place->call.content);
	temporary_remove(place->path, place->call.home);
}

static enum program_result
run(struct place *place, const char *command)
{
	place->call.command = command;
	return program_run(
		&place->call, place->why, sizeof place->why, place->output);
}

static const struct {
	const char *command;
	enum program_result result;
	const char *output;
} ROWS[] = {
	{"exit 0", PROGRAM_DONE, ""},
	{"exit 99", PROGRAM_STOP, ""},
	{"exit 1", PROGRAM_TEMPORARY, ""},
	{"exit 71", PROGRAM_TEMPORARY, ""},
	{"exit 75", PROGRAM_TEMPORARY, ""},
	{"exit 111", PROGRAM_TEMPORARY, ""},
	{"exit 100", PROGRAM_FAILED, ""},
	{"exit 112", PROGRAM_FAILED, ""},
	{"exit 64", PROGRAM_FAILED, ""},
	{"exit 65", PROGRAM_FAILED, ""},
	{"exit 70", PROGRAM_FAILED, ""},
	{"exit 76", PROGRAM_FAILED, ""},
	{"exit 77", PROGRAM_FAILED, ""},
	{"exit 78", PROGRAM_FAILED, ""},
	{"kill -9 $$", PROGRAM_TEMPORARY, ""},
	{"kill -PIPE $$", PROGRAM_TEMPORARY, ""},
	{"no-such-command-here 2>/dev/null", PROGRAM_TEMPORARY, ""},
	{"echo out; echo err >&2; printf '\\tx\\001\\n\\n'; exit 100",
		PROGRAM_FAILED, "out err x?"},
	{"cat", PROGRAM_DONE, "Subject: x one"},
	{"head -c 3; cat /dev/stdin >/dev/null; exit 0", PROGRAM_DONE, "Sub"},
	{"cat >/dev/null; exec cat <&0", PROGRAM_DONE, ""},
	{"echo x 2>/dev/null 1>&0 || echo sealed", PROGRAM_DONE, "sealed"},
	{"ls /proc/self/fd | tr '\\n' ' '", PROGRAM_DONE, "0 1 2 3"},
	/* 1 to 31: those that the C library keeps for itself stay as they are */
	{"grep -q '^SigIgn:.[018]*[08]0000000$' /proc/self/status && echo none",
		PROGRAM_DONE, "none"},
	{"umask", PROGRAM_DONE, "0077"},
	{"test -f message && echo home", PROGRAM_DONE, "home"},
	{"echo $USER,$LOGNAME,$HOME,$KEEPMAIL", PROGRAM_DONE,
		"ann,ann,/home/ann,/k"},
	{"echo $HOST,$HOST2,$HOST3,$HOST4", PROGRAM_DONE,
		"mx.host.example.test,mx.host.example,mx.host,mx"},
	{"echo $DSN_NOTIFY,$DSN_RET,$DSN_ENVID,${DSN_ORCPT-none},$REQUIRETLS",
		PROGRAM_DONE, "SUCCESS,DELAY,FULL,my+20id,none,1"},
	{"echo $LOCAL,$EXT,$EXT2,$EXT3,$EXT4,$DEFAULT", PROGRAM_DONE,
		"ann-a-b-c-d,a-b-c-d,b-c-d,c-d,d,c-d"},
	{"echo $SENDER,$NEWSENDER,$RECIPIENT", PROGRAM_DONE,
		"s "
		"p@x.test,ann-a-owner@host.test,ann-a-b-c-d@mx.host.example."
		"test"},
	{"echo \"$DTLINE$RPLINE$UFLINE\" | cut -c1-34", PROGRAM_DONE,
		"Delivered-To: ann-a-b-c-d@mx.host. "
		"Return-Path: <s p@x.test> From s-p@x.test"},
	{"echo ${UNIT_TEST_SECRET-clean}", PROGRAM_DONE, "clean"},
};

static void
test_rows(void **state)
{
	struct place place;

	(void)state;
	start(&place, "Subject: x\n\none\n");
	setenv("UNIT_TEST_SECRET", "x", 1);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
		enum program_result result = run(&place, ROWS[i].command);

		if (result != ROWS[i].result)
			fail_msg("%s: %d, %s", ROWS[i].command, (int)result,
				place.why);
		if (strncmp(place.output, ROWS[i].output,
			    strlen(ROWS[i].output)) != 0)
			fail_msg("%s: %s", ROWS[i].command, place.output);
		assert_int_equal(*place.why == 0,
			result == PROGRAM_DONE || result == PROGRAM_STOP);
	}
	stop(&place);
}

static void
test_notify(void **state)
{
	static const char *const none[] = {"", "never", "NEVER,SUCCESS",
		"SUCCESS,", "DELAY,SUCCESS", "SUCCESS,FAILURE,DELAY,X", NULL};
	char text[ENVIRONMENT_NOTIFY_MAX];

	(void)state;
	for (uint8_t notify = 2; notify <= NOTIFY_ALL; notify += 2) {
		environment_write_notify(text, notify);
		assert_int_equal(environment_read_notify(text), notify);
	}
	environment_write_notify(text, 0);
	assert_string_equal(text, "");
	assert_int_equal(environment_read_notify("NEVER"), NOTIFY_NEVER);
	for (size_t i = 0; none[i] != NULL; i++)
		assert_int_equal(environment_read_notify(none[i]), 0);
}

static void
test_offset(void **state)
{
	struct place place;

	(void)state;
	start(&place, "headContenttail");
	place.call.offset = 4;
	place.call.octets = 7;
	assert_int_equal(run(&place, "cat"), PROGRAM_DONE);
	assert_string_equal(place.output, "Content");
	place.call.octets = 70;
	assert_int_equal(run(&place, "cat"), PROGRAM_TEMPORARY);
	stop(&place);
}

static void
test_large(void **state)
{
	struct place place;
	const off_t size = 17 * 1024 * 1024;

	(void)state;
	start(&place, "");
	int fd = openat(place.call.home, "message", O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
	place.call.octets = (uint64_t)size;
	assert_int_equal(run(&place, "wc -c"), PROGRAM_DONE);
	assert_string_equal(place.output, "17825792");
	stop(&place);
}

static void
test_time_limit(void **state)
{
	struct place place;

	(void)state;
	start(&place, "x\n");
	int64_t start_ms = deadline_now_ms();
	place.call.limit_ms = 300;
	assert_int_equal(run(&place, "echo begun; sleep 50 & sleep 50"),
		PROGRAM_TEMPORARY);
	assert_string_equal(place.output, "begun");
	assert_non_null(strstr(place.why, "did not end"));
	assert_int_equal(run(&place, "yes"), PROGRAM_TEMPORARY);
	assert_int_equal(strlen(place.output), PROGRAM_OUTPUT_MAX - 1);
	assert_true(deadline_now_ms() - start_ms < 20000);
	stop(&place);
}

static void
test_flood(void **state)
{
	struct place place;

	(void)state;
	start(&place, "x\n");
	place.call.limit_ms = 60000;
	assert_int_equal(run(&place, "yes; sleep 50"), PROGRAM_TEMPORARY);
	assert_non_null(strstr(place.why, "wrote more than"));
	/* the most that is taken */
	assert_int_equal(
		run(&place, "head -c 16777216 /dev/zero"), PROGRAM_DONE);
	stop(&place);
}

/* A process left behind with the output open is not waited for. */
static void
test_background(void **state)
{
	struct place place;

	(void)state;
	start(&place, "x\n");
	int64_t start_ms = deadline_now_ms();
	assert_int_equal(run(&place, "sleep 5 & echo gone"), PROGRAM_DONE);
	assert_string_equal(place.output, "gone");
	assert_true(deadline_now_ms() - start_ms < 4000);
	stop(&place);
}

/* Who wants more memory than there is for him gets none, and is not waited for. */
static void
test_memory(void **state)
{
	static const char EATER[] =
		"head -c 200m /dev/zero | tail -c 100m | wc -c";
	struct place place;

	(void)state;
	start(&place, "x\n");
	assert_int_equal(run(&place, EATER), PROGRAM_DONE);
	assert_string_equal(place.output, "104857600");
	place.call.memory = 64 * 1024 * 1024;
	assert_int_equal(run(&place, "ulimit -v; cat"), PROGRAM_DONE);
	assert_string_equal(place.output, "65536 x");
	assert_int_equal(run(&place, "head -c 200m /dev/zero | tail -c 150m"),
		PROGRAM_TEMPORARY);
	assert_non_null(strstr(place.output, "memory"));
	place.call.memory = 1; /* not enough for the shell itself */
	assert_int_equal(run(&place, "echo x"), PROGRAM_TEMPORARY);
	place.call.memory = INT64_MAX;
	place.call.processes = INT32_MAX; /* more than the parent has: as he */
	assert_int_equal(run(&place, "cat"), PROGRAM_DONE);
	place.call.processes = 3000;
	assert_int_equal(run(&place, "grep -c 'Max processes  *3000  *3000' "
				     "/proc/self/limits"),
		PROGRAM_DONE);
	stop(&place);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_offset),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_time_limit),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_background),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
