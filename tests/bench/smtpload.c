/*
 * smtpload: sends messages to an SMTP server as fast as it takes them, and says
 * how long that took.
 *
 *   smtpload HOST PORT SESSIONS MESSAGES PER-CONNECTION OCTETS FROM TO
 *            [RECIPIENTS [MODULUS]]
 *
 * SESSIONS threads share MESSAGES messages of OCTETS octets each; a connection
 * carries PER-CONNECTION of them; with 0, a connection says EHLO and QUIT, and
 * counts as a message. The envelope is pipelined without a question.
 * A message has RECIPIENTS (1); a % in TO stands for their number, from 0 on through
 * all messages, modulo MODULUS. Prints "accepted N seconds S rate R worst-ms W" and ends with 1 if any
 * message was not answered with 250.
 */

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct load {
	struct addrinfo *server;
	const char *from, *to;
	char *content; /* with CRLF line ends and the final dot */
	size_t content_octets;
	long per_connection, recipients, modulus;
	atomic_long left, next, accepted, refused, worst_us;
};

struct connection {
	int fd;
	size_t start, end;
	char buffer[8192];
};

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Reads one reply, all its lines. Returns its code, or -1. */
static int
reply_code(struct connection *c)
{
	for (;;) {
		char *line = c->buffer + c->start;
		char *end = memchr(line, '\n', c->end - c->start);

		if (end != NULL) {
			int last = end - line >= 4 ? line[3] != '-' : 1;
			int code = atoi(line);

			c->start = (size_t)(end + 1 - c->buffer);
			if (last && code >= 400)
				fprintf(stderr, "smtpload: %.*s\n",
					(int)(end - line), line);
			if (last)
				return code;
			continue;
		}
		if (c->start > 0) {
			memmove(c->buffer, line, c->end - c->start);
			c->end -= c->start;
			c->start = 0;
		}
		if (c->end == sizeof c->buffer)
			return -1;
		ssize_t got = read(
			c->fd, c->buffer + c->end, sizeof c->buffer - c->end);
		if (got <= 0)
			return -1;
		c->end += (size_t)got;
	}
}

static int
send_all(int fd, const char *octets, size_t length)
{
	while (length > 0) {
		ssize_t put = send(fd, octets, length, MSG_NOSIGNAL);

		if (put <= 0)
			return -1;
		octets += put;
		length -= (size_t)put;
	}
	return 0;
}

static int
open_session(struct load *load, struct connection *c)
{
	c->start = c->end = 0;
	c->fd = socket(load->server->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -1;
	if (connect(c->fd, load->server->ai_addr, load->server->ai_addrlen) <
			0 ||
		reply_code(c) != 220 ||
		send_all(c->fd, "EHLO load.test\r\n", 16) < 0 ||
		reply_code(c) != 250) {
		close(c->fd);
		return -1;
	}
	return 0;
}

/* Sends MAIL, all RCPT and DATA at once, and reads the answers. */
static int
send_envelope(struct load *load, struct connection *c)
{
	char *commands = NULL;
	size_t length = 0;
	FILE *text = open_memstream(&commands, &length);
	const char *hole = strchr(load->to, '%');

	if (text == NULL)
		return -1;
	fprintf(text, "MAIL FROM:<%s>\r\n", load->from);
	for (long n = 0; n < load->recipients; n++)
		if (hole == NULL)
			fprintf(text, "RCPT TO:<%s>\r\n", load->to);
		else
			fprintf(text, "RCPT TO:<%.*s%ld%s>\r\n",
				(int)(hole - load->to), load->to,
				atomic_fetch_add(&load->next, 1) %
					load->modulus,
				hole + 1);
	fputs("DATA\r\n", text);
	int sent = fclose(text) == 0 ? send_all(c->fd, commands, length) : -1;
	free(commands);
	for (long n = 0; n <= load->recipients && sent == 0; n++)
		sent = reply_code(c) == 250 ? 0 : -1;
	return sent == 0 && reply_code(c) == 354 ? 0 : -1;
}

static int
send_message(struct load *load, struct connection *c)
{
	double began = now_s();

	if (send_envelope(load, c) < 0 ||
		send_all(c->fd, load->content, load->content_octets) < 0 ||
		reply_code(c) != 250)
		return -1;
	long took = (long)((now_s() - began) * 1e6);
	long worst = load->worst_us;
	while (took > worst &&
		!atomic_compare_exchange_weak(&load->worst_us, &worst, took))
		continue;
	return 0;
}

/* Says EHLO and QUIT, and waits for the answers. */
static void
greet(struct load *load, struct connection *c)
{
	if (open_session(load, c) < 0) {
		load->refused++;
		return;
	}
	if (send_all(c->fd, "QUIT\r\n", 6) == 0 && reply_code(c) == 221)
		load->accepted++;
	else
		load->refused++;
	close(c->fd);
}

static void *
session(void *argument)
{
	struct load *load = argument;
	struct connection c;

	while (load->per_connection == 0 &&
		atomic_fetch_sub(&load->left, 1) > 0)
		greet(load, &c);
	while (load->left > 0) {
		if (open_session(load, &c) < 0) {
			if (atomic_fetch_sub(&load->left, 1) > 0)
				load->refused++;
			continue;
		}
		for (long n = 0; n < load->per_connection; n++) {
			if (atomic_fetch_sub(&load->left, 1) <= 0)
				break;
			if (send_message(load, &c) < 0) {
				load->refused++;
				break;
			}
			load->accepted++;
		}
		(void)send_all(c.fd, "QUIT\r\n", 6);
		shutdown(c.fd, SHUT_WR);
		(void)reply_code(&c);
		close(c.fd);
	}
	return NULL;
}

static char *
make_content(size_t octets, size_t *length)
{
	static const char head[] = "From: load@load.test\r\nSubject: load\r\n"
				   "Message-Id: <load@load.test>\r\n\r\n";
	char *content = malloc(octets + 100);
	size_t at = sizeof head - 1;

	if (content == NULL)
		return NULL;
	memcpy(content, head, at);
	while (at < octets) {
		size_t line = octets - at < 72 ? octets - at : 72;

		memset(content + at, 'x', line);
		at += line;
		memcpy(content + at, "\r\n", 2);
		at += 2;
	}
	memcpy(content + at, ".\r\n", 3);
	*length = at + 3;
	return content;
}

int
main(int argc, char **argv)
{
	static struct load load;
	pthread_t thread[1000];
	struct addrinfo want = {.ai_socktype = SOCK_STREAM};

	if (argc < 9 || argc > 11) {
		fprintf(stderr, "usage: smtpload HOST PORT SESSIONS MESSAGES "
				"PER-CONNECTION OCTETS FROM TO "
				"[RECIPIENTS [MODULUS]]\n");
		return 100;
	}
	long sessions = atol(argv[3]);
	long messages = atol(argv[4]);
	load.per_connection = atol(argv[5]);
	load.content =
		make_content((size_t)atol(argv[6]), &load.content_octets);
	load.from = argv[7];
	load.to = argv[8];
	load.recipients = argc > 9 ? atol(argv[9]) : 1;
	load.modulus = argc > 10 ? atol(argv[10]) : 1000000;
	load.left = messages;
	if (sessions < 1 || sessions > 1000 || load.per_connection < 0 ||
		load.recipients < 1 || load.modulus < 1 ||
		load.content == NULL ||
		getaddrinfo(argv[1], argv[2], &want, &load.server) != 0) {
		fprintf(stderr, "smtpload: an argument is wrong\n");
		return 100;
	}
	double began = now_s();
	for (long n = 0; n < sessions; n++)
		if (pthread_create(&thread[n], NULL, session, &load) != 0)
			return 111;
	for (long n = 0; n < sessions; n++)
		pthread_join(thread[n], NULL);
	double took = now_s() - began;
	printf("accepted %ld seconds %.3f rate %.1f worst-ms %.1f\n",
		(long)load.accepted, took, load.accepted / took,
		load.worst_us / 1e3);
	freeaddrinfo(load.server);
	free(load.content);
	return load.accepted == messages ? 0 : 1;
}
