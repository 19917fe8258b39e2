/*
 * Sockets of services: mode and group from the start, one name over another,
 * names too long, and a backlog that is full. What a service waits for: signals,
 * children, connections, or nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/deadline.h"
#include "lib/service.h"

#define SOON_MS 30
#define LATE_MS 10000

struct place {
	char folder[64], path[80], temporary[90];
};

static int
place_make(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	snprintf(place->folder, sizeof place->folder, "/tmp/service.XXXXXX");
	if (mkdtemp(place->folder) == NULL)
		return -1;
	snprintf(place->path, sizeof place->path, "%s/name", place->folder);
	snprintf(place->temporary, sizeof place->temporary, "%s.new",
		place->path);
	*state = place;
	return 0;
}

static int
place_remove(void **state)
{
	struct place *place = *state;

	unlink(place->path);
	unlink(place->temporary);
	int result = rmdir(place->folder);
	free(place);
	return result;
}

static void
test_listen(void **state)
{
	static const int type[] = {SOCK_STREAM, SOCK_SEQPACKET};
	struct place *place = *state;
	struct stat st;

	for (int i = 0; i < 2; i++) {
		mode_t mask = umask(0), mode = i == 0 ? 0666 : 0660;
		int server = service_listen(
			place->path, type[i], mode, (gid_t)-1, 5);

		assert_true(server >= 0);
		assert_int_equal(umask(mask), 0); /* as it was */
		assert_int_equal(lstat(place->path, &st), 0);
		assert_true(S_ISSOCK(st.st_mode));
		assert_int_equal(st.st_mode & 07777, mode);
		assert_int_equal(access(place->temporary, F_OK), -1);
		assert_int_equal(fcntl(server, F_GETFD), FD_CLOEXEC);
		assert_true(fcntl(server, F_GETFL) & O_NONBLOCK);
		int client = service_connect(
			place->path, type[i], deadline_after_ms(LATE_MS));
		assert_true(client >= 0);
		assert_int_equal(fcntl(client, F_GETFD), FD_CLOEXEC);
		assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
		int peer = accept(server, NULL, NULL);
		assert_true(peer >= 0);
		assert_int_equal(write(client, "x", 1), 1);
		close(peer);
		close(client);
		close(server);
	}
}

/* A name that an earlier run left, or a half made one, is no hindrance. */
static void
test_again(void **state)
{
	struct place *place = *state;

	int first =
		service_listen(place->path, SOCK_STREAM, 0600, (gid_t)-1, 5);
	assert_true(first >= 0);
	close(first);
	assert_int_equal(symlink("/nowhere", place->temporary), 0);
	errno = 0;
	assert_int_equal(service_connect(place->path, SOCK_STREAM,
				 deadline_after_ms(LATE_MS)),
		-1);
	assert_int_equal(errno, ECONNREFUSED);
	int second =
		service_listen(place->path, SOCK_STREAM, 0600, (gid_t)-1, 5);
	assert_true(second >= 0);
	int client = service_connect(
		place->path, SOCK_STREAM, deadline_after_ms(LATE_MS));
	assert_true(client >= 0);
	close(client);
	close(second);
}

static void
test_group(void **state)
{
	struct place *place = *state;
	struct stat st;
	gid_t gid = geteuid() == 0 ? 12345 : getegid();

	int server = service_listen(place->path, SOCK_STREAM, 0660, gid, 5);
	assert_true(server >= 0);
	assert_int_equal(lstat(place->path, &st), 0);
	assert_int_equal(st.st_gid, gid);
	assert_int_equal(st.st_mode & 07777, 0660);
	close(server);
}

static void
test_failures(void **state)
{
	struct place *place = *state;
	char path[200];

	errno = 0;
	assert_int_equal(service_connect(place->path, SOCK_STREAM,
				 deadline_after_ms(LATE_MS)),
		-1);
	assert_int_equal(errno, ENOENT);
	snprintf(path, sizeof path, "%s/%0120d", place->folder, 1);
	assert_int_equal(
		service_listen(path, SOCK_STREAM, 0600, (gid_t)-1, 5), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(service_connect(path, SOCK_STREAM, 0), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	snprintf(path, sizeof path, "%s/none/name", place->folder);
	assert_int_equal(
		service_listen(path, SOCK_STREAM, 0600, (gid_t)-1, 5), -1);
	assert_int_equal(errno, ENOENT);
	/* A folder where the name should be: the temporary name goes again. */
	assert_int_equal(mkdir(place->path, 0700), 0);
	assert_int_equal(
		service_listen(place->path, SOCK_STREAM, 0600, (gid_t)-1, 5),
		-1);
	assert_int_equal(errno, EISDIR);
	assert_int_equal(access(place->temporary, F_OK), -1);
	assert_int_equal(rmdir(place->path), 0);
}

static void
test_full_backlog(void **state)
{
	struct place *place = *state;
	int client[8], clients = 0, one;

	int server =
		service_listen(place->path, SOCK_STREAM, 0600, (gid_t)-1, 1);
	assert_true(server >= 0);
	while (clients < 8) {
		one = service_connect(
			place->path, SOCK_STREAM, deadline_after_ms(SOON_MS));
		if (one < 0)
			break;
		client[clients++] = one;
	}
	assert_in_range(clients, 1, 7);
	assert_int_equal(errno, ETIMEDOUT);
	int peer = accept(server, NULL, NULL);
	assert_true(peer >= 0);
	one = service_connect(
		place->path, SOCK_STREAM, deadline_after_ms(LATE_MS));
	assert_true(one >= 0);
	close(one);
	close(peer);
	while (clients > 0)
		close(client[--clients]);
	close(server);
}

/* A socket of the suite below a home; without its group there is none. */
static void
test_suite_socket(void **state)
{
	struct place *place = *state;
	struct home home = {.is_private = true};
	char folder[80], path[HOME_NAME_MAX], why[300] = "";
	struct stat st;

	snprintf(home.path, sizeof home.path, "%s", place->folder);
	snprintf(folder, sizeof folder, "%s/socket", place->folder);
	assert_int_equal(
		service_listen_suite(&home, "name", 5, why, sizeof why), -1);
	assert_non_null(strstr(why, "/socket/name: "));
	assert_int_equal(mkdir(folder, 0700), 0);
	int server = service_listen_suite(&home, "name", 5, why, sizeof why);
	assert_true(server >= 0);
	home_path(&home, "socket/name", path);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	close(server);

	home.is_private = false;
	assert_int_equal(
		service_listen_suite(&home, "name", 5, why, sizeof why), -1);
	assert_non_null(strstr(why, "keep-suite"));
	gid_t gid = geteuid() == 0 ? 12345 : getegid();
	home.identity[home.identities++] = (struct home_identity){
		.name = "keep-suite", .id = gid, .is_group = true};
	server = service_listen_suite(&home, "name", 5, why, sizeof why);
	assert_true(server >= 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_gid, gid);
	close(server);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

/* A child that ends, or ends by SIGTERM once that is not blocked any more. */
static pid_t
start_child(bool is_unblocked)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (is_unblocked)
			service_unblock_signals();
		raise(SIGTERM);
		_exit(7);
	}
	return pid;
}

static void
test_wait(void **state)
{
	struct place *place = *state;
	sigset_t before;
	int status;

	assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &before), 0);
	int signals = service_signals();
	assert_true(signals >= 0);
	assert_int_equal(fcntl(signals, F_GETFD), FD_CLOEXEC);
	assert_int_equal(service_take_signals(signals), 0);
	int server =
		service_listen(place->path, SOCK_STREAM, 0600, (gid_t)-1, 5);
	assert_int_equal(service_wait(signals, server, SOON_MS), 0);
	assert_int_equal(raise(SIGTERM), 0);
	assert_int_equal(service_wait(signals, server, LATE_MS), SERVICE_STOP);
	assert_int_equal(service_wait(signals, server, 0), 0);

	for (int is_unblocked = 0; is_unblocked < 2; is_unblocked++) {
		pid_t pid = start_child(is_unblocked);

		assert_int_equal(
			service_wait(signals, -1, LATE_MS), SERVICE_CHILD);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WIFSIGNALED(status), is_unblocked);
	}
	int client = service_connect(
		place->path, SOCK_STREAM, deadline_after_ms(LATE_MS));
	assert_true(client >= 0);
	assert_int_equal(service_wait(signals, -1, SOON_MS), 0);
	assert_int_equal(raise(SIGTERM), 0);
	assert_int_equal(service_wait(signals, server, LATE_MS),
		SERVICE_STOP | SERVICE_CONNECTION);
	close(signals);
	close(client);
	close(server);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

#define IN_PLACE(test) \
	cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(test_listen),
		IN_PLACE(test_again),
		IN_PLACE(test_group),
		IN_PLACE(test_failures),
		IN_PLACE(test_full_backlog),
		IN_PLACE(test_suite_socket),
		IN_PLACE(test_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
