/*
 * pop3d is the login part of the POP3 server (RFC 1939, AUTHORIZATION state): it
 * speaks with a client that nobody knows yet, and asks authd about the password.
 * Who passes is served by a session part that the warden starts; this process
 * then only waits for that one to end, so that tcpserver's count stays true.
 *
 * Runs as _keep-pop3d:keep-suite, one process a connection, under tcpserver.
 * Is handed the connection on 0 and 1 and the client's address in TCPREMOTEIP.
 * Promises bounded time, bounded tries and no word about what was wrong with a
 * login; after one that is right it touches the connection no more.
 * Never opens a file, never sees a mailbox or a password's hash, never keeps a
 * password.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/home.h"
#include "lib/line.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/output.h"
#include "lib/role.h"
#include "pop3d/auth.h"

/* RFC 2449 section 4 allows 255 octets; passwords may need more. */
#define COMMAND_MAX 1024
#define COMMAND_WAIT_MS (60 * 1000)
#define LOGIN_WAIT_MS (5 * 60 * 1000)
#define REPLY_WAIT_MS (30 * 1000)
/* Longer than authd takes for its slowest answer. */
#define AUTH_WAIT_MS (65 * 1000)
#define ERRORS_MAX 10
#define FAILURES_MAX 5
/* Each failed login waits so much longer than the one before. */
#define FAILURE_PAUSE_MS 1000

static const struct role pop3d_role = {
	.program = "pop3d",
	.user = "_keep-pop3d",
	.group = "keep-suite",
	.is_given = true,
	.calls = CALLS_BASE | CALLS_CONNECT,
	.memory_octets = 64 * 1024 * 1024,
	.descriptors = 16,
};

struct login {
	struct home home;
	struct line_reader in;
	struct output out;
	int64_t end_ms; /* when a client must have logged in */
	unsigned errors, failures;
	char name[AUTH_NAME_MAX]; /* from USER; "" before it */
	char client[64];
};

/* What a command leads to. */
enum next {
	NEXT_COMMAND,
	NEXT_CLOSE,
	NEXT_HANDED_ON, /* the connection is the session part's */
};

static int64_t
sooner(int64_t one_ms, int64_t other_ms)
{
	return one_ms < other_ms ? one_ms : other_ms;
}

static enum next
reply(struct login *login, const char *text)
{
	int64_t deadline_ms = deadline_after_ms(REPLY_WAIT_MS);

	if (output_put(&login->out, text, strlen(text), deadline_ms) < 0 ||
		output_put(&login->out, "\r\n", 2, deadline_ms) < 0)
		return NEXT_CLOSE;
	return NEXT_COMMAND;
}

static enum next
reply_error(struct login *login, const char *text)
{
	enum next next = reply(login, text);

	return ++login->errors >= ERRORS_MAX ? NEXT_CLOSE : next;
}

static bool
is_printable(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 32 || text[i] == 127)
			return false;
	return true;
}

/* The client's address from the environment, whoever set it. */
static void
note_client(struct login *login)
{
	const char *address = getenv("TCPREMOTEIP");

	if (address == NULL || *address == 0 ||
		strlen(address) >= sizeof login->client ||
		strspn(address, "0123456789abcdefABCDEF.:") != strlen(address))
		address = "unknown";
	snprintf(login->client, sizeof login->client, "%s", address);
}

static enum next
do_user(struct login *login, const char *argument, size_t length)
{
	if (length == 0 || length >= sizeof login->name ||
		!is_printable(argument, length))
		return reply_error(login, "-ERR USER needs a name");
	memcpy(login->name, argument, length);
	login->name[length] = 0;
	return reply(login, "+OK and the password?");
}

/*
 * Hands what the client has sent ahead to the session part, and waits until that
 * one has closed its end.
 */
static void
wait_for_session(struct login *login, int pair)
{
	size_t length;
	const char *octets = line_buffered(&login->in, &length);
	char ignored[64];

	while (length > 0) {
		ssize_t put = send(pair, octets, length, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			break;
		octets += put;
		length -= (size_t)put;
	}
	line_discard(&login->in);
	shutdown(pair, SHUT_WR);
	for (;;) {
		ssize_t got = read(pair, ignored, sizeof ignored);

		if (got == 0 || (got < 0 && errno != EINTR))
			return;
	}
}

static enum next
refuse(struct login *login)
{
	login->failures++;
	login->name[0] = 0;
	poll(NULL, 0, (int)(FAILURE_PAUSE_MS * login->failures));
	enum next next = reply(login, "-ERR [AUTH] wrong name or password");
	return login->failures >= FAILURES_MAX ? NEXT_CLOSE : next;
}

static enum next
cannot_tell(struct login *login)
{
	login->failures++;
	enum next next = reply(
		login, "-ERR [SYS/TEMP] cannot log you in now, try later");
	return login->failures >= FAILURES_MAX ? NEXT_CLOSE : next;
}

static enum next
ask(struct login *login, const struct auth_question *question)
{
	char path[HOME_NAME_MAX];
	struct auth_answer answer;
	int pair[2];

	/* The session part writes to the client next: nothing of ours may be
	 * left behind. */
	if (output_flush(&login->out, deadline_after_ms(REPLY_WAIT_MS)) < 0)
		return NEXT_CLOSE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		log_line("socketpair: %s", strerror(errno));
		return cannot_tell(login);
	}
	const int descriptor[3] = {STDIN_FILENO, STDOUT_FILENO, pair[1]};
	home_path(&login->home, "socket/auth", path);
	int asked = auth_ask(path, question, descriptor, 3,
		deadline_after_ms(AUTH_WAIT_MS), &answer);
	int saved = errno;
	close(pair[1]);
	enum next next = NEXT_HANDED_ON;
	if (asked == 0 && answer.verdict == AUTH_YES) {
		wait_for_session(login, pair[0]);
	} else if (asked == 0 && answer.verdict == AUTH_NO) {
		next = refuse(login);
	} else {
		next = cannot_tell(login);
		if (asked < 0) {
			/* For all we know a session was started: it alone may
			 * speak with the client now. */
			log_line("%s: %s", path, strerror(saved));
			next = NEXT_CLOSE;
		}
	}
	close(pair[0]);
	return next;
}

static enum next
do_pass(struct login *login, const char *argument, size_t length)
{
	struct auth_question question = {
		.magic = AUTH_MAGIC, .service = AUTH_SERVICE_POP3};

	if (login->name[0] == 0)
		return reply_error(login, "-ERR USER first");
	if (length == 0 || length >= sizeof question.password)
		return refuse(login);
	memcpy(question.name, login->name, sizeof question.name);
	memcpy(question.password, argument, length);
	memcpy(question.client, login->client, sizeof question.client);
	enum next next = ask(login, &question);
	explicit_bzero(&question, sizeof question);
	return next;
}

/* RFC 2449: what the server can, in either state. */
static enum next
do_capa(struct login *login)
{
	return reply(login, "+OK\r\nTOP\r\nUSER\r\nUIDL\r\nRESP-CODES\r\n"
			    "AUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n"
			    "IMPLEMENTATION keepmail\r\n.");
}

static bool
is_verb(const char *line, size_t length, const char *verb)
{
	return strlen(verb) == length && strncasecmp(line, verb, length) == 0;
}

static enum next
do_line(struct login *login, const char *line, size_t length)
{
	const char *space = memchr(line, ' ', length);
	size_t verb = space == NULL ? length : (size_t)(space - line);
	/* One space, and the rest as it is: passwords hold spaces. */
	const char *argument = space == NULL ? line + length : space + 1;
	size_t rest = (size_t)(line + length - argument);

	if (memchr(line, 0, length) != NULL || memchr(line, '\r', length))
		return reply_error(login, "-ERR not a line of text");
	if (is_verb(line, verb, "USER"))
		return do_user(login, argument, rest);
	if (is_verb(line, verb, "PASS"))
		return do_pass(login, argument, rest);
	if (is_verb(line, verb, "CAPA"))
		return do_capa(login);
	if (is_verb(line, verb, "QUIT")) {
		(void)reply(login, "+OK bye");
		return NEXT_CLOSE;
	}
	if (is_verb(line, verb, "AUTH"))
		return reply_error(login, "-ERR USER and PASS only");
	return reply_error(login, "-ERR log in first");
}

static enum next
do_command(struct login *login)
{
	const char *line;
	size_t length;

	if (line_is_empty(&login->in) &&
		output_flush(&login->out, deadline_after_ms(REPLY_WAIT_MS)) < 0)
		return NEXT_CLOSE;
	switch (line_read(&login->in, COMMAND_MAX,
		sooner(login->end_ms, deadline_after_ms(COMMAND_WAIT_MS)),
		&line, &length)) {
	case LINE_OK:
	case LINE_BARE:
		break;
	case LINE_TOO_LONG:
		return reply_error(login, "-ERR the line is too long");
	case LINE_TIMEOUT:
	case LINE_EOF:
	case LINE_ERROR:
		/* RFC 1939 section 3: after a timeout close without a word. */
		return NEXT_CLOSE;
	}
	size_t start = (size_t)(line - login->in.buffer);
	enum next next = do_line(login, line, length);
	/* It may have held a password. */
	explicit_bzero(login->in.buffer + start, length);
	return next;
}

static int
refuse_service(struct login *login, const char *why)
{
	log_line("%s", why);
	(void)reply(login, "-ERR [SYS/TEMP] no service now");
	(void)output_flush(&login->out, deadline_after_ms(REPLY_WAIT_MS));
	return STATUS_TEMPORARY;
}

int
main(void)
{
	struct login login = {.end_ms = deadline_after_ms(LOGIN_WAIT_MS)};
	char why[300];
	enum next next;

	log_start("pop3d");
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	signal(SIGPIPE, SIG_IGN);
	line_start(&login.in, STDIN_FILENO);
	output_start(&login.out, STDOUT_FILENO);
	note_client(&login);
	if (home_open(&login.home, why, sizeof why) < 0 ||
		role_take(&pop3d_role, &login.home, why, sizeof why) < 0)
		return refuse_service(&login, why);
	next = reply(&login, "+OK keepmail POP3 server");
	while (next == NEXT_COMMAND)
		next = do_command(&login);
	if (next == NEXT_CLOSE)
		(void)output_flush(
			&login.out, deadline_after_ms(REPLY_WAIT_MS));
	return STATUS_DONE;
}
