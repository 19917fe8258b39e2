/* The SMTP client: what is heard over IPv6, how long each phase may take, and what is
 * not passed on. */
#include "tests/unit/client_scene.h"
#include <time.h>
#include "tests/unit/client_scripts.h"

/* Refusals over IPv6 where there is an address of IPv4. */
struct disliked_row {
	const char *script;
	enum client_result send;
	const char *results;
};

static const struct disliked_row DISLIKED_ROWS[] = {
	{PLAIN MAIL "<550 5.7.25 no PTR\n>QUIT\n", CLIENT_NEXT_HOST, "TT"},
	{PIPE MAIL TO(0) TO(1) ">DATA\n"
			       "<554 5.7.1 a\n<503 b\n<503 c\n"
			       "<503 d\n>QUIT\n",
		CLIENT_NEXT_HOST, "TT"},
	{PLAIN MAIL OK TO(0) "<550 5.7.1 a\n" TO(1) "<554 5.7.0 b\n>QUIT\n",
		CLIENT_NEXT_HOST, "TT"},
	{PIPE MAIL TO(0) TO(1) ">DATA\n" OK "<550 5.7.1 a\n<550 5.7.1 b\n" GO
			       ">.\n<554 nobody\n>QUIT\n",
		CLIENT_NEXT_HOST, "TT"},
	/* who is told, is told */
	{PLAIN MAIL OK TO(0) "<550 5.1.1 a\n" TO(1) "<550 5.7.1 b\n>QUIT\n",
		CLIENT_NEXT_HOST, "FT"},
	/* the address is liked: it is that recipient */
	{PLAIN MAIL OK TO(0) OK TO(1) "<550 5.7.1 b\n>DATA\n" GO BODY OK
				      ">QUIT\n",
		CLIENT_OK, "RF"},
	/* at the end, what names the address alone */
	{PLAIN MAIL OK TO(0) OK TO(1) OK ">DATA\n" GO BODY
					 "<550 5.7.26 no SPF, no DKIM\n>QUIT\n",
		CLIENT_NEXT_HOST, "TT"},
	{PLAIN MAIL OK TO(0) OK TO(1) OK ">DATA\n" GO BODY
					 "<550 5.7.1 spam\n>QUIT\n",
		CLIENT_OK, "FF"},
	/* not by policy, not for good, not in so many words */
	{PLAIN MAIL "<550 5.1.8 a\n>QUIT\n", CLIENT_OK, "FF"},
	{PLAIN MAIL "<451 4.7.1 a\n>QUIT\n", CLIENT_OK, "DD"},
	{PLAIN MAIL "<550 blocked\n>QUIT\n", CLIENT_OK, "FF"},
	{PLAIN MAIL "<553 5.7.1 a\n>QUIT\n", CLIENT_OK, "FF"},
};

static void
run_disliked(const struct disliked_row *row, int has_v4)
{
	struct scene *scene = open_scene(row->script, 2, CONTENT);
	struct client *client = &scene->client;

	assert_int_equal(CLIENT_OK, client_greet(client, "me.test"));
	client->has_v4 = has_v4;
	enum client_result result =
		client_send_message(client, &scene->message);
	assert_int_equal(has_v4 ? row->send : CLIENT_OK, result);
	if (has_v4)
		assert_string_equal(row->results, scene->told.letter);
	else
		assert_null(strchr(scene->told.letter, 'T'));
	assert_int_equal(result == CLIENT_NEXT_HOST ? CLIENT_ASIDE_POLICY
						    : CLIENT_ASIDE_NONE,
		client->aside);
	if (result == CLIENT_NEXT_HOST) {
		assert_int_equal(OUTCOME_FAILED, client->outcome);
		assert_non_null(strstr(client->text, " 5.7."));
	}
	client_quit(client);
	close_scene(scene, row->script);
}

static void
test_disliked(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < LENGTH(DISLIKED_ROWS); i++) {
		run_disliked(&DISLIKED_ROWS[i], 1);
		run_disliked(&DISLIKED_ROWS[i], 0);
	}
}

/* Who comes before the first that is accepted is asked about once more. */
static void
test_liked_after_all(void **state)
{
	struct scene *scene = open_scene(
		PLAIN MAIL OK TO(0) "<550 5.7.1 a\n" TO(1) OK
		">DATA\n" GO BODY OK MAIL OK TO(0) "<550 5.7.1 a\n>QUIT\n",
		2, CONTENT);

	(void)state;
	assert_int_equal(CLIENT_OK, client_greet(&scene->client, "me.test"));
	for (int round = 0; round < 2; round++) {
		scene->client.has_v4 = 1;
		assert_int_equal(CLIENT_OK,
			client_send_message(&scene->client, &scene->message));
		assert_string_equal(
			round == 0 ? "TR" : "FR", scene->told.letter);
		assert_int_equal(round == 0, scene->message.again);
	}
	client_quit(&scene->client);
	close_scene(scene, "liked after all");
}

/* --- time --- */

#define FOLLOWED PLAIN MAIL OK TO(0) OK ">DATA\n"
#define MEMBER(name) offsetof(struct client_timeouts, name)

/* Each phase waits as long as is its own to wait (RFC 5321 section 4.5.3.2). */
static const struct phase {
	const char *script;
	size_t member;
	int is_greeted;
	const char *text;
} PHASES[] = {
	{"x\n", MEMBER(greeting_ms), 0, "waiting for the greeting"},
	{"<220-hi\nx\n", MEMBER(greeting_ms), 0, "waiting for the greeting"},
	{"<220 hi\nx\n", MEMBER(mail_ms), 0, "after EHLO"},
	{PLAIN "x\n", MEMBER(mail_ms), 1, "after MAIL"},
	{PLAIN MAIL OK "x\n", MEMBER(rcpt_ms), 1, "after RCPT"},
	{FOLLOWED "x\n", MEMBER(data_ms), 1, "after DATA"},
	{FOLLOWED GO "x\n", MEMBER(block_ms), 1, "while the message was sent"},
	{FOLLOWED GO BODY "x\n", MEMBER(final_ms), 1, "may arrive twice"},
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
run_phase(const struct phase *phase)
{
	static char long_content[4000000];
	int is_long = phase->member == MEMBER(block_ms);
	struct client_timeouts times = {
		15000, 15000, 15000, 15000, 15000, 15000, 15000};

	memset(long_content, 'a', sizeof long_content - 1);
	struct scene *scene =
		open_scene(phase->script, 1, is_long ? long_content : CONTENT);
	struct client *client = &scene->client;
	int64_t each_ms = 150;
	memcpy((char *)&times + phase->member, &each_ms, sizeof each_ms);
	client->timeouts = times;
	int64_t begun_ms = now_ms();
	enum client_result result = client_greet(client, "me.test");
	assert_int_equal(
		phase->is_greeted ? CLIENT_OK : CLIENT_NEXT_HOST, result);
	if (result == CLIENT_OK)
		result = client_send_message(client, &scene->message);
	assert_int_not_equal(CLIENT_OK, result);
	if (now_ms() - begun_ms > 10000)
		fail_msg("%s: waited too long", phase->text);
	const char *text =
		result == CLIENT_NEXT_HOST ? client->text : scene->told.text[0];
	if (strstr(text, phase->text) == NULL || strncmp(text, "4.4.2", 5) != 0)
		fail_msg("%s: %s", phase->text, text);
	close_scene(scene, phase->text);
}

static void
test_phases(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < LENGTH(PHASES); i++)
		run_phase(&PHASES[i]);
}

/* At least those of RFC 5321 section 4.5.3.2; of connecting it says nothing. */
static void
test_usual_times(void **state)
{
	const struct client_timeouts times = CLIENT_TIMEOUTS;

	(void)state;
	assert_true(times.greeting_ms >= 5 * 60000);
	assert_true(times.mail_ms >= 5 * 60000);
	assert_true(times.rcpt_ms >= 5 * 60000);
	assert_true(times.data_ms >= 2 * 60000);
	assert_true(times.block_ms >= 3 * 60000);
	assert_true(times.final_ms >= 10 * 60000);
}

/* --- parameters --- */

/* What is no xtext makes no words of its own. */
static void
test_bad_parameters(void **state)
{
	static const char *const bad[] = {"a b", "a\r\nRSET", "\xc3\xa4", ""};
	size_t i;

	(void)state;
	for (i = 0; i < LENGTH(bad); i++) {
		struct scene *scene = open_scene(
			"<220 hi\n>EHLO me.test\n<250-hi\n<250 DSN\n" MAIL OK
				TO(0) OK ">DATA\n" GO BODY OK ">QUIT\n",
			1, CONTENT);
		scene->message.envid = bad[i];
		scene->recipient[0].orcpt = bad[i];
		assert_int_equal(
			CLIENT_OK, client_greet(&scene->client, "me.test"));
		assert_int_equal(CLIENT_OK,
			client_send_message(&scene->client, &scene->message));
		assert_string_equal("R", scene->told.letter);
		client_quit(&scene->client);
		close_scene(scene, bad[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disliked),
		cmocka_unit_test(test_liked_after_all),
		cmocka_unit_test(test_phases),
		cmocka_unit_test(test_usual_times),
		cmocka_unit_test(test_bad_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
