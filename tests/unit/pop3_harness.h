#ifndef TESTS_UNIT_POP3_HARNESS_H
#define TESTS_UNIT_POP3_HARNESS_H

/*
 * For tests of whole POP3 sessions: a home with a Maildir, and a session in a
 * child with the client's end of its connection.
 */

#include "pop3d/session.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/durable.h"
#include "pop3d/commands.h"
#include "pop3d/handover.h"

#define TEXT(literal) literal, sizeof literal - 1
#define FILES_MAX 4
#define ANSWER_ROOM (256 * 1024)
#define PATIENCE_MS 20000

struct file {
	const char *path; /* below the home; a folder if it ends in "/" */
	const char *text;
};

static inline int
remove_entry(
	const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static inline void
make_home(char home[static 64], int *at, const struct file *files)
{
	memcpy(home, "/tmp/test_pop3.XXXXXX", sizeof "/tmp/test_pop3.XXXXXX");
	assert_non_null(mkdtemp(home));
	*at = open(home, O_RDONLY | O_DIRECTORY);
	assert_true(*at >= 0);
	assert_int_equal(mkdirat(*at, "Maildir", 0700), 0);
	if (files[0].path == NULL || strcmp(files[0].path, "Maildir/new") != 0)
		assert_int_equal(mkdirat(*at, "Maildir/new", 0700), 0);
	assert_int_equal(mkdirat(*at, "Maildir/cur", 0700), 0);
	for (size_t file = 0; file < FILES_MAX && files[file].path != NULL;
		file++) {
		int fd = openat(*at, files[file].path,
			O_WRONLY | O_CREAT | O_EXCL, 0600);

		assert_true(fd >= 0);
		assert_int_equal(durable_write_all(fd, files[file].text,
					 strlen(files[file].text)),
			0);
		close(fd);
	}
}

static inline void
remove_home(const char *home, int at)
{
	close(at);
	nftw(home, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* A running session in a child. */
struct running {
	pid_t child;
	int client; /* the client's end */
	int login;  /* the login part's end */
};

static inline void
start_without_handover(struct running *running, const char *home)
{
	int connection[2], login[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, connection),
		0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, login), 0);
	running->child = fork();
	assert_true(running->child >= 0);
	if (running->child == 0) {
		struct account account = {
			.name = "ann@example.org", .maildir = "./Maildir/"};
		struct warden_request request = {.client = "192.0.2.1"};
		int null = open("/dev/null", O_WRONLY);

		memcpy(account.home, home, strlen(home) + 1);
		dup2(null, 2);
		close(connection[0]);
		close(login[0]);
		_exit(pop3_session(&account, &request, connection[1],
			connection[1], login[1]));
	}
	close(connection[1]);
	close(login[1]);
	running->client = connection[0];
	running->login = login[0];
}

static inline void
start_session_with(
	struct running *running, const char *home, unsigned takes_utf8)
{
	const struct pop3_handover handover = {
		.magic = POP3_HANDOVER_MAGIC, .takes_utf8 = takes_utf8};

	start_without_handover(running, home);
	assert_int_equal(write(running->login, &handover, sizeof handover),
		sizeof handover);
}

static inline void
start_session(struct running *running, const char *home)
{
	start_session_with(running, home, 0);
}

/* Waits for an answer octet by octet, so that none is taken too many. */
static inline size_t
read_until(int fd, char *answer, size_t have, const char *until)
{
	for (;;) {
		struct pollfd waiting = {.fd = fd, .events = POLLIN};

		answer[have] = '\0';
		if (until != NULL && have >= strlen(until) &&
			strcmp(answer + have - strlen(until), until) == 0)
			return have;
		assert_true(have + 1 < ANSWER_ROOM);
		assert_int_equal(poll(&waiting, 1, PATIENCE_MS), 1);
		ssize_t count = read(fd, answer + have,
			until != NULL ? 1 : ANSWER_ROOM - 1 - have);
		if (count <= 0)
			return have;
		have += (size_t)count;
	}
}

static inline void
send_octets(int fd, const char *octets, size_t length, size_t piece)
{
	for (size_t at = 0; at < length; at += piece) {
		size_t count = length - at < piece ? length - at : piece;

		/* The session may have ended before. */
		if (send(fd, octets + at, count, MSG_NOSIGNAL) < 0)
			return;
	}
}

static inline int
end_session(struct running *running)
{
	int status;

	close(running->client);
	assert_int_equal(waitpid(running->child, &status, 0), running->child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#endif
