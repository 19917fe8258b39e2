/* The SMTP client, by scripts. */
#include "tests/unit/client_scene.h"
#include <netinet/in.h>
#include "tests/unit/client_scripts.h"

#define CUT_OCTETS 4000000

static void
add_parameters(struct scene *scene)
{
	scene->message.ret = 2;
	scene->message.envid = "e+2B";
	scene->recipient[0].notify = 2 | 8;
	scene->recipient[0].orcpt = "rfc822;o";
}

static void
check_row(const struct row *row, struct scene *scene)
{
	size_t i, again = 0;

	for (i = 0; row->results[i] != '\0'; i++) {
		if (scene->recipient[i].state == CLIENT_AGAIN) {
			assert_int_equal('T', scene->told.letter[i]);
			scene->told.letter[i] = 'A';
			again++;
		}
	}
	assert_string_equal(row->results, scene->told.letter);
	assert_int_equal(again, scene->message.again);
	assert_int_equal(row->duplicate, scene->message.possible_duplicate);
	if (strstr(row->send == CLIENT_NEXT_HOST ? scene->client.text
						 : scene->told.text[0],
		    row->text) == NULL)
		fail_msg("%s: %s%s", row->name, scene->told.text[0],
			scene->client.text);
}

static void
run_row(const struct row *row)
{
	struct scene *scene = open_scene(row->script, strlen(row->results),
		row->content != NULL ? row->content : CONTENT);
	enum client_result result = client_greet(&scene->client, "me.test");

	if (result != row->greet)
		fail_msg("%s: greeting: %d %s", row->name, result,
			scene->client.text);
	if (result != CLIENT_OK) {
		assert_non_null(strstr(scene->client.text, row->text));
		assert_int_equal(
			row->text[0] == '5' ? OUTCOME_FAILED : OUTCOME_DEFERRED,
			scene->client.outcome);
		close_scene(scene, row->name);
		return;
	}
	scene->message.smtputf8 = row->smtputf8;
	scene->message.requiretls = row->requiretls;
	if (row->smtputf8)
		add_parameters(scene);
	result = client_send_message(&scene->client, &scene->message);
	if (result != row->send)
		fail_msg("%s: %d %s", row->name, result, scene->told.text[0]);
	check_row(row, scene);
	client_quit(&scene->client);
	close_scene(scene, row->name);
}

static void
test_scripts(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < LENGTH(ROWS); i++)
		run_row(&ROWS[i]);
}

/* What one transaction leaves over goes into the next, and another message
 * follows after RSET where one is needed. */
static void
test_again_and_next(void **state)
{
	struct scene *scene = open_scene(
		PIPE MAIL TO(0) TO(1) TO(
			2) ">DATA\n" OK OK "<452 many\n"
			   "<452 many\n" GO BODY OK MAIL TO(1) TO(
				   2) ">DATA\n" OK OK "<550 no\n" GO BODY OK
				   MAIL TO(0) TO(1) TO(
					   2) ">DATA\n" OK OK OK OK
					      "<451 not now\n"
					      ">RSET\n" OK MAIL TO(0) TO(1)
						      TO(2) ">DATA\n" OK
							    "<550 a\n<550 "
							    "b\n<550 c\n<503 "
							    "d\n>RSET\n!\n",
		3, CONTENT);
	struct client *client = &scene->client;
	size_t i, round;

	(void)state;
	assert_int_equal(CLIENT_OK, client_greet(client, "me.test"));
	assert_int_equal(
		CLIENT_OK, client_send_message(client, &scene->message));
	assert_int_equal(2, scene->message.again);
	assert_int_equal(
		CLIENT_OK, client_send_message(client, &scene->message));
	assert_int_equal(0, scene->message.again);
	assert_string_equal("RRF", scene->told.letter);
	/* Nothing left: nothing is said. */
	assert_int_equal(
		CLIENT_OK, client_send_message(client, &scene->message));
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 3; i++) {
			scene->recipient[i].state = CLIENT_UNSENT;
			scene->told.letter[i] = 'T';
		}
		assert_int_equal(round < 2 ? CLIENT_OK : CLIENT_NEXT_HOST,
			client_send_message(client, &scene->message));
		assert_string_equal(round == 0	 ? "DDD"
				    : round == 1 ? "FFF"
						 : "TTT",
			scene->told.letter);
	}
	assert_int_equal(
		CLIENT_NEXT_HOST, client_send_message(client, &scene->message));
	close_scene(scene, "again and next");
}

/* A chunk that was refused may leave its transaction open at the server. */
static void
test_next_after_chunk(void **state)
{
	struct scene *scene = open_scene(CHUNK MAIL TO(0) OK OK CHUNK_BODY
		"<451 not now\n>RSET\n" OK MAIL TO(0)
			OK OK CHUNK_BODY OK MAIL TO(0) OK OK CHUNK_BODY OK
		">QUIT\n",
		1, CONTENT);
	struct client *client = &scene->client;

	(void)state;
	assert_int_equal(CLIENT_OK, client_greet(client, "me.test"));
	for (int round = 0; round < 3; round++) {
		scene->told.letter[0] = 'T';
		scene->recipient[0].state = CLIENT_UNSENT;
		assert_int_equal(CLIENT_OK,
			client_send_message(client, &scene->message));
		assert_string_equal(round == 0 ? "D" : "R", scene->told.letter);
	}
	client_quit(client);
	close_scene(scene, "after a chunk");
}

/* A hundred and ten recipients go in batches: 50, 50, 10 and DATA. */
static void
test_batches(void **state)
{
	static const size_t batch[] = {50, 50, 10};
	char script[16000] = PIPE MAIL;
	size_t used = strlen(script), i, k, number = 0;
	struct scene *scene;

	(void)state;
	for (k = 0; k < LENGTH(batch); k++) {
		for (i = 0; i < batch[k]; i++)
			used += (size_t)snprintf(script + used,
				sizeof script - used,
				">RCPT TO:<r%zu@y.test>\n", number++);
		used += (size_t)snprintf(script + used, sizeof script - used,
			k == 0	 ? "-\n<250 mail\n"
			: k == 2 ? ">DATA\n"
				 : "-\n");
		for (i = 0; i < batch[k]; i++)
			used += (size_t)snprintf(
				script + used, sizeof script - used, OK);
	}
	snprintf(script + used, sizeof script - used, GO BODY OK ">QUIT\n");
	scene = open_scene(script, 110, CONTENT);
	assert_int_equal(CLIENT_OK, client_greet(&scene->client, "me.test"));
	assert_int_equal(CLIENT_OK,
		client_send_message(&scene->client, &scene->message));
	assert_int_equal(110, strspn(scene->told.letter, "R"));
	client_quit(&scene->client);
	close_scene(scene, "batches");
}

/* The limit of SIZE, and content that is shorter than it should be. */
static void
test_content(void **state)
{
	char large[2000];
	struct scene *scene;

	(void)state;
	memset(large, 'x', sizeof large);
	large[sizeof large - 1] = '\0';
	scene = open_scene(FULL ">QUIT\n", 1, large);
	assert_int_equal(CLIENT_OK, client_greet(&scene->client, "me.test"));
	assert_int_equal(1000, scene->client.size_limit);
	assert_int_equal(CLIENT_OK,
		client_send_message(&scene->client, &scene->message));
	assert_string_equal("F", scene->told.letter);
	assert_memory_equal("5.3.4 ", scene->told.text[0], 6);
	client_quit(&scene->client);
	close_scene(scene, "size");

	scene = open_scene(FULL ">QUIT\n", 1, CONTENT);
	scene->message.octets++;
	assert_int_equal(CLIENT_OK, client_greet(&scene->client, "me.test"));
	assert_int_equal(CLIENT_OK,
		client_send_message(&scene->client, &scene->message));
	assert_string_equal("D", scene->told.letter);
	client_quit(&scene->client);
	close_scene(scene, "short content, found before");

	scene = open_scene(
		PLAIN MAIL OK TO(0) OK ">DATA\n" GO "$\n", 1, CONTENT);
	scene->message.octets++;
	assert_int_equal(CLIENT_OK, client_greet(&scene->client, "me.test"));
	assert_int_equal(CLIENT_CLOSE,
		client_send_message(&scene->client, &scene->message));
	assert_string_equal("D", scene->told.letter);
	assert_memory_equal("4.3.0 ", scene->told.text[0], 6);
	client_quit(&scene->client);
	close_scene(scene, "short content, found too late");
}

/* A server that breaks off in the middle of much content. */
static void
test_cut_short(void **state)
{
	char *content = malloc(CUT_OCTETS + 1);
	struct scene *scene;
	size_t i;

	(void)state;
	assert_non_null(content);
	content[CUT_OCTETS] = '\0';
	for (i = 0; i < CUT_OCTETS; i++)
		content[i] = i % 50 == 49 ? '\n' : 'x';
	scene = open_scene(
		PLAIN MAIL OK TO(0) OK ">DATA\n" GO "!\n", 1, content);
	assert_int_equal(CLIENT_OK, client_greet(&scene->client, "me.test"));
	assert_int_equal(CLIENT_CLOSE,
		client_send_message(&scene->client, &scene->message));
	assert_string_equal("D", scene->told.letter);
	assert_int_equal(0, scene->message.possible_duplicate);
	close_scene(scene, "cut short");

	scene = open_scene(PLAIN MAIL OK TO(0) OK ">DATA\n" GO
						  "<552 5.3.4 too much\n!\n",
		1, content);
	assert_int_equal(CLIENT_OK, client_greet(&scene->client, "me.test"));
	assert_int_equal(CLIENT_CLOSE,
		client_send_message(&scene->client, &scene->message));
	assert_string_equal("F", scene->told.letter);
	assert_non_null(strstr(scene->told.text[0], "552 5.3.4"));
	close_scene(scene, "cut short with a word");
	free(content);
}

static void
test_connect(void **state)
{
	struct sockaddr_storage address;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	socklen_t len = sizeof *v4;
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd;

	(void)state;
	memset(&address, 0, sizeof address);
	v4->sin_family = AF_INET;
	v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(
		0, bind(listener, (struct sockaddr *)&address, sizeof *v4));
	assert_int_equal(
		0, getsockname(listener, (struct sockaddr *)&address, &len));
	assert_int_equal(-1, client_connect(&address, NULL, 1000));
	assert_int_equal(0, listen(listener, 1));
	fd = client_connect(&address, NULL, 1000);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(fd);
	close(listener);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_again_and_next),
		cmocka_unit_test(test_next_after_chunk),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_connect),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
