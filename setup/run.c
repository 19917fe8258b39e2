#include "setup/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/deadline.h"

/* A pipe's parts: what we read of it, and how much. */
struct intake {
	int fd;
	char *into;
	size_t room, used;
};

/* The program's three pipes; [0] is read, [1] is written. */
struct pipes {
	int input[2], output[2], errors[2];
};

static void
close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
	pair[0] = pair[1] = -1;
}

static int
open_pipes(struct pipes *pipes)
{
	*pipes = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
	if (pipe2(pipes->input, O_CLOEXEC) == 0 &&
		pipe2(pipes->output, O_CLOEXEC) == 0 &&
		pipe2(pipes->errors, O_CLOEXEC) == 0)
		return 0;
	close_pair(pipes->input);
	close_pair(pipes->output);
	close_pair(pipes->errors);
	return -1;
}

static void
become(char *const argv[], const struct pipes *pipes)
{
	signal(SIGPIPE, SIG_DFL);
	if (dup2(pipes->input[0], 0) < 0 || dup2(pipes->output[1], 1) < 0 ||
		dup2(pipes->errors[1], 2) < 0)
		_exit(111);
	execvp(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(111);
}

/* Takes what is there. 0 at the end of it. */
static int
take(struct intake *intake)
{
	char spare[4096];
	size_t room = intake->room - intake->used;
	ssize_t count =
		room > 0 ? read(intake->fd, intake->into + intake->used, room)
			 : read(intake->fd, spare, sizeof spare);

	if (count < 0)
		return errno == EINTR || errno == EAGAIN;
	if (room > 0)
		intake->used += (size_t)count;
	return count > 0;
}

/* Writes the input and reads both outputs to their ends. -1 at the deadline. */
static int
carry(int to, const char *input, struct intake intake[2], int64_t deadline_ms)
{
	size_t left = strlen(input);
	struct pollfd item[3] = {{to, POLLOUT, 0}, {intake[0].fd, POLLIN, 0},
		{intake[1].fd, POLLIN, 0}};

	while (item[1].fd >= 0 || item[2].fd >= 0) {
		if (item[0].fd >= 0 && left == 0) {
			close(to);
			item[0].fd = -1;
		}
		int ready = poll(item, 3, deadline_left_ms(deadline_ms));
		if (ready == 0 || (ready < 0 && errno != EINTR)) {
			if (item[0].fd >= 0)
				close(to);
			return -1;
		}
		if (ready < 0)
			continue;
		if (item[0].fd >= 0 && item[0].revents != 0) {
			ssize_t count = write(to, input, left);

			if (count > 0) {
				input += count;
				left -= (size_t)count;
			} else if (errno != EINTR && errno != EAGAIN) {
				left = 0;
			}
		}
		for (int i = 0; i < 2; i++)
			if (item[i + 1].fd >= 0 && item[i + 1].revents != 0 &&
				!take(&intake[i]))
				item[i + 1].fd = -1;
	}
	if (item[0].fd >= 0)
		close(to);
	return 0;
}

static int
end(struct run *run, pid_t child, int in_time, const char *name)
{
	int status;

	if (!in_time)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	run->said[strcspn(run->said, "\n")] = '\0';
	if (in_time && WIFEXITED(status))
		run->status = WEXITSTATUS(status);
	if (!in_time)
		snprintf(run->said, sizeof run->said,
			"%s did not end in time, and was ended", name);
	else if (run->status < 0)
		snprintf(run->said, sizeof run->said, "%s: ended by signal %d",
			name, WTERMSIG(status));
	else if (run->status > 0 && run->said[0] == '\0')
		snprintf(run->said, sizeof run->said, "%s ended with status %d",
			name, run->status);
	return run->status == 0 ? 0 : -1;
}

int
run_program(struct run *run, char *const argv[], const char *input,
	int64_t deadline_ms)
{
	struct pipes pipes;

	run->status = -1;
	run->output[0] = run->said[0] = '\0';
	if (open_pipes(&pipes) < 0) {
		snprintf(run->said, sizeof run->said, "no pipe: %s",
			strerror(errno));
		return -1;
	}
	pid_t child = fork();
	if (child == 0)
		become(argv, &pipes);
	if (child < 0) {
		snprintf(run->said, sizeof run->said, "no process: %s",
			strerror(errno));
		close_pair(pipes.input);
		close_pair(pipes.output);
		close_pair(pipes.errors);
		return -1;
	}
	close(pipes.input[0]);
	close(pipes.output[1]);
	close(pipes.errors[1]);
	struct intake intake[2] = {
		{pipes.output[0], run->output, RUN_OUTPUT_MAX, 0},
		{pipes.errors[0], run->said, sizeof run->said - 1, 0}};
	(void)fcntl(pipes.input[1], F_SETFL, O_NONBLOCK);
	int in_time = carry(pipes.input[1], input, intake, deadline_ms) == 0;
	close(pipes.output[0]);
	close(pipes.errors[0]);
	run->output[intake[0].used] = '\0';
	run->said[intake[1].used] = '\0';
	return end(run, child, in_time, argv[0]);
}
