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
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/domains.h"
#include "lib/home.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "local/account.h"
#include "local/resolve.h"
#include "local/warden.h"

#define CLIENTS_MAX 1000
#define BACKLOG 500
/* How long the warden may take for one look-up, in milliseconds. */
#define LOOKUP_MS 10000

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
	.descriptors = 2 * CLIENTS_MAX + 64,
};

struct resolve_settings {
	char *me;
	struct setting_list locals;
};

static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, offsetof(struct resolve_settings, me),
		"this host's name"},
	{"locals", SETTING_LIST, "", 0, 0,
		offsetof(struct resolve_settings, locals),
		"domains that are delivered here; me if missing"},
};

/* A question in hand: its candidates, of which one is being looked up. */
struct client {
	int fd;
	int report; /* of the look-up; -1: none is under way */
	int64_t deadline_ms;
	char address[RESOLVE_TEXT_MAX];
	struct candidate candidate[ACCOUNT_CANDIDATES_MAX];
	int candidates, at;
};

struct server {
	struct home home;
	struct domains locals;
	char warden_path[HOME_NAME_MAX];
	int listener, warden;
	struct client client[CLIENTS_MAX];
	unsigned clients;
};

/* --- answers --- */

static void
answer(const struct client *client, enum resolve_meaning meaning,
	const char *text)
{
	struct resolve_answer answer = {
		.magic = RESOLVE_MAGIC, .meaning = meaning};

	if (meaning == RESOLVE_ACCOUNT) {
		const struct candidate *found = &client->candidate[client->at];

		snprintf(answer.account, sizeof answer.account, "%s",
			found->account);
		snprintf(answer.dash, sizeof answer.dash, "%s", found->dash);
		snprintf(answer.extension, sizeof answer.extension, "%s",
			found->extension);
	}
	snprintf(answer.text, sizeof answer.text, "%.255s", text);
	/* whoever does not read its answers loses them */
	(void)send(client->fd, &answer, sizeof answer,
		MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
cannot_tell(const struct client *client, const char *text)
{
	log_line("cannot tell about %s: %s", client->address, text);
	answer(client, RESOLVE_TEMPORARY, text);
}

/* --- look-ups --- */

/* Sends the look-up of the current candidate. 0, or -1 after the answer. */
static int
start_lookup(struct server *server, struct client *client)
{
	const struct candidate *candidate = &client->candidate[client->at];
	struct warden_request request = {
		.magic = WARDEN_MAGIC, .kind = WARDEN_LOOKUP};
	int ends[2];

	snprintf(request.account, sizeof request.account, "%s",
		candidate->account);
	snprintf(request.dash, sizeof request.dash, "%s", candidate->dash);
	snprintf(request.extension, sizeof request.extension, "%s",
		candidate->extension);
	snprintf(
		request.address, sizeof request.address, "%s", client->address);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		cannot_tell(client, strerror(errno));
		return -1;
	}
	client->deadline_ms = deadline_after_ms(LOOKUP_MS);
	int sent = warden_ask(&server->warden, server->warden_path, &request,
		&ends[1], 1, client->deadline_ms);
	close(ends[1]);
	if (sent < 0) {
		cannot_tell(client, "the warden cannot be reached");
		close(ends[0]);
		return -1;
	}
	client->report = ends[0];
	return 0;
}

/* Goes on with the current candidate, until there is an answer or a look-up. */
static void
go_on(struct server *server, struct client *client)
{
	if (client->at == client->candidates) {
		answer(client, RESOLVE_NOBODY, "there is no such mailbox here");
		return;
	}
	if (client->candidate[client->at].is_certain)
		answer(client, RESOLVE_ACCOUNT, "");
	else
		(void)start_lookup(server, client);
}

/* The look-up has something to say, or its time is over. */
static void
end_lookup(struct server *server, struct client *client)
{
	struct warden_report report;
	int result = warden_report_read(client->report, &report);

	if (result < 0 && deadline_left_ms(client->deadline_ms) > 0)
		return;
	close(client->report);
	client->report = -1;
	if (result <= 0) {
		cannot_tell(client, "the look-up ended without a result");
	} else if (report.outcome == OUTCOME_DELIVERED) {
		answer(client, RESOLVE_ACCOUNT, "");
	} else if (report.outcome == OUTCOME_FAILED) {
		client->at++;
		go_on(server, client);
	} else {
		cannot_tell(client, report.text);
	}
}

/* --- questions --- */

static void
take_question(struct server *server, struct client *client,
	const struct resolve_question *question)
{
	struct path path;

	snprintf(client->address, sizeof client->address, "%s",
		question->address);
	client->at = client->candidates = 0;
	if (address_mailbox_scan(client->address, strlen(client->address),
		    ADDRESS_UTF8, &path) < 0) {
		answer(client, RESOLVE_NOBODY, "that is not an address");
		return;
	}
	if (!domains_has(&server->locals, path.domain, path.domain_len)) {
		answer(client, RESOLVE_NOT_OURS, "the domain is not local");
		return;
	}
	client->candidates =
		account_candidates(&server->home, &path, client->candidate);
	if (client->candidates < 0)
		cannot_tell(client, strerror(errno));
	else
		go_on(server, client);
}

/* Reads one question. False: the client goes. */
static bool
read_question(struct server *server, struct client *client)
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
drop_client(struct server *server, unsigned number)
{
	struct client *client = &server->client[number];

	close(client->fd);
	if (client->report >= 0)
		close(client->report);
	*client = server->client[--server->clients];
}

static void
take_client(struct server *server)
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
	struct client *client = &server->client[server->clients++];
	memset(client, 0, sizeof *client);
	client->fd = fd;
	client->report = -1;
}

/* The listener, then for each client its report or else its socket. */
static int
make_list(const struct server *server, struct pollfd *list, int *left_ms)
{
	*left_ms = -1;
	list[0] = (struct pollfd){
		.fd = server->clients < CLIENTS_MAX ? server->listener : -1,
		.events = POLLIN};
	for (unsigned i = 0; i < server->clients; i++) {
		const struct client *client = &server->client[i];
		bool is_looking = client->report >= 0;

		list[i + 1] = (struct pollfd){
			.fd = is_looking ? client->report : client->fd,
			.events = POLLIN};
		int left =
			is_looking ? deadline_left_ms(client->deadline_ms) : -1;
		if (left >= 0 && (*left_ms < 0 || left < *left_ms))
			*left_ms = left;
	}
	return (int)server->clients + 1;
}

static void
run(struct server *server)
{
	struct pollfd list[CLIENTS_MAX + 1];
	int left_ms;

	for (;;) {
		int count = make_list(server, list, &left_ms);

		if (poll(list, (nfds_t)count, left_ms) < 0 && errno != EINTR) {
			log_line("poll: %s", strerror(errno));
			return;
		}
		/* from the last on, because dropping moves the last one */
		for (int i = count - 1; i > 0; i--) {
			struct client *client = &server->client[i - 1];

			if (client->report >= 0)
				end_lookup(server, client);
			else if (list[i].revents != 0 &&
				 !read_question(server, client))
				drop_client(server, (unsigned)i - 1);
		}
		if (list[0].revents != 0)
			take_client(server);
	}
}

/* --- the start --- */

static int
make_locals(struct domains *locals, const struct resolve_settings *settings,
	char *why, size_t size)
{
	const struct setting_list *list = &settings->locals;

	snprintf(why, size, "out of memory");
	if (!list->present)
		return domains_add(locals, settings->me, strlen(settings->me));
	for (size_t i = 0; i < list->count; i++)
		if (domains_add(locals, list->line[i], strlen(list->line[i])) <
			0) {
			snprintf(why, size,
				"control/locals line %zu: expected a domain",
				list->number[i]);
			return -1;
		}
	return 0;
}

static int
start(struct server *server, char *why, size_t size)
{
	struct resolve_settings settings = {0};
	char path[HOME_NAME_MAX];

	if (home_open(&server->home, why, size) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&server->home, "control", path), &settings,
			why, size) < 0 ||
		make_locals(&server->locals, &settings, why, size) < 0)
		return -1;
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
	struct server *server = calloc(1, sizeof *server);
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
