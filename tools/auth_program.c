#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/durable.h"
#include "lib/log.h"
#include "tools/auth_check.h"

/* What the protocol allows on descriptor 3. */
#define WORDS_MAX 512
#define WORDS_FD 3
#define PROGRAM_WAIT_MS 30000
#define PROGRAM_PAUSE_MS 5
/* The password is one, and no answer to a challenge. */
#define METHOD_PLAIN 2
/* What the program goes on with after a right password. */
#define AFTERWARDS "/usr/bin/true"

/* In the new process: never returns. */
static void
become_program(const char *program, const char *client, int words)
{
	char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", remote[80];
	char name[256], afterwards[] = AFTERWARDS;
	char *arguments[] = {name, afterwards, NULL};
	char *environment[] = {path, remote, NULL};
	sigset_t none;

	snprintf(remote, sizeof remote, "TCPREMOTEIP=%s", client);
	snprintf(name, sizeof name, "%s", program);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setpgid(0, 0);
	/* Its own output goes to the log; 3 stays open in it, nothing else. */
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
		(words == WORDS_FD ? fcntl(words, F_SETFD, 0)
				   : dup2(words, WORDS_FD)) < 0)
		_exit(111);
	execve(program, arguments, environment);
	log_line("%s: %s", program, strerror(errno));
	_exit(111);
}

static enum auth_verdict
wait_for(const char *program, pid_t child)
{
	int64_t deadline_ms = deadline_after_ms(PROGRAM_WAIT_MS);
	int status;

	for (;;) {
		pid_t ended = waitpid(child, &status, WNOHANG);

		if (ended == child)
			break;
		if (ended < 0 && errno != EINTR)
			return AUTH_TEMPORARY;
		if (deadline_left_ms(deadline_ms) == 0) {
			log_line("%s: no end after %d s: killed", program,
				PROGRAM_WAIT_MS / 1000);
			kill(-child, SIGKILL);
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			return AUTH_TEMPORARY;
		}
		poll(NULL, 0, PROGRAM_PAUSE_MS);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return AUTH_YES;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
		return AUTH_NO;
	if (WIFEXITED(status))
		log_line("%s: ended with status %d", program,
			WEXITSTATUS(status));
	else
		log_line("%s: ended by signal %d", program, WTERMSIG(status));
	return AUTH_TEMPORARY;
}

enum auth_verdict
auth_program(const char *program, bool has_method, const char *name,
	const char *password, const char *client)
{
	char words[WORDS_MAX];
	int pipe_end[2];
	int length =
		has_method ? snprintf(words, sizeof words, "%s%c%s%c%c%c", name,
				     0, password, 0, 0, METHOD_PLAIN)
			   : snprintf(words, sizeof words, "%s%c%s%c%lld", name,
				     0, password, 0, (long long)time(NULL));

	/* The last NUL is snprintf's. */
	if (length < 0 || (size_t)length >= sizeof words)
		return AUTH_NO;
	if (pipe2(pipe_end, O_CLOEXEC) < 0)
		return AUTH_TEMPORARY;
	pid_t child = fork();
	if (child == 0)
		become_program(program, client, pipe_end[0]);
	close(pipe_end[0]);
	/* A pipe takes so few octets at once; SIGPIPE is ignored. */
	if (child > 0)
		(void)durable_write_all(pipe_end[1], words, (size_t)length + 1);
	close(pipe_end[1]);
	explicit_bzero(words, sizeof words);
	if (child < 0) {
		log_line("fork: %s", strerror(errno));
		return AUTH_TEMPORARY;
	}
	return wait_for(program, child);
}
