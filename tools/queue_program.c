#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/durable.h"
#include "lib/escape.h"
#include "tools/queue_program.h"

#define REASON_FD 6
#define STARTS_NOT 120

int
queue_program_file(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : memfd_create("message", MFD_CLOEXEC);
}

/* F sender NUL, T recipient NUL …, NUL. */
static int
make_envelope(const struct envelope *envelope)
{
	int fd = memfd_create("envelope", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	FILE *file = fdopen(dup(fd), "w");
	if (file == NULL) {
		close(fd);
		return -1;
	}
	fprintf(file, "F%s%c", envelope->reverse_path, 0);
	for (uint32_t i = 0; i < envelope->recipients; i++)
		fprintf(file, "T%s%c", envelope->recipient[i].address, 0);
	fputc(0, file);
	if (fclose(file) != 0 || lseek(fd, 0, SEEK_SET) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static _Noreturn void
become_program(const char *program, const char *home, int message, int envelope,
	int reason)
{
	char name[4096];
	char *words[] = {name, NULL};

	snprintf(name, sizeof name, "%s", program);
	/* above 6 first, so that no dup2 overwrites what is still needed */
	message = fcntl(message, F_DUPFD_CLOEXEC, REASON_FD + 1);
	envelope = fcntl(envelope, F_DUPFD_CLOEXEC, REASON_FD + 1);
	reason = fcntl(reason, F_DUPFD_CLOEXEC, REASON_FD + 1);
	if (dup2(message, 0) < 0 || dup2(envelope, 1) < 0 ||
		dup2(reason, REASON_FD) < 0 || chdir(home) < 0 ||
		setenv("ERROR_FD", "6", 1) < 0 || unsetenv("KEEPMAIL_NEXT") < 0)
		_exit(STARTS_NOT);
	signal(SIGPIPE, SIG_DFL);
	execv(name, words);
	_exit(STARTS_NOT);
}

/* D or Z, and a text. */
static enum submit_code
take_reason(int reason, char text[SUBMIT_TEXT_MAX + 1])
{
	char line[SUBMIT_TEXT_MAX];
	ssize_t length = pread(reason, line, sizeof line, 0);

	if (length < 2 || (line[0] != 'D' && line[0] != 'Z')) {
		snprintf(text, SUBMIT_TEXT_MAX + 1, "no reason was given");
		return SUBMIT_DEFERRED;
	}
	const char *newline = memchr(line, '\n', (size_t)length);
	if (newline != NULL)
		length = newline - line;
	escape_line(text, SUBMIT_TEXT_MAX + 1, line + 1, (size_t)length - 1,
		ESCAPE_MASK);
	return line[0] == 'D' ? SUBMIT_POLICY : SUBMIT_DEFERRED;
}

static enum submit_code
judge(const char *program, int status, int reason,
	char text[SUBMIT_TEXT_MAX + 1])
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (code == 0)
		return SUBMIT_ACCEPTED;
	if (code == 82 || code == 88)
		return take_reason(reason, text);
	if (code < 0)
		snprintf(text, SUBMIT_TEXT_MAX + 1, "%.150s died of signal %d",
			program, WTERMSIG(status));
	else
		snprintf(text, SUBMIT_TEXT_MAX + 1,
			code == STARTS_NOT ? "%.150s cannot be run (%d)"
					   : "%.150s ended with status %d",
			program, code);
	if (code == SUBMIT_ADDRESS)
		return SUBMIT_ADDRESS;
	return submit_code_is_permanent((enum submit_code)code)
		       ? SUBMIT_POLICY
		       : SUBMIT_DEFERRED;
}

enum submit_code
queue_program_run(const char *program, const char *home, int message,
	const struct envelope *envelope, char text[SUBMIT_TEXT_MAX + 1])
{
	enum submit_code code = SUBMIT_MEMORY;
	int status, records = make_envelope(envelope);
	int reason = memfd_create("reason", MFD_CLOEXEC);
	pid_t pid = -1;

	signal(SIGCHLD, SIG_DFL); /* else the end would be lost */
	if (records >= 0 && reason >= 0 && lseek(message, 0, SEEK_SET) == 0)
		pid = fork();
	if (pid == 0)
		become_program(program, home, message, records, reason);
	if (pid > 0) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		code = judge(program, status, reason, text);
	} else {
		snprintf(text, SUBMIT_TEXT_MAX + 1, "cannot start %.150s: %s",
			program, strerror(errno));
	}
	if (records >= 0)
		close(records);
	if (reason >= 0)
		close(reason);
	return code;
}
