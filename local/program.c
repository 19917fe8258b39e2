#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/durable.h"
#include "lib/escape.h"
#include "local/program.h"

/* Content up to here is given as a sealed file in memory, in octets. */
#define MEMORY_MAX (16 * 1024 * 1024)
#define COPY_SIZE 65536
/* How often a child is looked after where the kernel has no pidfd. */
#define LOOK_AGAIN_MS 50
/* Reads in a row, before the clock is looked at again: more than a pipe holds. */
#define GATHER_TURNS 64

/* What the parent holds while the command runs. */
struct run {
	pid_t pid;
	int process; /* pidfd, or -1 */
	int output;  /* read end, non-blocking; -1 once it has ended */
	char *text;
	size_t length;
	uint64_t written; /* octets of output in all */
	int status;
};

static int
copy_content(const struct program_call *call, int into)
{
	char buffer[COPY_SIZE];
	uint64_t done = 0;

	while (done < call->octets) {
		uint64_t left = call->octets - done;
		ssize_t got = pread(call->content, buffer,
			left < COPY_SIZE ? (size_t)left : COPY_SIZE,
			(off_t)(call->offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EIO; /* the message is shorter than promised */
		if (got <= 0)
			return -1;
		if (durable_write_all(into, buffer, (size_t)got) < 0)
			return -1;
		done += (uint64_t)got;
	}
	return lseek(into, 0, SEEK_SET) < 0 ? -1 : 0;
}

/* Makes the command's own copy, so that it can neither alter the message nor move
 * a position that is shared. Returns the descriptor or -1 with errno. */
static int
make_input(const struct program_call *call)
{
	bool in_memory = call->octets <= MEMORY_MAX;
	int fd;

	if (in_memory) {
		fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	} else {
		fd = openat(
			call->home, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0)
			fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	}
	if (fd < 0)
		return -1;
	if (copy_content(call, fd) < 0 ||
		(in_memory &&
			fcntl(fd, F_ADD_SEALS,
				F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
					F_SEAL_SEAL) < 0)) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* In the child: says why on the output and leaves. */
static _Noreturn void
give_up(const char *what)
{
	dprintf(2, "%s: %s\n", what, strerror(errno));
	_exit(111);
}

/* In the child: what it may use of a resource from now on; 0: what its parent may.
 */
static void
limit(int resource, int64_t most)
{
	struct rlimit now;

	if (most == 0)
		return;
	if (getrlimit(resource, &now) < 0)
		give_up("cannot limit the command");
	if (now.rlim_max > (rlim_t)most)
		now.rlim_max = (rlim_t)most;
	if (now.rlim_cur > now.rlim_max)
		now.rlim_cur = now.rlim_max;
	if (setrlimit(resource, &now) < 0)
		give_up("cannot limit the command");
}

/* In the child: the signals, the descriptors and the folder that the command
 * finds. What the parent was handed must not reach it. */
static _Noreturn void
become_command(const struct program_call *call, int input, int output)
{
	char shell[] = "sh", option[] = "-c";
	char *arguments[] = {shell, option, NULL, NULL};
	sigset_t none;

	setsid();
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* above 2 first, so that no dup2 overwrites what is still needed */
	input = fcntl(input, F_DUPFD_CLOEXEC, 3);
	output = fcntl(output, F_DUPFD_CLOEXEC, 3);
	int home = fcntl(call->home, F_DUPFD_CLOEXEC, 3);
	if (dup2(output, 1) < 0 || dup2(output, 2) < 0)
		_exit(111);
	if (dup2(input, 0) < 0)
		give_up("cannot give the message to the command");
	if (fchdir(home) < 0)
		give_up("cannot change to the home folder");
	if (close_range(3, ~0U, 0) < 0)
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
	umask(077);
	/* what it leaves when it crashes is not for the home */
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	arguments[2] = strdup(call->command);
	limit(RLIMIT_NPROC, call->processes);
	limit(RLIMIT_AS, call->memory);
	if (arguments[2] != NULL)
		execve("/bin/sh", arguments, call->environment);
	give_up("cannot run /bin/sh");
}

/* Starts the command. 0, or -1 with errno. */
static int
start(struct run *run, const struct program_call *call)
{
	int ends[2];
	int input = make_input(call);

	signal(SIGCHLD, SIG_DFL); /* else the end of the child would be lost */
	if (input < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		goto no_pipe;
	run->pid = fork();
	if (run->pid < 0)
		goto no_child;
	if (run->pid == 0)
		become_command(call, input, ends[1]);
	close(input);
	close(ends[1]);
	run->output = ends[0];
	(void)fcntl(run->output, F_SETFL, O_NONBLOCK);
	run->process = pidfd_open(run->pid, 0);
	return 0;

no_child:
	close(ends[0]);
	close(ends[1]);
no_pipe:
	close(input);
	return -1;
}

/* Takes what output is there; closes the pipe at its end. */
static void
gather(struct run *run)
{
	char buffer[4096];

	for (int turn = 0; turn < GATHER_TURNS && run->output >= 0; turn++) {
		ssize_t got = read(run->output, buffer, sizeof buffer);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			close(run->output);
			run->output = -1;
			return;
		}
		run->written += (uint64_t)got;
		size_t room = PROGRAM_OUTPUT_MAX - run->length;
		size_t take = (size_t)got < room ? (size_t)got : room;
		memcpy(run->text + run->length, buffer, take);
		run->length += take;
		if ((size_t)got < sizeof buffer)
			return;
	}
}

/* Waits for the end of the command. Returns 1, or 0 if its time was over first, or
 * it wrote too much. */
static int
wait_for_end(struct run *run, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd wait[2] = {
			{.fd = run->output, .events = POLLIN},
			{.fd = run->process, .events = POLLIN},
		};
		int left = deadline_left_ms(deadline_ms);

		if (run->process < 0 && (left < 0 || left > LOOK_AGAIN_MS))
			(void)poll(wait, 2, LOOK_AGAIN_MS);
		else
			(void)poll(wait, 2, left);
		gather(run);
		pid_t ended = waitpid(run->pid, &run->status, WNOHANG);
		if (ended == run->pid) {
			gather(run);
			return 1;
		}
		if (deadline_left_ms(deadline_ms) == 0 ||
			run->written > PROGRAM_FLOOD)
			return 0;
	}
}

static void
kill_group(struct run *run)
{
	(void)kill(-run->pid, SIGKILL);
	(void)kill(run->pid, SIGKILL);
	while (waitpid(run->pid, &run->status, 0) < 0 && errno == EINTR)
		;
	gather(run);
}

static enum program_result
judge(int status, char *why, size_t size)
{
	if (!WIFEXITED(status)) {
		snprintf(why, size, "the command crashed (signal %d)",
			WIFSIGNALED(status) ? WTERMSIG(status) : 0);
		return PROGRAM_TEMPORARY;
	}
	int code = WEXITSTATUS(status);
	switch (code) {
	case 0:
		return PROGRAM_DONE;
	case 99:
		return PROGRAM_STOP;
	case 64:
	case 65:
	case 70:
	case 76:
	case 77:
	case 78:
	case 100:
	case 112:
		snprintf(why, size, "the command refused the message (exit %d)",
			code);
		return PROGRAM_FAILED;
	default:
		snprintf(why, size, "the command failed for now (exit %d)",
			code);
		return PROGRAM_TEMPORARY;
	}
}

/* Puts the output on one line: white space of any kind is one space. */
static void
show_output(char output[PROGRAM_OUTPUT_MAX + 1], const char *text, size_t len)
{
	char line[PROGRAM_OUTPUT_MAX];
	size_t length = 0;

	for (size_t i = 0; i < len; i++) {
		bool space =
			text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r');

		if (!space)
			line[length++] = text[i];
		else if (length > 0 && line[length - 1] != ' ')
			line[length++] = ' ';
	}
	while (length > 0 && line[length - 1] == ' ')
		length--;
	escape_line(output, PROGRAM_OUTPUT_MAX + 1, line, length, ESCAPE_MASK);
}

enum program_result
program_run(const struct program_call *call, char *why, size_t why_size,
	char output[PROGRAM_OUTPUT_MAX + 1])
{
	char text[PROGRAM_OUTPUT_MAX];
	struct run run = {.process = -1, .output = -1, .text = text};
	enum program_result result;

	why[0] = output[0] = 0;
	int64_t deadline_ms = deadline_after_ms(call->limit_ms);
	if (start(&run, call) < 0) {
		snprintf(why, why_size, "cannot start the command: %s",
			strerror(errno));
		return PROGRAM_TEMPORARY;
	}
	if (wait_for_end(&run, deadline_ms)) {
		result = judge(run.status, why, why_size);
	} else {
		kill_group(&run);
		result = PROGRAM_TEMPORARY;
		if (run.written > PROGRAM_FLOOD)
			snprintf(why, why_size,
				"the command wrote more than %d octets",
				PROGRAM_FLOOD);
		else
			snprintf(why, why_size,
				"the command did not end within %lld seconds",
				(long long)(call->limit_ms / 1000));
	}
	if (run.output >= 0)
		close(run.output);
	if (run.process >= 0)
		close(run.process);
	show_output(output, text, run.length);
	return result;
}
