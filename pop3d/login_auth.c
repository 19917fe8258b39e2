#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "lib/sasl_front.h"
#include "pop3d/login.h"

/* The longest password, in octets. */
#define PASSWORD_MAX 511
/* Longer than authd takes for its slowest answer. */
#define AUTH_WAIT_MS (65 * 1000)
#define FAILURES_MAX 5
/* Each failed login waits so much longer than the one before. */
#define FAILURE_PAUSE_MS 1000

static bool
is_printable(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 32 || text[i] == 127)
			return false;
	return true;
}

enum next
login_user(struct login *login, const char *argument, size_t length)
{
	if (!login_may_say_password(login))
		return login_needs_tls(login);
	if (length == 0 || length >= sizeof login->name ||
		!is_printable(argument, length))
		return login_error(login, "-ERR USER needs a name");
	memcpy(login->name, argument, length);
	login->name[length] = 0;
	return login_reply(login, "+OK and the password?");
}

static void
send_all(int pair, const void *from, size_t length)
{
	const char *octets = from;

	while (length > 0) {
		ssize_t put = send(pair, octets, length, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			break;
		octets += put;
		length -= (size_t)put;
	}
}

/*
 * Hands what is known and what the client has sent ahead to the session part, and
 * waits until that one has closed its end.
 */
static void
wait_for_session(struct login *login, int pair)
{
	size_t length;
	const char *octets = line_buffered(&login->in, &length);
	char ignored[64];

	if (login->is_utf8_for_all)
		login->handover.takes_utf8 = 1;
	send_all(pair, &login->handover, sizeof login->handover);
	send_all(pair, octets, length);
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
	enum next next =
		login_reply(login, "-ERR [AUTH] wrong name or password");
	return login->failures >= FAILURES_MAX ? NEXT_CLOSE : next;
}

static enum next
cannot_tell(struct login *login)
{
	login->failures++;
	enum next next = login_reply(
		login, "-ERR [SYS/TEMP] cannot log you in now, try later");
	return login->failures >= FAILURES_MAX ? NEXT_CLOSE : next;
}

/* After AUTH_YES, with authd on the other end of fd. */
static enum next
start_session(struct login *login, int fd)
{
	struct auth_message message;
	bool is_sent = false;
	int pair[2];

	/* The session part writes to the client next: nothing of ours may be
	 * left behind. */
	if (output_flush(&login->out, deadline_after_ms(LOGIN_REPLY_WAIT_MS)) <
		0)
		return NEXT_CLOSE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		log_line("socketpair: %s", strerror(errno));
		return cannot_tell(login);
	}
	const int descriptor[3] = {STDIN_FILENO, STDOUT_FILENO, pair[1]};
	int started = auth_start(fd, descriptor,
		deadline_after_ms(AUTH_WAIT_MS), &message, &is_sent);
	int saved = errno;
	close(pair[1]);
	enum next next = NEXT_HANDED_ON;
	if (started == 0 && message.verdict == AUTH_YES) {
		wait_for_session(login, pair[0]);
	} else if (started == 0) {
		next = cannot_tell(login);
	} else {
		log_line("starting a session: %s", strerror(saved));
		/* For all we know one was started: it alone may speak with the
		 * client then. */
		next = is_sent ? NEXT_CLOSE : cannot_tell(login);
	}
	close(pair[0]);
	return next;
}

static int
send_challenge(void *context, const char *text, size_t len)
{
	struct login *login = context;
	int64_t deadline_ms = deadline_after_ms(LOGIN_REPLY_WAIT_MS);

	return output_put(&login->out, "+ ", 2, deadline_ms) < 0 ||
			       output_put(&login->out, text, len, deadline_ms) <
				       0 ||
			       output_put(&login->out, "\r\n", 2, deadline_ms) <
				       0 ||
			       output_flush(&login->out, deadline_ms) < 0
		       ? -1
		       : 0;
}

static enum next
answer(struct login *login, const struct sasl_front *front,
	enum sasl_front_result result)
{
	switch (result) {
	case SASL_FRONT_YES:
		return start_session(login, front->fd);
	case SASL_FRONT_NO:
		return refuse(login);
	case SASL_FRONT_TEMPORARY:
		if (front->error != 0)
			log_line("%s: %s", front->socket_path,
				strerror(front->error));
		return cannot_tell(login);
	case SASL_FRONT_CANCELLED:
		return login_error(login, "-ERR cancelled");
	case SASL_FRONT_MALFORMED:
		return login_error(login, "-ERR malformed answer");
	case SASL_FRONT_TOO_LONG:
		return login_error(login, "-ERR the line is too long");
	case SASL_FRONT_TIMEOUT:
	case SASL_FRONT_STOPPED:
	case SASL_FRONT_LOST:
		break;
	}
	return NEXT_CLOSE;
}

static void
prepare(struct login *login, struct sasl_front *front, struct auth_begin *begin,
	char path[HOME_NAME_MAX])
{
	memset(begin, 0, sizeof *begin);
	begin->service = AUTH_SERVICE_POP3;
	begin->channel = login->channel;
	memcpy(begin->client, login->client, sizeof begin->client);
	*front = (struct sasl_front){
		.socket_path = home_path(&login->home, "socket/auth", path),
		.input = &login->in,
		.challenge = send_challenge,
		.context = login,
		.line_wait_ms = LOGIN_LINE_WAIT_MS,
		.auth_wait_ms = AUTH_WAIT_MS,
		.fd = -1};
}

static enum next
finish(struct login *login, struct sasl_front *front,
	enum sasl_front_result result)
{
	/* A wrong password leads back to where the client began. */
	login->name[0] = 0;
	enum next next = answer(login, front, result);
	if (front->fd >= 0)
		close(front->fd);
	return next;
}

/* All that the client says is there already. */
static enum next
ask(struct login *login, enum auth_mechanism mechanism, const void *octets,
	size_t length)
{
	char path[HOME_NAME_MAX];
	struct auth_begin begin;
	struct sasl_front front;

	prepare(login, &front, &begin, path);
	begin.mechanism = mechanism;
	if (mechanism == AUTH_APOP)
		memcpy(begin.timestamp, login->timestamp,
			sizeof begin.timestamp);
	return finish(
		login, &front, sasl_front_ask(&front, &begin, octets, length));
}

enum next
login_pass(struct login *login, const char *argument, size_t length)
{
	char octets[2 + AUTH_NAME_MAX + PASSWORD_MAX];
	size_t name = strlen(login->name);

	if (!login_may_say_password(login))
		return login_needs_tls(login);
	if (login->name[0] == 0)
		return login_error(login, "-ERR USER first");
	if (length == 0 || length > PASSWORD_MAX)
		return refuse(login);
	/* As PLAIN has it: for whom, who, the password. */
	octets[0] = 0;
	memcpy(octets + 1, login->name, name + 1);
	memcpy(octets + 2 + name, argument, length);
	enum next next = ask(login, AUTH_PLAIN, octets, 2 + name + length);
	explicit_bzero(octets, sizeof octets);
	return next;
}

enum next
login_apop(struct login *login, const char *argument, size_t length)
{
	return ask(login, AUTH_APOP, argument, length);
}

/* AUTH without an argument, as Microsoft's clients ask. */
static enum next
list_mechanisms(struct login *login)
{
	char list[AUTH_LIST_MAX];

	auth_mechanisms_list(login_mechanisms(login), &login->channel, list);
	enum next next = login_reply(login, "+OK");
	for (char *word = list; *word != 0 && next == NEXT_COMMAND;) {
		size_t len = strcspn(word, " ");
		char *after = word + len + (word[len] != 0);

		word[len] = 0;
		next = login_reply(login, word);
		word = after;
	}
	return next == NEXT_COMMAND ? login_reply(login, ".") : next;
}

enum next
login_auth(struct login *login, const char *argument, size_t length)
{
	const char *space = memchr(argument, ' ', length);
	size_t word = space == NULL ? length : (size_t)(space - argument);
	const char *initial = space == NULL ? NULL : space + 1;
	size_t initial_len = space == NULL ? 0 : length - word - 1;
	char path[HOME_NAME_MAX];
	struct auth_begin begin;
	struct sasl_front front;

	if (length == 0)
		return list_mechanisms(login);
	enum auth_mechanism mechanism = auth_mechanism_find(argument, word);
	if (mechanism != 0 &&
		(login_mechanisms(login) & 1u << mechanism) == 0 &&
		(login->mechanisms & 1u << mechanism) != 0)
		return login_needs_tls(login);
	if (mechanism == 0 || !auth_mechanism_is_offered(login->mechanisms,
				      mechanism, &login->channel))
		return login_error(login, "-ERR not a way to log in here");
	prepare(login, &front, &begin, path);
	begin.mechanism = mechanism;
	return finish(login, &front,
		sasl_front_run(&front, &begin, initial, initial_len));
}
