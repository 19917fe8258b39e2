/*
 * pop3d is the login part of the POP3 server (RFC 1939, AUTHORIZATION state): it
 * speaks with a client that nobody knows yet, and asks authd about the password.
 * Who passes is served by a session part that the warden starts; this process
 * then only waits for that one to end, so that tcpserver's count stays true.
 *
 * Runs as _keep-pop3d:keep-suite, one process a connection, under tcpserver.
 * Is handed the connection on 0 and 1 and the client's address in TCPREMOTEIP.
 * Promises bounded time, bounded tries and no word about what was wrong with a
 * login; after one that is right it touches the connection no more. TLS is tlsd's.
 * Never opens a file once its settings are read, never sees a mailbox or a
 * password's hash, never keeps a password.
 */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/home.h"
#include "lib/line.h"
#include "lib/log.h"
#include "lib/networks.h"
#include "lib/outcome.h"
#include "lib/output.h"
#include "lib/role.h"
#include "lib/settings.h"
#include "pop3d/language.h"
#include "pop3d/login.h"

/* RFC 2449 section 4 allows 255 octets; passwords may need more. */
#define COMMAND_MAX 1024
#define LOGIN_WAIT_MS (5 * 60 * 1000)
#define ERRORS_MAX 10

static const struct role pop3d_role = {
	.program = "pop3d",
	.user = "_keep-pop3d",
	.group = "keep-suite",
	.is_given = true,
	.calls = CALLS_BASE | CALLS_CONNECT,
	.memory_octets = 64 * 1024 * 1024,
	.descriptors = 16,
};

struct login_settings {
	char *me;
	char *mechanisms;
	int64_t auth_in_clear;
	int64_t utf8;
	int64_t connections;
	struct setting_list proxies, exempt;
};

static const struct setting SETTINGS[] = {
	{"me", SETTING_HOST, NULL, 0, 0, offsetof(struct login_settings, me),
		"this host's name"},
	{"saslmechanisms", SETTING_TEXT, AUTH_MECHANISMS_DEFAULT, 0, 0,
		offsetof(struct login_settings, mechanisms),
		"the ways to log in that are offered"},
	{"authclearpop3", SETTING_SWITCH, "0", 0, 0,
		offsetof(struct login_settings, auth_in_clear),
		"1: passwords may be said without TLS"},
	{"pop3utf8", SETTING_SWITCH, "0", 0, 1,
		offsetof(struct login_settings, utf8),
		"1: UTF-8 in headers is for all clients, not only for those "
		"that say UTF8"},
	{"connectionspop3", SETTING_NUMBER, "50", 0, 1000000000,
		offsetof(struct login_settings, connections),
		"the most connections of one address; 0 for no limit"},
	{"limitsexempt", SETTING_LIST, NULL, 0, 0,
		offsetof(struct login_settings, exempt),
		"clients that have no limit over all connections; without the "
		"file, loopback"},
	{"proxies", SETTING_LIST, NULL, 0, 0,
		offsetof(struct login_settings, proxies),
		"peers that send a PROXY header"},
};

static int64_t
sooner(int64_t one_ms, int64_t other_ms)
{
	return one_ms < other_ms ? one_ms : other_ms;
}

enum next
login_reply(struct login *login, const char *text)
{
	int64_t deadline_ms = deadline_after_ms(LOGIN_REPLY_WAIT_MS);

	if (output_put(&login->out, text, strlen(text), deadline_ms) < 0 ||
		output_put(&login->out, "\r\n", 2, deadline_ms) < 0)
		return NEXT_CLOSE;
	return NEXT_COMMAND;
}

enum next
login_error(struct login *login, const char *text)
{
	enum next next = login_reply(login, text);

	return ++login->errors >= ERRORS_MAX ? NEXT_CLOSE : next;
}

/* RFC 2449: what the server can, in either state. */
static enum next
do_capa(struct login *login)
{
	char list[AUTH_LIST_MAX];

	auth_mechanisms_list(login_mechanisms(login), &login->channel, list);
	const char *const lines[] = {"+OK capabilities follow",
		login_may_say_password(login) ? "USER" : NULL,
		login_offers_tls(login) ? "STLS" : NULL};
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		if (lines[i] != NULL &&
			login_reply(login, lines[i]) == NEXT_CLOSE)
			return NEXT_CLOSE;
	if (*list != 0) {
		char line[AUTH_LIST_MAX + 8];

		snprintf(line, sizeof line, "SASL %s", list);
		if (login_reply(login, line) == NEXT_CLOSE)
			return NEXT_CLOSE;
	}
	return login_reply(login, POP3_CAPABILITIES "\r\n.");
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

	if (length > COMMAND_MAX - 2 && !is_verb(line, verb, "AUTH"))
		return login_error(login, "-ERR the line is too long");
	if (memchr(line, 0, length) != NULL || memchr(line, '\r', length))
		return login_error(login, "-ERR not a line of text");
	if (is_verb(line, verb, "USER"))
		return login_user(login, argument, rest);
	if (is_verb(line, verb, "PASS"))
		return login_pass(login, argument, rest);
	if (is_verb(line, verb, "CAPA"))
		return do_capa(login);
	if (is_verb(line, verb, "STLS"))
		return login_stls(login, rest);
	if (is_verb(line, verb, "LANG"))
		return login_reply(login, pop3_language(argument, rest));
	if (is_verb(line, verb, "UTF8")) {
		/* RFC 6856 section 2. */
		login->handover.takes_utf8 = 1;
		return login_reply(login, "+OK UTF-8 it is");
	}
	if (is_verb(line, verb, "QUIT")) {
		(void)login_reply(login, "+OK bye");
		return NEXT_CLOSE;
	}
	if (is_verb(line, verb, "AUTH"))
		return login_auth(login, argument, rest);
	if (is_verb(line, verb, "APOP") && login->timestamp[0] != 0)
		return login_apop(login, argument, rest);
	return login_error(login, "-ERR log in first");
}

/* Wipes a line, which may have held a password; but not what was read into its
 * place meanwhile and is still to be heard. */
static void
forget_line(struct line_reader *in, size_t start, size_t length)
{
	size_t stop = start + length;

	if (start < in->start)
		explicit_bzero(in->buffer + start,
			(stop < in->start ? stop : in->start) - start);
	if (start < in->end)
		start = in->end;
	if (start < stop)
		explicit_bzero(in->buffer + start, stop - start);
}

static enum next
do_command(struct login *login)
{
	const char *line;
	size_t length;

	if (line_is_empty(&login->in) &&
		output_flush(&login->out,
			deadline_after_ms(LOGIN_REPLY_WAIT_MS)) < 0)
		return NEXT_CLOSE;
	switch (line_read(&login->in, LINE_AUTH_MAX,
		sooner(login->end_ms, deadline_after_ms(LOGIN_LINE_WAIT_MS)),
		&line, &length)) {
	case LINE_OK:
	case LINE_BARE:
		break;
	case LINE_TOO_LONG:
		return login_error(login, "-ERR the line is too long");
	case LINE_TIMEOUT:
	case LINE_EOF:
	case LINE_ERROR:
		/* RFC 1939 section 3: after a timeout close without a word. */
		return NEXT_CLOSE;
	}
	size_t start = (size_t)(line - login->in.buffer);
	enum next next = do_line(login, line, length);
	forget_line(&login->in, start, length);
	return next;
}

static int
refuse_service(struct login *login, const char *answer)
{
	/* Who waits for a handshake understands no words. */
	if (login->tls.is_first)
		return STATUS_TEMPORARY;
	(void)login_reply(login, answer);
	(void)output_flush(&login->out, deadline_after_ms(LOGIN_REPLY_WAIT_MS));
	return STATUS_TEMPORARY;
}

/* The timestamp of the greeting, which APOP is about (RFC 1939 section 7). */
static int
make_timestamp(struct login *login, const char *me)
{
	uint64_t random[2];

	if ((login->mechanisms & 1u << AUTH_APOP) == 0)
		return 0;
	if (getrandom(random, sizeof random, 0) != sizeof random)
		return -1;
	int made = snprintf(login->timestamp, sizeof login->timestamp,
		"<%llx%llx.%lld@%.60s>", (unsigned long long)random[0],
		(unsigned long long)random[1], (long long)time(NULL), me);
	return made > 0 && (size_t)made < sizeof login->timestamp ? 0 : -1;
}

/* The lists stay. */
static int
take_lists(struct login *login, struct login_settings *settings, char *why,
	size_t size)
{
	static const char *const proxy_words[] = {"required", "optional", NULL};

	if (networks_check(&settings->proxies, "proxies", proxy_words, why,
		    size) < 0 ||
		networks_check(
			&settings->exempt, "limitsexempt", NULL, why, size) < 0)
		return -1;
	login->proxies = settings->proxies;
	login->exempt = settings->exempt;
	login->connections_max = settings->connections;
	settings->proxies = settings->exempt = (struct setting_list){0};
	return 0;
}

static int
configure(struct login *login, char *why, size_t size)
{
	struct login_settings settings = {0};
	char path[HOME_NAME_MAX];

	home_path(&login->home, "control", path);
	if (settings_read(SETTINGS, SETTINGS_COUNT(SETTINGS), path, &settings,
		    why, size) < 0)
		return -1;
	char wrong[120];
	login->is_clear_allowed = settings.auth_in_clear == 1;
	int result = auth_mechanisms_read(
		settings.mechanisms, &login->mechanisms, wrong, sizeof wrong);
	if (result < 0)
		snprintf(why, size, "%.100s/saslmechanisms: %s", path, wrong);
	else if ((result = make_timestamp(login, settings.me)) < 0)
		snprintf(why, size, "no random numbers: %s", strerror(errno));
	login->is_utf8_for_all = settings.utf8 == 1;
	if (result == 0)
		result = take_lists(login, &settings, why, size);
	settings_free(SETTINGS, SETTINGS_COUNT(SETTINGS), &settings);
	return result;
}

static enum next
greet(struct login *login)
{
	char line[AUTH_TIMESTAMP_MAX + 40];

	snprintf(line, sizeof line, "+OK keepmail POP3 server%s%s",
		login->timestamp[0] != 0 ? " " : "", login->timestamp);
	return login_reply(login, line);
}

int
main(void)
{
	struct login login;
	char why[300];
	enum next next;

	/* All but the buffers: while a session runs, this process has only what
	 * was used of them. */
	memset(&login.home, 0, sizeof login - offsetof(struct login, home));
	login.end_ms = deadline_after_ms(LOGIN_WAIT_MS);
	login.handover.magic = POP3_HANDOVER_MAGIC;
	log_start("pop3d");
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	signal(SIGPIPE, SIG_IGN);
	line_start(&login.in, STDIN_FILENO);
	output_start(&login.out, STDOUT_FILENO);
	login_peer_start(&login);
	if (home_open(&login.home, why, sizeof why) < 0 ||
		tls_server_find(&login.tls, &login.home, why, sizeof why) < 0 ||
		configure(&login, why, sizeof why) < 0 ||
		role_take(&pop3d_role, &login.home, why, sizeof why) < 0) {
		log_line("%s", why);
		return refuse_service(&login, "-ERR [SYS/TEMP] no service now");
	}
	if (login_peer_proxy(&login) < 0)
		return STATUS_DONE;
	if (login_peer_hold(&login) < 0)
		return refuse_service(
			&login, "-ERR [SYS/TEMP] too many connections");
	if (login.tls.is_first && login_tls_first(&login) < 0)
		return STATUS_DONE;
	next = greet(&login);
	while (next == NEXT_COMMAND)
		next = do_command(&login);
	if (next == NEXT_CLOSE)
		(void)output_flush(
			&login.out, deadline_after_ms(LOGIN_REPLY_WAIT_MS));
	return STATUS_DONE;
}
