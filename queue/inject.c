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
 * file and the folder, and can open nothing. It may serve several, one after the
 * other, of one submitter (queue/servants.h).
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/descriptors.h"
#include "lib/durable.h"
#include "lib/home.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "queue/accept.h"
#include "queue/layout.h"
#include "queue/litter.h"
#include "queue/room.h"
#include "queue/servants.h"
#include "queue/submit.h"

#define BACKLOG 1000
/* How soon it is looked again whether there is room, in milliseconds. */
#define LOOK_MS 1000
/* How long nothing is accepted after there were no descriptors or no memory for
 * it, in milliseconds. */
#define REST_MS 200
/* How long servants rest when nothing comes, in milliseconds. */
#define DISMISS_MS 3000

static const struct role role = {
	.program = "queue-inject",
	.user = "_keep-queue",
	.group = "_keep-runner",
	.groups = {"_keep-queue", "keep-read"},
	.path = {{"queue/incoming", ROLE_WRITE}, {"queue/wake", ROLE_WRITE}},
	.calls = CALLS_READ | CALLS_WRITE | CALLS_SERVE | CALLS_FORK,
	.memory_octets = 128 * 1024 * 1024,
	.descriptors = SERVANTS_MAX + 64,
};

struct inject_settings {
	char *me;
	int64_t children, free_mebibytes, reserve_mebibytes, free_inodes,
		incoming_max;
};

static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, offsetof(struct inject_settings, me),
		"this host's name"},
	{"concurrencyinject", SETTING_NUMBER, "300", 1, SERVANTS_BUSY_MAX,
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

struct server {
	struct home home;
	struct inject_settings settings;
	int listener, signals, queue, incoming;
	struct wakeup_writer runner;
	struct room room;
	struct room_left report_left;
	struct servants servants;
};

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

/* In the servant: one submission. */
static int
serve(void *context, const struct order *order, const int descriptor[3])
{
	const struct server *server = context;
	const struct home *home = &server->home;
	bool is_runner = home_is_user(home, "_keep-runner", order->uid);
	bool is_filter = home_is_user(home, "_keep-filter", order->uid);
	struct wakeup_writer runner = WAKEUP_WRITER(QUEUE_WAKE_RUNNER);
	struct acceptance acceptance = {
		.connection = descriptor[0],
		.file = descriptor[1],
		.folder = server->incoming,
		.host = server->settings.me,
		.peer_uid = order->uid,
		.may_claim = is_runner || is_filter ||
			     home_is_user(home, "_keep-smtpd", order->uid),
		/* In private mode all are one uid: the kernel's word stands. */
		.may_pass_on = is_filter && !home->is_private,
		.may_report = is_runner,
		.may_retry = home_is_user(home, "_keep-smtpd", order->uid),
		.left = server->room.left,
		.report_left = server->report_left,
		.refusal = order->refusal,
		.why = order->why,
		.runner = &runner,
	};

	runner.fd = descriptor[2];
	memcpy(acceptance.id, order->id, sizeof acceptance.id);
	return accept_submission(&acceptance);
}

/* What a servant does. It gives up the way to every file but what it is sent
 * before it reads anything. */
static int
be_servant(struct server *server, int line)
{
	char why[300];

	close(server->listener);
	close(server->signals);
	close(server->queue);
	if (server->runner.fd >= 0)
		close(server->runner.fd);
	if (role_confine(NULL, false, CALLS_BASE, &server->home, why,
		    sizeof why) < 0) {
		log_line("cannot confine a child: %s", why);
		return STATUS_TEMPORARY;
	}
	servant_run(line, serve, server);
	return STATUS_DONE;
}

/* Finds or makes a servant for the submission. */
static void
give_order(struct server *server, int connection, uid_t uid, int file,
	const char *id)
{
	struct order order = {.uid = uid, .refusal = server->room.refusal};
	int runner, line;

	memcpy(order.id, id, sizeof order.id);
	memcpy(order.why, server->room.why, sizeof order.why);
	wakeup_prepare(&server->runner, server->queue);
	runner = server->runner.fd;
	if (servants_give(&server->servants, &order, connection, file, runner))
		return;
	switch (servants_add(
		&server->servants, &order, connection, file, runner, &line)) {
	case 1:
		_exit(be_servant(server, line));
	case 0:
		return;
	}
	log_line("cannot fork: %s", strerror(errno));
	submit_refuse(
		connection, SUBMIT_BUSY, "no process for a submission", 0);
	(void)unlinkat(server->incoming, id, 0);
	room_file_removed(&server->room);
}

static void
take_submission(struct server *server, int connection)
{
	char id[IDENT_LENGTH + 1];
	struct peer peer;

	if (peer_identity(connection, &peer) < 0) {
		log_line("cannot tell who submits: %s", strerror(errno));
		return;
	}
	/* In private mode any submitter may be the runner. */
	bool may_report = home_is_user(&server->home, "_keep-runner", peer.uid);
	unsigned busy_max = (unsigned)server->settings.children;
	if (may_report && !server->home.is_private)
		busy_max += SERVANTS_FOR_REPORTS;
	if (!room_is_open(&server->room) && !may_report) {
		submit_refuse(
			connection, server->room.refusal, server->room.why, 0);
		return;
	}
	if (server->servants.busy >= busy_max) {
		submit_refuse(connection, SUBMIT_BUSY,
			"too many submissions at once", 0);
		return;
	}
	int file = create_file(server, id);
	if (file < 0) {
		submit_refuse(connection, SUBMIT_WRITE,
			"the queue cannot be written", 0);
		return;
	}
	room_file_made(&server->room);
	give_order(server, connection, peer.uid, file, id);
	close(file);
}

static void
hear(struct server *server, struct servant *servant)
{
	char id[IDENT_LENGTH + 1];

	if (servants_hear(&server->servants, servant, id) == 0) {
		litter_remove(server->incoming, id, false);
		room_file_removed(&server->room);
	}
}

static void
reap(struct server *server)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct servant *servant = servants_find(&server->servants, pid);

		if (servant == NULL)
			continue;
		hear(server, servant);
		if (WIFSIGNALED(status))
			log_line("the child for %s died of signal %d",
				servant->id[0] == 0 ? "nothing" : servant->id,
				WTERMSIG(status));
		if (servant->id[0] != 0) {
			litter_remove(server->incoming, servant->id, true);
			room_file_removed(&server->room);
		}
		servants_remove(&server->servants, servant);
	}
}

/*
 * Takes one connection, and not more: between two it is heard who is done, or
 * many that come at once would each get a servant of their own, and be too many.
 * Returns 0; or -1 if accepting fails, and would again at once.
 */
static int
take_connection(struct server *server)
{
	int connection = accept4(
		server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (connection < 0) {
		if (errno == EINTR || errno == ECONNABORTED || errno == EAGAIN)
			return 0;
		log_line("cannot accept: %s", strerror(errno));
		return -1;
	}
	take_submission(server, connection);
	close(connection);
	return 0;
}

/* Waits for signals, connections and servants, and hears these. Returns 1 if
 * there are connections, 0 if not, or -1; is_resting: they are not waited for. */
static int
wait_and_hear(struct server *server, bool is_resting)
{
	struct pollfd wait[2 + SERVANTS_MAX];
	struct servants *servants = &server->servants;
	unsigned count = servants->count;
	int wait_ms = servants->resting != 0 ? DISMISS_MS : -1;

	if (server->room.refusal != SUBMIT_ACCEPTED)
		wait_ms = LOOK_MS;
	if (is_resting)
		wait_ms = REST_MS;
	wait[0] = (struct pollfd){.fd = server->signals, .events = POLLIN};
	wait[1] = (struct pollfd){
		.fd = is_resting ? -1 : server->listener, .events = POLLIN};
	for (unsigned i = 0; i < count; i++) {
		const struct servant *servant = &servants->servant[i];

		wait[2 + i] = (struct pollfd){
			.fd = servant->id[0] != 0 ? servant->line : -1,
			.events = POLLIN};
	}
	int ready = poll(wait, 2 + count, wait_ms);
	if (ready < 0) {
		if (errno == EINTR)
			return 0;
		log_line("poll: %s", strerror(errno));
		return -1;
	}
	if (ready == 0)
		servants_dismiss(servants);
	for (unsigned i = 0; i < count; i++)
		if (wait[2 + i].revents != 0)
			hear(server, &servants->servant[i]);
	return wait[1].revents != 0;
}

/* Until SIGTERM. Servants finish by themselves what they have in hand. */
static void
run(struct server *server)
{
	bool is_resting = false;

	for (;;) {
		int connections = wait_and_hear(server, is_resting);

		if (connections < 0)
			return;
		int came = service_take_signals(server->signals);
		if (came & SERVICE_STOP)
			return;
		if (came & SERVICE_CHILD)
			reap(server);
		if (server->room.refusal != SUBMIT_ACCEPTED)
			(void)room_is_open(&server->room);
		is_resting = connections > 0 && take_connection(server) < 0;
	}
}

/* What needs root, or the way to it: descriptors. 0, or -1 after a log line. */
static int
open_all(struct server *server)
{
	char path[HOME_NAME_MAX];

	server->signals = service_signals();
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
	litter_clear(server.incoming);
	log_line("takes submissions");
	/* from here on input is touched */
	run(&server);
	log_line("stops");
	return STATUS_DONE;
}
