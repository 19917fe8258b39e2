#ifndef TESTS_UNIT_CLIENT_SCENE_H
#define TESTS_UNIT_CLIENT_SCENE_H

/*
 * The SMTP client against a server that follows a script: lines that begin with
 * ">" it must receive, those with "<" it sends; "-" nothing may be waiting; "!"
 * it closes; "$" the client must close; "x" the same, whatever it has sent.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "remote/client.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define RECIPIENTS_MAX 120

/* One received line must be the script's, with CRLF. Returns whether. */
static inline int
expect_line(int fd, const char *text, size_t len)
{
	char octet;
	size_t i;

	for (i = 0; i < len + 2; i++) {
		char want = i < len ? text[i] : i == len ? '\r' : '\n';

		if (read(fd, &octet, 1) != 1 || octet != want)
			return 0;
	}
	return 1;
}

static inline int
is_silent(int fd)
{
	struct pollfd item = {.fd = fd, .events = POLLIN};

	return poll(&item, 1, 30) == 0;
}

static inline int
follow_step(int fd, const char *step, size_t len)
{
	struct pollfd gone = {.fd = fd, .events = 0};
	char octet;

	switch (step[0]) {
	case '>':
		return expect_line(fd, step + 1, len - 1);
	case '<':
		return write(fd, step + 1, len - 1) == (ssize_t)len - 1 &&
		       write(fd, "\r\n", 2) == 2;
	case '-':
		return is_silent(fd);
	case '!':
		return shutdown(fd, SHUT_RDWR) == 0;
	case 'x':
		return poll(&gone, 1, 20000) == 1;
	case '$':
		return read(fd, &octet, 1) == 0;
	default:
		return 0;
	}
}

/* The server: never returns. */
static inline void
follow(int fd, const char *script)
{
	const char *end;

	alarm(30);
	for (; *script != '\0'; script = end + 1) {
		end = strchr(script, '\n');
		if (end == NULL)
			_exit(2);
		if (!follow_step(fd, script, (size_t)(end - script))) {
			fprintf(stderr, "# at: %.*s\n", (int)(end - script),
				script);
			_exit(1);
		}
	}
	_exit(0);
}

struct told {
	char letter[RECIPIENTS_MAX + 1];
	char text[RECIPIENTS_MAX][OUTCOME_TEXT_MAX + 1];
};

static inline void
take_result(void *context, size_t index, enum outcome outcome, const char *text)
{
	struct told *told = context;

	assert_true(index < RECIPIENTS_MAX);
	assert_int_equal('T', told->letter[index]);
	told->letter[index] = outcome == OUTCOME_RELAYED       ? 'R'
			      : outcome == OUTCOME_RELAYED_DSN ? 'N'
			      : outcome == OUTCOME_FAILED      ? 'F'
			      : outcome == OUTCOME_DEFERRED    ? 'D'
							       : '?';
	assert_true(strlen(text) <= OUTCOME_TEXT_MAX);
	memcpy(told->text[index], text, strlen(text) + 1);
}

/* Everything of one conversation. */
struct scene {
	struct client client;
	struct client_message message;
	struct client_recipient recipient[RECIPIENTS_MAX];
	char address[RECIPIENTS_MAX][32];
	struct told told;
	int fd;
	pid_t child;
};

static inline struct scene *
open_scene(const char *script, size_t recipients, const char *content)
{
	static const struct client_timeouts timeouts = {
		1000, 400, 3000, 3000, 3000, 3000, 400};
	struct scene *scene = calloc(1, sizeof *scene);
	int pair[2];
	size_t i;

	assert_non_null(scene);
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	scene->child = fork();
	assert_true(scene->child >= 0);
	if (scene->child == 0) {
		close(pair[0]);
		follow(pair[1], script);
	}
	close(pair[1]);
	scene->fd = pair[0];
	for (i = 0; i < recipients; i++) {
		snprintf(scene->address[i], sizeof scene->address[i],
			"r%zu@y.test", i);
		scene->recipient[i].address = scene->address[i];
		scene->told.letter[i] = 'T';
	}
	scene->message = (struct client_message){.reverse_path = "s@x.test",
		.recipient = scene->recipient,
		.recipients = recipients,
		.result = take_result,
		.context = &scene->told,
		.offset = 3,
		.octets = strlen(content)};
	scene->message.content_fd = memfd_create("content", MFD_CLOEXEC);
	assert_int_equal(3, write(scene->message.content_fd, "no\n", 3));
	assert_int_equal(strlen(content),
		write(scene->message.content_fd, content, strlen(content)));
	client_start(
		&scene->client, scene->fd, "mx.test", "192.0.2.1", &timeouts);
	return scene;
}

/* Ends the conversation; the server must have seen its whole script. */
static inline void
close_scene(struct scene *scene, const char *name)
{
	int status;

	close(scene->fd);
	close(scene->message.content_fd);
	assert_int_equal(scene->child, waitpid(scene->child, &status, 0));
	if (status != 0)
		fail_msg("%s: the script was not followed", name);
	free(scene);
}

#endif
