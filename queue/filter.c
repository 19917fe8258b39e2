/*
 * queue-filter is a way into the queue with programs of the administrator's in it:
 * it takes submissions on socket/filter as queue-inject does on socket/submit,
 * runs the programs of control/filters over each, and submits what comes out.
 *
 * Runs as _keep-filter, which nothing else belongs to; so do the programs.
 * Is handed the listening socket that it makes as root before it gives root up.
 * Promises that a message goes on only when every program has ended with 0; one
 * that dies, hangs or cannot be started defers it. A submitter gets an id only
 * from queue-inject, when the message is durable.
 * Never writes to the queue, and runs no program but those of control/filters.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/descriptors.h"
#include "lib/home.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "queue/filter_serve.h"
#include "queue/submit.h"

#define CHILDREN_MAX 2000
#define BACKLOG 1000
/* How long nothing is accepted after there were no descriptors or no memory for
 * it, in milliseconds. */
#define REST_MS 200
/* smtpd waits for 300 seconds. */
#define TIMEOUT_MAX 280

static const struct role role = {
	.program = "queue-filter",
	.user = "_keep-filter",
	.group = "_keep-filter",
	.calls = CALLS_ANY,
	.memory_octets = UINT64_C(2) * 1024 * 1024 * 1024,
	.descriptors = 256,
};

struct filter_settings {
	char *me;
	struct setting_list filters;
	int64_t children, timeout_s;
};

static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, offsetof(struct filter_settings, me),
		"this host's name"},
	{"filters", SETTING_LIST, NULL, 0, 0,
		offsetof(struct filter_settings, filters),
		"programs, each with its arguments on a line, that see every "
		"message in this order"},
	{"concurrencyfilter", SETTING_NUMBER, "100", 1, CHILDREN_MAX,
		offsetof(struct filter_settings, children),
		"submissions at one time"},
	{"filtertimeout", SETTING_NUMBER, "240", 1, TIMEOUT_MAX,
		offsetof(struct filter_settings, timeout_s),
		"seconds that all filters together may take for a message"},
};

struct server {
	struct home home;
	struct filter_settings settings;
	struct filter_program program[FILTERS_MAX];
	size_t programs;
	char queue_submit[HOME_NAME_MAX]; /* the program's path */
	int listener, signals, folder;
	unsigned children;
};

/* --- settings --- */

/* Cuts a line into words, in place. 0, or -1 if there are too many. */
static int
cut_words(struct filter_program *program, char *line)
{
	char *rest = line;
	size_t count = 0;

	for (char *word; (word = strsep(&rest, " \t")) != NULL;) {
		if (*word == 0)
			continue;
		if (count == FILTER_WORDS_MAX)
			return -1;
		program->words[count++] = word;
	}
	program->words[count] = NULL;
	return 0;
}

static int
take_filters(struct server *server, char *why, size_t size)
{
	struct setting_list *list = &server->settings.filters;

	for (size_t i = 0; i < list->count; i++) {
		struct filter_program *program =
			&server->program[server->programs];

		if (server->programs == FILTERS_MAX) {
			snprintf(why, size,
				"%s/control/filters line %zu: expected at most "
				"%d programs",
				server->home.path, list->number[i],
				FILTERS_MAX);
			return -1;
		}
		program->line = list->number[i];
		if (cut_words(program, list->line[i]) < 0 ||
			program->words[0] == NULL ||
			program->words[0][0] != '/') {
			snprintf(why, size,
				"%s/control/filters line %zu: expected the "
				"path of a program, from / on, and at most %d "
				"arguments",
				server->home.path, list->number[i],
				FILTER_WORDS_MAX - 1);
			return -1;
		}
		server->programs++;
	}
	return 0;
}

static int
read_settings(struct server *server, char *why, size_t size)
{
	const char *programs = getenv("KEEPMAIL_PROGRAMS");
	char control[HOME_NAME_MAX];

	if (home_open(&server->home, why, size) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&server->home, "control", control),
			&server->settings, why, size) < 0)
		return -1;
	if (programs == NULL || *programs == 0)
		programs = KEEPMAIL_LIBEXEC;
	int length = snprintf(server->queue_submit, sizeof server->queue_submit,
		"%s/queue-submit", programs);
	if (programs[0] != '/' || length < 0 ||
		(size_t)length >= sizeof server->queue_submit) {
		snprintf(why, size,
			"KEEPMAIL_PROGRAMS must be an absolute path of at most "
			"%d octets",
			HOME_NAME_MAX - 20);
		return -1;
	}
	return take_filters(server, why, size);
}

/* --- children --- */

static int
serve(struct server *server, int connection, const struct peer *peer)
{
	const struct filter_work work = {
		.home = &server->home,
		.host = server->settings.me,
		.queue_submit = server->queue_submit,
		.program = server->program,
		.programs = server->programs,
		.timeout_s = server->settings.timeout_s,
		.connection = connection,
		.folder = server->folder,
		.peer_uid = peer->uid,
		.may_claim =
			home_is_user(&server->home, "_keep-smtpd", peer->uid),
	};

	close(server->listener);
	close(server->signals);
	service_unblock_signals();
	return filter_serve(&work) == 0 ? STATUS_DONE : STATUS_TEMPORARY;
}

static void
start_child(struct server *server, int connection)
{
	struct peer peer;

	if (peer_identity(connection, &peer) < 0) {
		log_line("cannot tell who submits: %s", strerror(errno));
		return;
	}
	if (server->children >= (unsigned)server->settings.children) {
		submit_refuse(connection, SUBMIT_BUSY,
			"too many submissions at once", 0);
		return;
	}
	pid_t pid = fork();
	if (pid == 0)
		_exit(serve(server, connection, &peer));
	if (pid < 0) {
		log_line("cannot fork: %s", strerror(errno));
		submit_refuse(connection, SUBMIT_BUSY,
			"no process for a submission", 0);
		return;
	}
	server->children++;
}

static void
reap(struct server *server)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		server->children--;
		if (WIFSIGNALED(status))
			log_line("child %d died of signal %d", (int)pid,
				WTERMSIG(status));
	}
}

/* Returns 0; or -1 if accepting fails, and would again at once. */
static int
take_connections(struct server *server)
{
	for (;;) {
		int connection = accept4(server->listener, NULL, NULL,
			SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (connection < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			if (errno == EAGAIN)
				return 0;
			log_line("cannot accept: %s", strerror(errno));
			return -1;
		}
		reap(server);
		start_child(server, connection);
		close(connection);
	}
}

/* Until SIGTERM. Children in hand finish by themselves. */
static void
run(struct server *server)
{
	bool is_resting = false;

	for (;;) {
		int came = service_wait(server->signals,
			is_resting ? -1 : server->listener,
			is_resting ? REST_MS : -1);

		if (came < 0)
			log_line("poll: %s", strerror(errno));
		if (came < 0 || came & SERVICE_STOP)
			return;
		if (came & SERVICE_CHILD)
			reap(server);
		is_resting = came & SERVICE_CONNECTION &&
			     take_connections(server) < 0;
	}
}

/* --- the start --- */

/* Sockets of ours that children left which were killed: a number, and no other
 * name; one that a process of that number still listens on is not removed. */
static void
clear_litter(const struct server *server)
{
	int again =
		openat(server->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;

	if (folder == NULL) {
		if (again >= 0)
			close(again);
		return;
	}
	while ((entry = readdir(folder)) != NULL) {
		const char *name = entry->d_name;
		size_t digits = strspn(name, "0123456789");

		if (digits == 0 || digits > 9 || name[digits] != 0 ||
			(kill((pid_t)atoi(name), 0) == 0 || errno == EPERM))
			continue;
		(void)unlinkat(server->folder, name, 0);
	}
	closedir(folder);
}

/* What needs root, or the way to it: descriptors. 0, or -1 after a log line. */
static int
open_all(struct server *server)
{
	char path[HOME_NAME_MAX];

	server->signals = service_signals();
	home_path(&server->home, "filter", path);
	server->folder =
		open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (server->signals < 0 || server->folder < 0) {
		log_line("%s: %s; make-home makes it", path, strerror(errno));
		return -1;
	}
	home_path(&server->home, "socket/filter", path);
	server->listener =
		service_listen(path, SOCK_STREAM, 0666, (gid_t)-1, BACKLOG);
	if (server->listener < 0) {
		log_line("cannot listen on %s: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct server server = {.programs = 0};
	char why[400];

	(void)argv;
	log_start("queue-filter");
	if (argc > 1) {
		log_line("usage: queue-filter");
		return STATUS_MISUSE;
	}
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (read_settings(&server, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	if (open_all(&server) < 0)
		return STATUS_TEMPORARY;
	if (role_take(&role, &server.home, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	clear_litter(&server);
	log_line("takes submissions, filters: %zu", server.programs);
	/* from here on input is touched */
	run(&server);
	log_line("stops");
	return STATUS_DONE;
}
