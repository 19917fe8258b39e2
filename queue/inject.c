/*
 * queue-inject is the way into the queue: it takes submissions on socket/submit
 * and writes each into one durable file.
 *
 * Runs as _keep-queue, with the queue's runner as group, so that the files it
 * makes are the runner's to go on with.
 * Is handed the listening socket that it makes as root before it gives root up.
 * Promises that a submitter gets an id only when the message is durable: a power
 * cut a microsecond later loses nothing.
 * Never reads an accepted message; the child that serves a submission holds its
 * file and the folder, and can open nothing.
 */

#include <dirent.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/descriptors.h"
#include "lib/durable.h"
#include "lib/frames.h"
#include "lib/home.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "queue/accept.h"
#include "queue/layout.h"
#include "queue/message_file.h"
#include "queue/room.h"

#define CHILDREN_MAX 2000
/* Beyond concurrencyinject, for the runner's reports. */
#define CHILDREN_FOR_REPORTS 8
#define BACKLOG 1000
/* How soon it is looked again whether there is room, in milliseconds. */
#define LOOK_MS 1000
/* How long nothing is accepted after there were no descriptors or no memory for
 * it, in milliseconds. */
#define REST_MS 200

static const struct role role = {
	.program = "queue-inject",
	.user = "_keep-queue",
	.group = "_keep-runner",
	.groups = {"_keep-queue", "keep-read"},
	.path = {{"queue/incoming", ROLE_WRITE}, {"queue/wake", ROLE_WRITE}},
	.calls = CALLS_READ | CALLS_WRITE | CALLS_SERVE | CALLS_FORK,
	.memory_octets = 128 * 1024 * 1024,
	.descriptors = 64,
};

struct inject_settings {
	char *me;
	int64_t children, free_mebibytes, reserve_mebibytes, free_inodes,
		incoming_max;
};

static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, offsetof(struct inject_settings, me),
		"this host's name"},
	{"concurrencyinject", SETTING_NUMBER, "300", 1, CHILDREN_MAX,
		offsetof(struct inject_settings, children),
		"submissions at one time"},
	{"queuefree", SETTING_NUMBER, "16", 0, 1 << 30,
		offsetof(struct inject_settings, free_mebibytes),
		"MiB that stay free on the queue's disk"},
	{"queuereserve", SETTING_NUMBER, "16", 0, 1 << 30,
		offsetof(struct inject_settings, reserve_mebibytes),
		"MiB beyond these that only reports may use"},
	{"queuefreeinodes", SETTING_NUMBER, "1000", 0, 1 << 30,
		offsetof(struct inject_settings, free_inodes),
		"inodes that stay free; reports may use half of them"},
	{"incomingmax", SETTING_NUMBER, "100000", 1, 100000000,
		offsetof(struct inject_settings, incoming_max),
		"messages that the runner has not taken yet"},
};

struct child {
	pid_t pid;
	char id[IDENT_LENGTH + 1];
};

struct server {
	struct home home;
	struct inject_settings settings;
	int listener, signals, queue, incoming;
	struct wakeup_writer runner;
	struct room room;
	struct room_left report_left;
	struct child child[CHILDREN_MAX + CHILDREN_FOR_REPORTS];
	unsigned children;
};

static void
refuse(int connection, enum submit_code code, const char *text)
{
	char payload[200] = {(char)code};

	snprintf(payload + 1, sizeof payload - 1, "%s", text);
	(void)frame_send(connection, 'N', payload, strlen(payload), 0);
}

/*
 * Makes incoming/ID and locks it: as long as the lock is held it is being
 * written. Returns the descriptor, or -1 after a log line.
 */
static int
create_file(struct server *server, char id[IDENT_LENGTH + 1])
{
	if (ident_make(id) < 0) {
		log_line("no message id: %s", strerror(errno));
		return -1;
	}
	int file = durable_create(server->incoming, id, 0664);
	if (file < 0) {
		log_line("cannot create queue/incoming/%s: %s", id,
			strerror(errno));
		return -1;
	}
	if (flock(file, LOCK_EX | LOCK_NB) < 0) {
		log_line("cannot lock queue/incoming/%s: %s", id,
			strerror(errno));
		(void)unlinkat(server->incoming, id, 0);
		close(file);
		return -1;
	}
	return file;
}

/* What the child does. It gives up the way to every file but its own first. */
static int
serve(struct server *server, int connection, int file, const char *id,
	const struct peer *peer)
{
	const struct home *home = &server->home;
	bool is_runner = home_is_user(home, "_keep-runner", peer->uid);
	bool is_filter = home_is_user(home, "_keep-filter", peer->uid);
	struct acceptance acceptance = {
		.connection = connection,
		.file = file,
		.folder = server->incoming,
		.host = server->settings.me,
		.peer_uid = peer->uid,
		.may_claim = is_runner || is_filter ||
			     home_is_user(home, "_keep-smtpd", peer->uid),
		/* In private mode all are one uid: the kernel's word stands. */
		.may_pass_on = is_filter && !home->is_private,
		.may_report = is_runner,
		.left = server->room.left,
		.report_left = server->report_left,
		.refusal = server->room.refusal,
		.why = server->room.why,
		.runner = &server->runner,
	};
	char why[300];

	memcpy(acceptance.id, id, sizeof acceptance.id);
	close(server->listener);
	close(server->signals);
	close(server->queue);
	if (role_confine(NULL, false, CALLS_BASE, home, why, sizeof why) < 0) {
		log_line("cannot confine a child: %s", why);
		refuse(connection, SUBMIT_INTERNAL, "internal error");
		return STATUS_TEMPORARY;
	}
	return accept_submission(&acceptance) == 0 ? STATUS_DONE
						   : STATUS_TEMPORARY;
}

static void
start_child(struct server *server, int connection)
{
	char id[IDENT_LENGTH + 1];
	struct peer peer;

	if (peer_identity(connection, &peer) < 0) {
		log_line("cannot tell who submits: %s", strerror(errno));
		return;
	}
	/* In private mode any submitter may be the runner. */
	bool may_report = home_is_user(&server->home, "_keep-runner", peer.uid);
	unsigned children_max = (unsigned)server->settings.children;
	if (may_report && !server->home.is_private)
		children_max += CHILDREN_FOR_REPORTS;
	if (!room_is_open(&server->room) && !may_report) {
		refuse(connection, server->room.refusal, server->room.why);
		return;
	}
	if (server->children >= children_max) {
		refuse(connection, SUBMIT_BUSY, "too many submissions at once");
		return;
	}
	int file = create_file(server, id);
	if (file < 0) {
		refuse(connection, SUBMIT_WRITE, "the queue cannot be written");
		return;
	}
	room_file_made(&server->room);
	wakeup_prepare(&server->runner, server->queue);
	pid_t pid = fork();
	if (pid == 0)
		_exit(serve(server, connection, file, id, &peer));
	close(file);
	if (pid < 0) {
		log_line("cannot fork: %s", strerror(errno));
		refuse(connection, SUBMIT_BUSY, "no process for a submission");
		(void)unlinkat(server->incoming, id, 0);
		room_file_removed(&server->room);
		return;
	}
	struct child *child = &server->child[server->children++];
	child->pid = pid;
	memcpy(child->id, id, sizeof child->id);
}

/*
 * Removes what a child left that did not accept. If it ended by itself it has said
 * so, and its file goes even if the mark could not be withdrawn. If it was killed,
 * a file with the mark stays, and the runner adopts it.
 */
static void
remove_rest(const struct server *server, const char *id, bool was_killed)
{
	struct message_header header;

	if (!was_killed) {
		if (unlinkat(server->incoming, id, 0) < 0 && errno != ENOENT)
			log_line("cannot remove queue/incoming/%s: %s", id,
				strerror(errno));
		return;
	}
	int file =
		openat(server->incoming, id, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (file < 0)
		return;
	enum message_result result = message_read_header(file, &header);
	if (result == MESSAGE_BAD || (result == MESSAGE_OK && !header.marked))
		(void)unlinkat(server->incoming, id, 0);
	close(file);
}

/*
 * Removes what submissions left that ended with an earlier queue-inject: files
 * that nobody writes (the lock is free) and that have no mark. A child of it that
 * is still at work holds its lock, and a file that is removed in the moment before
 * it is locked is missed by its writer before it answers.
 */
static void
clear_litter(const struct server *server)
{
	int again = openat(
		server->incoming, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = again < 0 ? NULL : fdopendir(again);
	struct message_header header;
	struct dirent *entry;
	struct stat st;

	if (folder == NULL) {
		log_line("cannot read queue/incoming: %s", strerror(errno));
		if (again >= 0)
			close(again);
		return;
	}
	while ((entry = readdir(folder)) != NULL) {
		if (!ident_valid(entry->d_name, strlen(entry->d_name)))
			continue;
		int file = openat(server->incoming, entry->d_name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (file < 0)
			continue;
		if (flock(file, LOCK_EX | LOCK_NB) == 0 &&
			fstat(file, &st) == 0 &&
			(st.st_size == 0 || (message_read_header(file,
						     &header) == MESSAGE_OK &&
						    !header.marked)))
			(void)unlinkat(server->incoming, entry->d_name, 0);
		close(file);
	}
	closedir(folder);
}

static void
reap(struct server *server)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned i = 0; i < server->children; i++) {
			if (server->child[i].pid != pid)
				continue;
			if (WIFSIGNALED(status))
				log_line("the child for %s died of signal %d",
					server->child[i].id, WTERMSIG(status));
			if (status != 0) {
				remove_rest(server, server->child[i].id,
					WIFSIGNALED(status));
				room_file_removed(&server->room);
			}
			server->child[i] = server->child[--server->children];
			break;
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
	struct pollfd wait[] = {
		{.fd = server->signals, .events = POLLIN},
		{.fd = server->listener, .events = POLLIN},
	};
	struct signalfd_siginfo info;
	int is_resting = 0;

	for (;;) {
		bool is_open = server->room.refusal == SUBMIT_ACCEPTED;
		int wait_ms = is_resting ? REST_MS : is_open ? -1 : LOOK_MS;

		wait[1].revents = 0;
		if (poll(wait, is_resting ? 1 : 2, wait_ms) < 0 &&
			errno != EINTR) {
			log_line("poll: %s", strerror(errno));
			return;
		}
		while (read(server->signals, &info, sizeof info) == sizeof info)
			if (info.ssi_signo == SIGTERM)
				return;
		reap(server);
		if (!is_open)
			(void)room_is_open(&server->room);
		is_resting = wait[1].revents && take_connections(server) < 0;
	}
}

/* What needs root, or the way to it: descriptors. 0, or -1 after a log line. */
static int
open_all(struct server *server)
{
	char path[HOME_NAME_MAX];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	server->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	home_path(&server->home, "queue", path);
	server->queue = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	home_path(&server->home, "queue/" QUEUE_INCOMING, path);
	server->incoming = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (server->signals < 0 || server->queue < 0 || server->incoming < 0) {
		log_line("%s: %s; make-home makes it", path, strerror(errno));
		return -1;
	}
	home_path(&server->home, "socket/submit", path);
	server->listener =
		service_listen(path, SOCK_STREAM, 0666, (gid_t)-1, BACKLOG);
	if (server->listener < 0) {
		log_line("cannot listen on %s: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

static void
set_room(struct server *server)
{
	const struct inject_settings *settings = &server->settings;
	uint64_t octets = (uint64_t)settings->free_mebibytes << 20;
	uint64_t inodes = (uint64_t)settings->free_inodes;

	server->report_left = (struct room_left){octets, inodes / 2};
	octets += (uint64_t)settings->reserve_mebibytes << 20;
	server->room = (struct room){
		.folder = server->incoming,
		.left = {octets, inodes},
		.incoming_max = (uint64_t)settings->incoming_max,
	};
}

int
main(int argc, char **argv)
{
	struct server server = {.runner = WAKEUP_WRITER(QUEUE_WAKE_RUNNER)};
	char why[300], control[HOME_NAME_MAX];

	(void)argv;
	log_start("queue-inject");
	if (argc > 1) {
		log_line("usage: queue-inject");
		return STATUS_MISUSE;
	}
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (home_open(&server.home, why, sizeof why) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&server.home, "control", control),
			&server.settings, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	if (open_all(&server) < 0)
		return STATUS_TEMPORARY;
	if (role_take(&role, &server.home, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	if (why[0] != 0)
		log_line("%s", why);
	set_room(&server);
	clear_litter(&server);
	log_line("takes submissions");
	/* from here on input is touched */
	run(&server);
	log_line("stops");
	return STATUS_DONE;
}
