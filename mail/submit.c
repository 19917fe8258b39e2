#include "mail/submit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include "lib/durable.h"

static char *
constant(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* The arguments, to be freed; they point into *composed. */
static char **
make_arguments(const char *program, const struct composed *composed)
{
	const char *at = composed->recipients.s;
	const char *end = at + composed->recipients.len;
	size_t count = 6, used = 0;

	for (; at < end; at += strlen(at) + 1)
		count++;
	char **arguments = calloc(count, sizeof(*arguments));
	if (arguments == NULL)
		return NULL;
	arguments[used++] = constant(program);
	arguments[used++] = constant("-i");
	if (*composed->sender.s != 0) {
		arguments[used++] = constant("-f");
		arguments[used++] = composed->sender.s;
	}
	arguments[used++] = constant("--");
	for (at = composed->recipients.s; at < end; at += strlen(at) + 1)
		arguments[used++] = constant(at);
	return arguments;
}

/* Starts the program with the pipe's end as its standard input. */
static pid_t
start(const char *program, char **arguments, int input)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t signals;
	pid_t child = -1;
	int error = ENOMEM;

	if (posix_spawn_file_actions_init(&actions) != 0)
		goto end;
	if (posix_spawnattr_init(&attributes) != 0)
		goto no_attributes;
	sigemptyset(&signals);
	sigaddset(&signals, SIGPIPE);
	error = posix_spawn_file_actions_adddup2(&actions, input, 0);
	if (error == 0)
		error = posix_spawnattr_setsigdefault(&attributes, &signals);
	if (error == 0)
		error = posix_spawnattr_setflags(
			&attributes, POSIX_SPAWN_SETSIGDEF);
	if (error == 0)
		error = posix_spawn(&child, program, &actions, &attributes,
			arguments, environ);
	posix_spawnattr_destroy(&attributes);
no_attributes:
	posix_spawn_file_actions_destroy(&actions);
end:
	errno = error;
	return error == 0 ? child : -1;
}

int
submit(const char *program, const struct composed *composed)
{
	char **arguments = make_arguments(program, composed);
	int pipes[2], how, error;
	pid_t child;

	if (arguments == NULL)
		return -1;
	if (pipe2(pipes, O_CLOEXEC) < 0) {
		free(arguments);
		return -1;
	}
	signal(SIGPIPE, SIG_IGN);
	child = start(program, arguments, pipes[0]);
	error = errno;
	close(pipes[0]);
	free(arguments);
	int is_written =
		child > 0 && durable_write_all(pipes[1], composed->message.s,
				     composed->message.len) == 0;
	close(pipes[1]);
	if (child < 0) {
		errno = error;
		return -1;
	}
	while (waitpid(child, &how, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	if (!WIFEXITED(how))
		return EX_TEMPFAIL;
	if (WEXITSTATUS(how) == 0 && !is_written)
		return EX_TEMPFAIL;
	return WEXITSTATUS(how);
}
