/*
 * POP3 sessions in which something happens meanwhile: lines that are too long
 * or come in parts, files that others change, a login part that misbehaves.
 */
#include "tests/unit/pop3_harness.h"

/* A session whose client has got the first answer. */
static void
begin(struct running *running, char home[static 64], int *at, char *answer,
	const struct file *files)
{
	make_home(home, at, files);
	start_session(running, home);
	close(running->login);
	(void)read_until(running->client, answer, 0, "\r\n");
	assert_memory_equal(answer, "+OK ", 4);
}

static void
ask(const struct running *running, char *answer, const char *command)
{
	send_octets(running->client, command, strlen(command), 1024);
	(void)read_until(running->client, answer, 0, "\r\n");
}

static void
test_overlong_lines(void **state)
{
	static const struct file FILES[FILES_MAX] = {{0}};
	struct running running;
	char home[64], answer[1024], line[100 * 1024];
	int at;

	(void)state;
	begin(&running, home, &at, answer, FILES);
	/* 255 octets with CRLF are a command, 256 are none. */
	memset(line, ' ', sizeof line);
	memcpy(line, "NOOP", 4);
	memcpy(line + 253, "\r\n", 3);
	ask(&running, answer, line);
	assert_string_equal(answer, "+OK\r\n");
	memcpy(line + 253, " \r\n", 4);
	ask(&running, answer, line);
	assert_string_equal(answer, "-ERR the line is too long\r\n");
	memset(line, 'x', sizeof line);
	memcpy(line + sizeof line - 9, "\r\nQUIT\r\n", 9);
	ask(&running, answer, line);
	assert_string_equal(answer, "-ERR the line is too long\r\n");
	(void)read_until(running.client, answer, 0, "\r\n");
	assert_string_equal(answer, "+OK bye\r\n");
	assert_int_equal(end_session(&running), 0);
	remove_home(home, at);
}

/* An answer does not wait for the rest of the next command. */
static void
test_part_of_a_line(void **state)
{
	static const struct file FILES[FILES_MAX] = {{0}};
	struct running running;
	char home[64], answer[1024];
	int at;

	(void)state;
	begin(&running, home, &at, answer, FILES);
	ask(&running, answer, "STAT\r\nNO");
	assert_string_equal(answer, "+OK 0 0\r\n");
	ask(&running, answer, "OP\r\n");
	assert_string_equal(answer, "+OK\r\n");
	assert_int_equal(end_session(&running), 0);
	remove_home(home, at);
}

/* Files that are renamed, changed and removed under the session. */
static void
test_others_at_work(void **state)
{
	static const struct file FILES[FILES_MAX] = {
		{"Maildir/new/1.a", "a\n"},
		{"Maildir/new/2.b", "b\n"},
		{"Maildir/new/3.c", "c\n"},
	};
	struct running running;
	char home[64], answer[1024];
	int at;

	(void)state;
	begin(&running, home, &at, answer, FILES);
	ask(&running, answer, "STAT\r\n");
	assert_string_equal(answer, "+OK 3 9\r\n");
	assert_int_equal(
		renameat(at, "Maildir/new/1.a", at, "Maildir/cur/1.a:2,F"), 0);
	assert_int_equal(unlinkat(at, "Maildir/new/2.b", 0), 0);
	int fd = openat(at, "Maildir/new/3.c", O_WRONLY | O_APPEND);
	assert_int_equal(durable_write_all(fd, "more\n", 5), 0);
	close(fd);
	ask(&running, answer, "RETR 1\r\n");
	assert_string_equal(answer, "+OK 3 octets\r\n");
	(void)read_until(running.client, answer, 0, ".\r\n");
	assert_string_equal(answer, "a\r\n.\r\n");
	ask(&running, answer, "RETR 2\r\n");
	assert_string_equal(
		answer, "-ERR [SYS/TEMP] message 2 is no longer there\r\n");
	ask(&running, answer, "RETR 3\r\n");
	assert_string_equal(answer, "+OK message follows\r\n");
	(void)read_until(running.client, answer, 0, "\r\n.\r\n");
	assert_string_equal(answer, "c\r\nmore\r\n.\r\n");
	ask(&running, answer, "DELE 2\r\n");
	ask(&running, answer, "QUIT\r\n");
	assert_string_equal(answer, "+OK bye\r\n");
	assert_int_equal(end_session(&running), 0);
	assert_int_equal(faccessat(at, "Maildir/cur/1.a:2,FS", F_OK, 0), 0);
	assert_int_equal(faccessat(at, "Maildir/cur/3.c:2,S", F_OK, 0), 0);
	remove_home(home, at);
}

/* A message that is cut short while it is sent has no end. */
static void
test_cut_short(void **state)
{
	static const struct file FILES[FILES_MAX] = {{"Maildir/new/1.a", ""}};
	struct running running;
	char home[64], *answer = malloc(ANSWER_ROOM);
	int at;

	(void)state;
	assert_non_null(answer);
	make_home(home, &at, FILES);
	int fd = openat(at, "Maildir/new/1.a", O_WRONLY);
	/* A sparse file: more than all buffers on the way hold. */
	assert_int_equal(ftruncate(fd, 64 * 1024 * 1024), 0);
	start_session(&running, home);
	close(running.login);
	send_octets(running.client, TEXT("RETR 1\r\n"), 1024);
	(void)read_until(running.client, answer, 0, "octets\r\n");
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	uint64_t received = 0;
	char last = 0;
	for (;;) {
		ssize_t count = read(running.client, answer, ANSWER_ROOM);
		if (count <= 0)
			break;
		received += (size_t)count;
		last = answer[count - 1];
	}
	assert_int_equal(last, '\0');
	assert_true(received < 64 * 1024 * 1024);
	assert_int_equal(end_session(&running), 111);
	assert_int_equal(faccessat(at, "Maildir/new/1.a", F_OK, 0), 0);
	remove_home(home, at);
	free(answer);
}

/* More than a buffer of each kind: 20000 long pipelined answers, big mail. */
static void
test_large(void **state)
{
	static const struct file FILES[FILES_MAX] = {{"Maildir/new/1.a", ""}};
	struct running running;
	char home[64], *answer = malloc(ANSWER_ROOM), expected[64];
	int at;
	size_t octets = 0;

	(void)state;
	assert_non_null(answer);
	make_home(home, &at, FILES);
	int fd = openat(at, "Maildir/new/1.a", O_WRONLY);
	for (int line = 0; line < 5000; line++) {
		int length = snprintf(
			answer, 64, "%.*s\n", line % 40, ".x.......\r.......");
		assert_int_equal(
			durable_write_all(fd, answer, (size_t)length), 0);
		/* With 10 octets the CR is that of the line end. */
		octets += (size_t)length + (line % 40 != 10);
	}
	close(fd);
	start_session(&running, home);
	close(running.login);
	send_octets(running.client, TEXT("RETR 1\r\nQUIT\r\n"), 1024);
	size_t length = read_until(running.client, answer, 0, NULL);
	int first = snprintf(expected, sizeof expected,
		"+OK 1 messages\r\n+OK %zu octets\r\n", octets);
	assert_memory_equal(answer, expected, (size_t)first);
	/* All lines but those of no octets begin with a dot. */
	assert_int_equal(length, (size_t)first + octets + (5000 - 5000 / 40) +
					 strlen(".\r\n+OK bye\r\n"));
	assert_string_equal(answer + length - 12, ".\r\n+OK bye\r\n");
	assert_int_equal(end_session(&running), 0);
	remove_home(home, at);
	free(answer);
}

/* One session at a time; the end of its process, however it ends, is enough. */
static void
test_in_use(void **state)
{
	static const struct file FILES[FILES_MAX] = {
		{"Maildir/new/1.a", "a\n"}};
	struct running one, two;
	char home[64], answer[1024];
	int at;

	(void)state;
	begin(&one, home, &at, answer, FILES);
	start_session(&two, home);
	close(two.login);
	(void)read_until(two.client, answer, 0, "\r\n");
	assert_string_equal(
		answer, "-ERR [IN-USE] another session has this maildrop\r\n");
	assert_int_equal(end_session(&two), 0);
	ask(&one, answer, "DELE 1\r\n");
	assert_int_equal(kill(one.child, SIGKILL), 0);
	close(one.client);
	assert_int_equal(waitpid(one.child, NULL, 0), one.child);
	start_session(&two, home);
	close(two.login);
	(void)read_until(two.client, answer, 0, "\r\n");
	assert_string_equal(answer, "+OK 1 messages\r\n");
	/* As soon as QUIT is answered the next one may come. */
	ask(&two, answer, "QUIT\r\n");
	assert_string_equal(answer, "+OK bye\r\n");
	start_session(&one, home);
	close(one.login);
	(void)read_until(one.client, answer, 0, "\r\n");
	assert_string_equal(answer, "+OK 1 messages\r\n");
	assert_int_equal(end_session(&one), 0);
	assert_int_equal(end_session(&two), 0);
	remove_home(home, at);
}

/* Of what is no command there may be only so much. */
static void
test_errors(void **state)
{
	static const struct file FILES[FILES_MAX] = {
		{"Maildir/new/1.a", "a\n"}};
	struct running running;
	char home[64], answer[8192];
	int at;

	(void)state;
	begin(&running, home, &at, answer, FILES);
	ask(&running, answer, "DELE 1\r\n");
	for (int error = 1; error < POP3_ERRORS_MAX; error++) {
		ask(&running, answer, error % 2 ? "XTND\r\n" : "\001\r\n");
		assert_memory_equal(answer, "-ERR ", 5);
	}
	/* An error of another kind is none of these. */
	ask(&running, answer, "RETR 1\r\n");
	assert_string_equal(answer, "-ERR message 1 is deleted\r\n");
	send_octets(running.client, TEXT("XTND\r\nQUIT\r\n"), 1024);
	size_t length = read_until(running.client, answer, 0, NULL);
	answer[length] = '\0';
	assert_string_equal(answer, "-ERR too many errors\r\n");
	assert_int_equal(end_session(&running), 0);
	assert_int_equal(faccessat(at, "Maildir/new/1.a", F_OK, 0), 0);
	remove_home(home, at);
}

/* A client that takes UTF-8 gets the header as it is stored. */
static void
test_utf8(void **state)
{
	static const struct file FILES[FILES_MAX] = {
		{"Maildir/cur/1.a", "s: \303\244\n\n\303\244\n"}};
	struct running running;
	char home[64], answer[1024];
	int at;

	(void)state;
	make_home(home, &at, FILES);
	start_session_with(&running, home, 1);
	close(running.login);
	(void)read_until(running.client, answer, 0, "+OK 1 messages\r\n");
	send_octets(running.client, TEXT("RETR 1\r\n"), 1024);
	(void)read_until(running.client, answer, 0, ".\r\n");
	assert_string_equal(answer,
		"+OK 13 octets\r\ns: \303\244\r\n\r\n\303\244\r\n.\r\n");
	assert_int_equal(end_session(&running), 0);
	remove_home(home, at);
}

/* A header longer than any block: no octet of UTF-8 gets through, at whatever
 * place the blocks are cut, and none of the body is touched. */
static void
test_long_header(void **state)
{
	static const struct file FILES[FILES_MAX] = {{"Maildir/cur/1.a", ""}};
	struct running running;
	char home[64], *text = malloc(ANSWER_ROOM),
		       *answer = malloc(ANSWER_ROOM);
	int at;

	(void)state;
	assert_non_null(text);
	assert_non_null(answer);
	for (size_t shift = 0; shift < 3; shift++) {
		size_t header = 0, length;

		make_home(home, &at, FILES);
		memset(text, 'x', shift);
		length = shift;
		while (header < 40000)
			header += (size_t)snprintf(
				text + length + header, 4, "\342\202\254");
		length += header;
		length += (size_t)snprintf(
			text + length, 64, "\nb: \303\244\n\n\303\244\n");
		int fd = openat(at, "Maildir/cur/1.a", O_WRONLY);
		assert_int_equal(durable_write_all(fd, text, length), 0);
		close(fd);
		start_session(&running, home);
		close(running.login);
		send_octets(running.client, TEXT("RETR 1\r\nQUIT\r\n"), 64);
		size_t got = read_until(running.client, answer, 0, NULL);
		size_t beyond = 0;
		for (size_t i = 0; i < got; i++)
			beyond += (unsigned char)answer[i] > 127;
		assert_int_equal(beyond, 2);
		answer[got] = '\0';
		assert_string_equal(strstr(answer, "?\r\n"),
			"?\r\nb: ??\r\n\r\n\303\244\r\n.\r\n+OK bye\r\n");
		assert_int_equal(end_session(&running), 0);
		remove_home(home, at);
	}
	free(text);
	free(answer);
}

/* The login part never ends, or sends too much. */
static void
test_login_misbehaves(void **state)
{
	static const struct file FILES[FILES_MAX] = {{0}};
	struct running running;
	char home[64], answer[1024], block[40000];
	int at;

	(void)state;
	make_home(home, &at, FILES);
	start_session(&running, home);
	memset(block, 'x', sizeof block);
	send_octets(running.login, block, sizeof block, sizeof block);
	(void)read_until(running.client, answer, 0, "\r\n");
	assert_string_equal(
		answer, "-ERR [SYS/TEMP] the login could not be completed\r\n");
	assert_int_equal(end_session(&running), 111);
	close(running.login);
	remove_home(home, at);
}

/* What the login part says of the client is checked. */
static void
test_login_says_nonsense(void **state)
{
	static const struct file FILES[FILES_MAX] = {{0}};
	struct pop3_handover handover[] = {{.magic = 1},
		{.magic = POP3_HANDOVER_MAGIC, .takes_utf8 = 2},
		{.magic = POP3_HANDOVER_MAGIC}};
	struct running running;
	char home[64], answer[1024];
	int at;

	(void)state;
	memset(handover[2].tls, 'x', sizeof handover[2].tls);
	for (size_t row = 0; row <= 3; row++) {
		make_home(home, &at, FILES);
		start_without_handover(&running, home);
		/* The last is cut short. */
		if (row < 3)
			send_octets(running.login, (const char *)&handover[row],
				sizeof handover[row], 50);
		else
			send_octets(running.login, TEXT("1po"), 3);
		close(running.login);
		(void)read_until(running.client, answer, 0, "\r\n");
		assert_string_equal(answer,
			"-ERR [SYS/TEMP] the login could not be completed\r\n");
		assert_int_equal(end_session(&running), 111);
		remove_home(home, at);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlong_lines),
		cmocka_unit_test(test_part_of_a_line),
		cmocka_unit_test(test_others_at_work),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_long_header),
		cmocka_unit_test(test_login_misbehaves),
		cmocka_unit_test(test_login_says_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
