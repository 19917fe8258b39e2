/*
 * lmtp-deliver hands the message to a mailbox server by LMTP (RFC 2033):
 * lmtp-deliver PATH | HOST:PORT [recipient]
 *
 * Runs as the owner of the mail, from a .qmail file.
 * Is handed the message on descriptor 0 and the delivery's variables.
 * Promises 0 only after the server's answer for the recipient, after the dot; 100
 * for a refusal for good; 111 for all else, a connection that breaks among it.
 * Never sends two recipients.
 */

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/deadline.h"
#include "lib/dots.h"
#include "lib/escape.h"
#include "lib/line.h"
#include "lib/outcome.h"
#include "lib/output.h"
#include "lib/service.h"
#include "local/command.h"

/* How long a connection, an answer and the answer to the dot are waited for. */
#define CONNECT_MS (60 * 1000)
#define ANSWER_MS (5 * 60 * 1000)
#define DOT_MS (10 * 60 * 1000)
#define LINES_MAX 100

struct session {
	struct line_reader reader;
	struct output output;
	int64_t deadline_ms;
	char text[512]; /* of the last line of an answer, printable */
	bool has_8bit;
};

static int
complain(const char *what, const char *why)
{
	fprintf(stderr, "lmtp-deliver: %s: %s\n", what, why);
	return STATUS_TEMPORARY;
}

/* --- the connection --- */

static int
connect_host(const char *place)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	char host[ADDRESS_DOMAIN_MAX + 3];
	const char *colon = strrchr(place, ':');
	size_t length = colon != NULL ? (size_t)(colon - place) : 0;
	int fd = -1;

	errno = EINVAL;
	if (length == 0 || length >= sizeof host)
		return -1;
	bool has_brackets = place[0] == '[' && place[length - 1] == ']';
	snprintf(host, sizeof host, "%.*s", (int)length - 2 * has_brackets,
		place + has_brackets);
	if (getaddrinfo(host, colon + 1, &hints, &list) != 0) {
		errno = EHOSTUNREACH;
		return -1;
	}
	for (const struct addrinfo *at = list; at != NULL && fd < 0;
		at = at->ai_next) {
		fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) < 0) {
			int saved = errno;

			close(fd);
			errno = saved;
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd;
}

static int
connect_place(const char *place)
{
	if (place[0] == '/')
		return service_connect(
			place, SOCK_STREAM, deadline_after_ms(CONNECT_MS));
	/* connect() itself has no deadline */
	alarm(CONNECT_MS / 1000);
	int fd = connect_host(place);
	alarm(0);
	return fd;
}

/* --- talking --- */

/* An answer that is there before its question was said answers nothing. */
static int
say(struct session *session, const char *words, size_t length)
{
	if (!line_is_empty(&session->reader))
		return complain("the server", "it answers before it is asked");
	session->deadline_ms = deadline_after_ms(ANSWER_MS);
	if (output_put(&session->output, words, length, session->deadline_ms) <
			0 ||
		output_flush(&session->output, session->deadline_ms) < 0)
		return complain("the server", strerror(errno));
	return 0;
}

/* Whether a line of an answer is well formed: its code, or 0. */
static int
code_of(const char *text, size_t length)
{
	if (length < 3 || text[0] < '2' || text[0] > '5' || text[1] < '0' ||
		text[1] > '9' || text[2] < '0' || text[2] > '9' ||
		(length > 3 && text[3] != ' ' && text[3] != '-'))
		return 0;
	return (text[0] - '0') * 100 + (text[1] - '0') * 10 + text[2] - '0';
}

/* Reads an answer. Its code; or 0 after a complaint. */
static int
hear(struct session *session, int64_t wait_ms)
{
	int64_t deadline_ms = deadline_after_ms(wait_ms);
	const char *text;
	size_t length;

	for (unsigned lines = 0; lines < LINES_MAX; lines++) {
		switch (line_read(&session->reader, LINE_COMMAND_MAX,
			deadline_ms, &text, &length)) {
		case LINE_OK:
		case LINE_BARE:
			break;
		case LINE_TIMEOUT:
			(void)complain("the server", "it took too long");
			return 0;
		default:
			(void)complain("the server", "the connection was lost");
			return 0;
		}
		int code = code_of(text, length);
		if (code == 0)
			break;
		if (length >= 12 && strncasecmp(text + 4, "8BITMIME", 8) == 0)
			session->has_8bit = true;
		(void)escape_line(session->text, sizeof session->text, text,
			length, ESCAPE_MASK);
		if (length == 3 || text[3] == ' ')
			return code;
	}
	(void)complain("the server", "it speaks no LMTP");
	return 0;
}

/* Says a line and wants an answer of this class. 0; or the status after a
 * complaint. */
static int
ask(struct session *session, char class, int64_t wait_ms, const char *line)
{
	if (line != NULL && say(session, line, strlen(line)) != 0)
		return STATUS_TEMPORARY;
	int code = hear(session, wait_ms);
	if (code == 0)
		return STATUS_TEMPORARY;
	if (code / 100 == class - '0')
		return 0;
	fprintf(stderr, "lmtp-deliver: the server says: %s\n", session->text);
	return code / 100 == 5 ? STATUS_MISUSE : STATUS_TEMPORARY;
}

/* --- the message --- */

static int
put(struct session *session, const char *octets, size_t length)
{
	session->deadline_ms = deadline_after_ms(ANSWER_MS);
	if (output_put(&session->output, octets, length,
		    session->deadline_ms) == 0)
		return 0;
	return complain("the server", strerror(errno));
}

static int
send_content(struct session *session, uint64_t offset, uint64_t octets)
{
	char buffer[16384], wire[2 * sizeof buffer + 8];
	struct dots_encoder encoder;
	size_t consumed, produced;
	uint64_t done = 0;

	dots_encode_start(&encoder, DOTS_SMTP);
	while (done < octets) {
		uint64_t left = octets - done;
		ssize_t got = pread(0, buffer,
			left < sizeof buffer ? (size_t)left : sizeof buffer,
			(off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return complain("the message", "it cannot be read");
		dots_encode(&encoder, buffer, (size_t)got, &consumed, wire,
			sizeof wire, &produced);
		if (put(session, wire, produced) != 0)
			return STATUS_TEMPORARY;
		done += consumed;
	}
	produced = dots_encode_finish(&encoder, wire);
	return say(session, wire, produced);
}

/* Whether the message needs 8BITMIME; if it cannot be read, that is found later. */
static bool
is_8bit(uint64_t offset, uint64_t octets)
{
	char buffer[16384];
	ssize_t got;

	for (uint64_t done = 0; done < octets; done += (uint64_t)got) {
		got = pread(0, buffer, sizeof buffer, (off_t)(offset + done));
		if (got <= 0)
			break;
		for (ssize_t i = 0; i < got; i++)
			if ((unsigned char)buffer[i] >= 0x80)
				return true;
	}
	return false;
}

/* The whole conversation. The status. */
static int
converse(struct session *session, const char *sender, const char *recipient)
{
	char line[3000];
	uint64_t offset, octets;
	const char *host = command_variable("HOST");

	if (host == NULL || command_message(&offset, &octets) < 0)
		return STATUS_TEMPORARY;
	int status = ask(session, '2', ANSWER_MS, NULL);
	snprintf(line, sizeof line, "LHLO %s\r\n", host);
	if (status == 0)
		status = ask(session, '2', ANSWER_MS, line);
	snprintf(line, sizeof line, "MAIL FROM:<%s>%s\r\n", sender,
		session->has_8bit && is_8bit(offset, octets) ? " BODY=8BITMIME"
							     : "");
	if (status == 0)
		status = ask(session, '2', ANSWER_MS, line);
	snprintf(line, sizeof line, "RCPT TO:<%s>\r\n", recipient);
	if (status == 0)
		status = ask(session, '2', ANSWER_MS, line);
	if (status == 0)
		status = ask(session, '3', ANSWER_MS, "DATA\r\n");
	if (status == 0)
		status = send_content(session, offset, octets);
	if (status == 0)
		status = ask(session, '2', DOT_MS, NULL);
	if (status == 0)
		printf("lmtp-deliver: %s\n", session->text);
	/* nobody waits for the answer to this */
	(void)output_put(&session->output, "QUIT\r\n", 6, deadline_after_ms(0));
	(void)output_flush(&session->output, deadline_after_ms(0));
	return status;
}

/* Whether it can stand between the brackets of a command. */
static bool
is_path(const char *text, unsigned flags)
{
	struct path path;

	return address_mailbox_scan(
		       text, strlen(text), flags | ADDRESS_UTF8, &path) == 0;
}

int
main(int argc, char **argv)
{
	if (argc < 2 || argc > 3 || argv[1][0] == '-') {
		fputs("usage: lmtp-deliver PATH | HOST:PORT [recipient]\n",
			stderr);
		return STATUS_TEMPORARY;
	}
	struct session *session = calloc(1, sizeof *session);
	const char *sender = command_variable("SENDER");
	const char *recipient =
		argc == 3 ? argv[2] : command_variable("RECIPIENT");

	if (session == NULL || sender == NULL || recipient == NULL)
		return STATUS_TEMPORARY;
	if (strcmp(sender, "#@[]") == 0)
		sender = "";
	if (!is_path(sender, ADDRESS_NULL) ||
		!is_path(recipient, ADDRESS_NO_DOMAIN))
		return complain("an address", "it is none");
	signal(SIGPIPE, SIG_IGN);
	int fd = connect_place(argv[1]);
	if (fd < 0)
		return complain(argv[1], strerror(errno));
	line_start(&session->reader, fd);
	output_start(&session->output, fd);
	int status = converse(session, sender, recipient);
	close(fd);
	free(session);
	return status;
}
