/*
 * What somebody could do who has taken over smtpd or the session part of pop3d:
 * linked in place of the code that serves the client, it does what the client
 * asks and tells what came of it. All around it is the real program: its role,
 * its confinement, its place in the service.
 *
 * Commands, a line each; the answer is "0", an error number, or no answer and a
 * closed connection if the process was killed:
 *
 *	ping		nothing
 *	read PATH	open a file to read
 *	write PATH	open or create a file to write
 *	list PATH	open a folder
 *	unlink PATH	remove a file
 *	exec PATH	become another program
 *	fork		start a process
 *	inet		make a network socket
 *	setuid		become root
 *	ask PATH	connect to a service, write, wait: 0 if it answers
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/service.h"
#include "pop3d/session.h"
#include "smtpd/verbs.h"

static int
result_of(long result)
{
	return result >= 0 ? 0 : errno;
}

static int
ask(const char *path)
{
	char answer[4096] = {0};
	int fd = service_connect(path, SOCK_SEQPACKET, deadline_after_ms(5000));

	if (fd < 0)
		return errno;
	if (fcntl(fd, F_SETFL, 0) < 0 ||
		send(fd, answer, sizeof answer, MSG_NOSIGNAL) < 0)
		return errno;
	ssize_t got = recv(fd, answer, sizeof answer, 0);
	return got > 0 ? 0 : got == 0 ? ECONNRESET : errno;
}

static int
attempt(const char *command, const char *path)
{
	char name[] = "probe";
	char *arguments[] = {name, NULL}, *environment[] = {NULL};

	if (strcmp(command, "ping") == 0)
		return 0;
	if (strcmp(command, "read") == 0)
		return result_of(open(path, O_RDONLY));
	if (strcmp(command, "write") == 0)
		return result_of(open(path, O_WRONLY | O_CREAT, 0600));
	if (strcmp(command, "list") == 0)
		return result_of(open(path, O_RDONLY | O_DIRECTORY));
	if (strcmp(command, "unlink") == 0)
		return result_of(unlinkat(AT_FDCWD, path, 0));
	if (strcmp(command, "exec") == 0)
		return result_of(execve(path, arguments, environment));
	if (strcmp(command, "fork") == 0) {
		long pid = fork();

		if (pid == 0)
			_exit(0);
		return result_of(pid);
	}
	if (strcmp(command, "inet") == 0)
		return result_of(socket(AF_INET, SOCK_STREAM, 0));
	if (strcmp(command, "setuid") == 0)
		return result_of(syscall(SYS_setuid, 0));
	if (strcmp(command, "ask") == 0)
		return ask(path);
	return EINVAL;
}

static int
attempt_line(const char *line, size_t length)
{
	char text[1024];
	char *path;

	snprintf(text, sizeof text, "%.*s", (int)length, line);
	path = strchr(text, ' ');
	if (path != NULL)
		*path++ = 0;
	return attempt(text, path);
}

/* --- in smtpd --- */

struct reply
verbs_run(struct session *session, const char *line, size_t len)
{
	(void)session;
	return reply_make(250, "", "%d", attempt_line(line, len));
}

struct reply
verbs_refuse(struct session *session, const char *text)
{
	(void)session;
	return reply_make(500, "", "%s", text);
}

struct reply
verbs_refuse_bare(struct session *session, const char *line, size_t len)
{
	(void)line;
	(void)len;
	return verbs_refuse(session, "bare");
}

struct reply
verbs_submission_failed(const struct session *session, const char *at)
{
	(void)session;
	return reply_make(451, "", "%s", at);
}

bool
verbs_are(const char *line, size_t len)
{
	(void)line;
	(void)len;
	return false;
}


/* --- in the warden's child --- */

int
pop3_session(const struct account *account,
	const struct warden_request *request, int in, int out, int login)
{
	char line[1024];
	size_t length = 0;

	(void)account;
	(void)request;
	(void)login;
	dprintf(out, "+OK 0\r\n");
	while (length < sizeof line && read(in, line + length, 1) == 1) {
		if (line[length] == '\n') {
			dprintf(out, "+OK %d\r\n", attempt_line(line, length));
			length = 0;
		} else if (line[length] != '\r') {
			length++;
		}
	}
	return 0;
}
