/*
 * resolve says what an address means: which account takes it, that it is not
 * ours, or that nobody has it.
 *
 * Runs as _keep-resolve, which may read the list of accounts and no secret.
 * Is handed the listening socket that it makes as root before it gives root up.
 * Promises the same answer to smtpd at RCPT and to local at delivery.
 * Never reads a home folder: whether an account has instructions for an extension
 * it asks the warden, whose child looks as the account's owner.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/home.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "local/resolve_server.h"

#define BACKLOG 500

static const struct role role = {
	.program = "resolve",
	.user = "_keep-resolve",
	.group = "_keep-resolve",
	.groups = {"keep-suite", "keep-users"},
	.path = {{"control", ROLE_READ}, {"users", ROLE_READ},
		{"/etc", ROLE_READ}, {"/usr", ROLE_READ}, {"/lib", ROLE_READ},
		{"/run", ROLE_READ}, {"socket", ROLE_CONNECT}},
	.calls = CALLS_READ | CALLS_CONNECT | CALLS_SERVE,
	.memory_octets = 256 * 1024 * 1024,
	.descriptors = 2 * RESOLVE_CLIENTS_MAX + 64,
};

struct resolve_settings {
	char *me, *delimiters;
	struct setting_list locals, virtualdomains;
	int64_t quota_at_rcpt;
};

static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, offsetof(struct resolve_settings, me),
		"this host's name"},
	{"locals", SETTING_LIST, "", 0, 0,
		offsetof(struct resolve_settings, locals),
		"domains that are delivered here; me if missing"},
	{"virtualdomains", SETTING_LIST, "", 0, 0,
		offsetof(struct resolve_settings, virtualdomains),
		"[user@][domain]:prepend: delivered here as prepend-local"},
	{"extensiondelimiters", SETTING_TEXT, "-", 0, 0,
		offsetof(struct resolve_settings, delimiters),
		"characters that part a user from an extension"},
	{"quotaatrcpt", SETTING_SWITCH, "0", 0, 1,
		offsetof(struct resolve_settings, quota_at_rcpt),
		"every mailbox's maildirsize is looked at when mail is "
		"offered"},
};

/* --- questions --- */

static void
take_question(struct resolve_server *server, struct resolve_client *client,
	const struct resolve_question *question)
{
	const struct account_teller teller = {resolve_tell_step, client};
	struct path path;

	client->is_traced =
		(question->asks & RESOLVE_STEPS) != 0 && client->may_trace;
	client->asks_room = (question->asks & RESOLVE_ROOM) != 0;
	client->room = RESOLVE_HAS_ROOM;
	client->found.domain = OURS_NOT;
	snprintf(client->address, sizeof client->address, "%s",
		question->address);
	client->at = client->found.count = 0;
	if (address_mailbox_scan(client->address, strlen(client->address),
		    ADDRESS_UTF8, &path) < 0) {
		resolve_say(client, RESOLVE_NOBODY, "that is not an address");
		return;
	}
	if (account_candidates(&server->book, &path, &teller, &client->found) <
		0) {
		client->found.domain = OURS_NOT;
		resolve_cannot_tell(client, strerror(errno));
	} else if (client->found.domain == OURS_NOT) {
		resolve_say(
			client, RESOLVE_NOT_OURS, "the domain is not local");
	} else {
		resolve_go_on(server, client);
	}
}

/* Reads one question. False: the client goes. */
static bool
read_question(struct resolve_server *server, struct resolve_client *client)
{
	struct resolve_question question;
	ssize_t got = recv(client->fd, &question, sizeof question,
		MSG_DONTWAIT | MSG_TRUNC);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got != (ssize_t)sizeof question ||
		question.magic != RESOLVE_MAGIC ||
		memchr(question.address, 0, sizeof question.address) == NULL)
		return false;
	take_question(server, client, &question);
	return true;
}

/* --- clients --- */

static void
drop_client(struct resolve_server *server, unsigned number)
{
	struct resolve_client *client = &server->client[number];

	close(client->fd);
	if (client->report >= 0)
		close(client->report);
	*client = server->client[--server->clients];
}

static void
take_client(struct resolve_server *server)
{
	const struct home *home = &server->home;
	int fd = accept4(
		server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct peer peer = {0};

	if (fd < 0)
		return;
	if (peer_identity(fd, &peer) < 0 ||
		(peer.uid != 0 &&
			!home_is_user(home, "_keep-smtpd", peer.uid) &&
			!home_is_user(home, "_keep-local", peer.uid))) {
		log_line("uid %u may not ask", (unsigned)peer.uid);
		close(fd);
		return;
	}
	struct resolve_client *client = &server->client[server->clients++];
	memset(client, 0, sizeof *client);
	client->fd = fd;
	client->report = -1;
	client->may_trace =
		peer.uid == 0 || (home->is_private && peer.uid == geteuid());
}

/* The listener, for each client its report or else its socket, the signals. */
static int
make_list(
	const struct resolve_server *server, struct pollfd *list, int *left_ms)
{
	*left_ms = -1;
	list[server->clients + 1] =
		(struct pollfd){.fd = server->signals, .events = POLLIN};
	list[0] = (struct pollfd){.fd = server->clients < RESOLVE_CLIENTS_MAX
						? server->listener
						: -1,
		.events = POLLIN};
	for (unsigned i = 0; i < server->clients; i++) {
		const struct resolve_client *client = &server->client[i];
		bool is_looking = client->report >= 0;

		list[i + 1] = (struct pollfd){
			.fd = is_looking ? client->report : client->fd,
			.events = POLLIN};
		int left =
			is_looking ? deadline_left_ms(client->deadline_ms) : -1;
		if (left >= 0 && (*left_ms < 0 || left < *left_ms))
			*left_ms = left;
	}
	return (int)server->clients + 2;
}

/* --- the start --- */

/* Reads control files; only a whole set of sound ones replaces what holds. */
static int
read_control(struct resolve_server *server, char *why, size_t size)
{
	struct resolve_settings settings = {0};
	struct address_book book = {.home = NULL};
	char control[HOME_NAME_MAX], outside[HOME_NAME_MAX];
	int result = -1;

	if (settings_read(settings_table, SETTINGS_COUNT(settings_table),
		    home_path(&server->home, "control", control), &settings,
		    why, size) < 0)
		return -1;
	if (strlen(settings.delimiters) >= sizeof book.delimiters ||
		strpbrk(settings.delimiters, "@/ ") != NULL) {
		snprintf(why, size,
			"control/extensiondelimiters: expected at most %zu "
			"characters, such as \"-+\"",
			sizeof book.delimiters - 1);
	} else if (outside_setting(&server->home, outside, why, size) == 0 &&
		   ours_build(&book.ours, &server->home, settings.me,
			   &settings.locals, &settings.virtualdomains, why,
			   size) == 0) {
		account_book_open(&book, &server->home, settings.delimiters,
			outside[0] != 0);
		book.counts_all = settings.quota_at_rcpt != 0;
		account_book_close(&server->book);
		server->book = book;
		memcpy(server->outside_path, outside, sizeof outside);
		result = 0;
	}
	settings_free(
		settings_table, SETTINGS_COUNT(settings_table), &settings);
	return result;
}

/* SIGHUP: the control files have changed. */
static void
take_signal(struct resolve_server *server)
{
	struct signalfd_siginfo info;
	char why[300];

	while (read(server->signals, &info, sizeof info) == sizeof info)
		;
	if (read_control(server, why, sizeof why) < 0)
		log_line("goes on with the old settings: %s", why);
	else
		log_line("has read its control files");
}

static void
run(struct resolve_server *server)
{
	struct pollfd list[RESOLVE_CLIENTS_MAX + 2];
	int left_ms;

	for (;;) {
		int count = make_list(server, list, &left_ms);

		if (poll(list, (nfds_t)count, left_ms) < 0 && errno != EINTR) {
			log_line("poll: %s", strerror(errno));
			return;
		}
		/* from the last on, because dropping moves the last one */
		for (int i = count - 2; i > 0; i--) {
			struct resolve_client *client = &server->client[i - 1];

			if (client->report >= 0 && client->is_outside)
				resolve_end_outside(server, client);
			else if (client->report >= 0)
				resolve_end_lookup(server, client);
			else if (list[i].revents != 0 &&
				 !read_question(server, client))
				drop_client(server, (unsigned)i - 1);
		}
		if (list[count - 1].revents != 0)
			take_signal(server);
		if (list[0].revents != 0)
			take_client(server);
	}
}

static int
start(struct resolve_server *server, char *why, size_t size)
{
	sigset_t set;

	if (home_open(&server->home, why, size) < 0 ||
		read_control(server, why, size) < 0)
		return -1;
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	server->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (server->signals < 0) {
		snprintf(why, size, "cannot take signals: %s", strerror(errno));
		return -1;
	}
	home_path(&server->home, "socket/warden", server->warden_path);
	server->listener = service_listen_suite(
		&server->home, "resolve", BACKLOG, why, size);
	if (server->listener < 0)
		return -1;
	return role_take(&role, &server->home, why, size);
}

int
main(int argc, char **argv)
{
	/* megabytes, of which only what clients use is ever touched */
	struct resolve_server *server = calloc(1, sizeof *server);
	char why[300];

	(void)argv;
	log_start("resolve");
	if (argc > 1) {
		log_line("usage: resolve");
		return STATUS_MISUSE;
	}
	signal(SIGPIPE, SIG_IGN);
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (server == NULL) {
		log_line("out of memory");
		return STATUS_TEMPORARY;
	}
	server->warden = -1;
	if (start(server, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	if (why[0] != 0)
		log_line("%s", why);
	log_line("answers");
	/* from here on input is touched */
	run(server);
	return STATUS_TEMPORARY;
}
