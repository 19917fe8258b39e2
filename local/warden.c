/*
 * The warden is the one root process. For each request a child of it becomes a
 * mailbox's owner for good and delivers a message, serves a POP3 session, or
 * looks whether an address has instructions.
 *
 * Runs as root, because nobody else can become another user.
 * Is handed requests of one fixed size, with descriptors beside them, from the
 * three programs that may send them (local/warden.h).
 * Promises never to act as root or as one of the suite's own users: the child
 * looks the account up again itself, whatever the request's sender believes.
 * Never reads a message, an octet from the network or a path that it was given;
 * what it reads of a request is magic, kind and account.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/durable.h"
#include "lib/home.h"
#include "lib/log.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "local/account.h"
#include "local/children.h"
#include "local/deliver.h"
#include "local/program.h"
#include "local/warden.h"
#include "local/warden_child.h"
#include "pop3d/session.h"

#define CLIENTS_MAX 200
#define CHILDREN_MAX 5000
#define BACKLOG 200
/*
 * After so many seconds a child ends itself, and after GRACE_S more it is killed:
 * its owner may have stopped it, and a stopped process heeds no alarm. A look-up
 * is only waited for for 10 s.
 */
#define LOOKUP_S 15
#define SESSION_S (24 * 3600)
#define GRACE_S 5

static const struct role role = {
	.program = "warden",
	.user = "root",
	.group = "root",
	.descriptors = CLIENTS_MAX + 64,
};

struct warden_settings {
	int64_t children;
	struct deliver_control control;
};

static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0,
		offsetof(struct warden_settings, control.me),
		"this host's name, in names of delivered files"},
	{"concurrencywarden", SETTING_NUMBER, "500", 1, CHILDREN_MAX,
		offsetof(struct warden_settings, children),
		"deliveries, sessions and look-ups at one time"},
	{"srsdomain", SETTING_TEXT, "", 0, 0,
		offsetof(struct warden_settings, control.srsdomain),
		"domain of the reverse-paths that forwards leave with"},
	{"locals", SETTING_LIST, "@me", 0, 0,
		offsetof(struct warden_settings, control.locals),
		"domains that are delivered here; me if missing"},
	{"virtualdomains", SETTING_LIST, "", 0, 0,
		offsetof(struct warden_settings, control.virtualdomains),
		"domains that stand for others here"},
	{"maildirfolders", SETTING_SWITCH, "0", 0, 1,
		offsetof(struct warden_settings, control.has_folders),
		"an extension may name a folder of the Maildir"},
	{"quotafails", SETTING_SWITCH, "0", 0, 1,
		offsetof(struct warden_settings, control.over_fails),
		"mail for a full mailbox fails at once"},
	{"timeoutprogram", SETTING_NUMBER, "3600", 1, PROGRAM_LIMIT_S,
		offsetof(struct warden_settings, control.program_s),
		"seconds that a .qmail command may take"},
	{"programmemory", SETTING_NUMBER, "2147483648", 0, INT64_C(1) << 50,
		offsetof(struct warden_settings, control.program_memory),
		"octets of memory for a process of a .qmail command; 0: any"},
	{"programprocesses", SETTING_NUMBER, "4000", 0, 4194304,
		offsetof(struct warden_settings, control.program_processes),
		"processes of the owner of a .qmail command; 0: any"},
};

struct client {
	int fd;
	uid_t uid;
};

struct server {
	struct home home;
	struct warden_settings settings;
	struct deliver_settings deliver;
	int listener, signals;
	struct client client[CLIENTS_MAX];
	unsigned clients;
	struct children children;
};

/* A request with what came beside it. */
struct work {
	struct warden_request request;
	int descriptor[DESCRIPTORS_MAX];
	unsigned descriptors;
};

/* --- what may be asked, and by whom --- */

struct rule {
	enum warden_kind kind;
	const char *user;
	unsigned descriptors;
	unsigned life_s;
};

static const struct rule rules[] = {
	{WARDEN_DELIVER, "_keep-local", 2, WARDEN_DELIVERY_S},
	{WARDEN_POP3, "_keep-auth", 3, SESSION_S},
	{WARDEN_LOOKUP, "_keep-resolve", 1, LOOKUP_S},
	{WARDEN_ROOM, "_keep-resolve", 1, LOOKUP_S},
};

static bool
may_connect(const struct home *home, uid_t uid)
{
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
		if (home_is_user(home, rules[i].user, uid))
			return true;
	return false;
}

/* The rule that allows what is asked, or NULL. */
static const struct rule *
find_rule(const struct server *server, const struct work *work, uid_t uid)
{
	const struct warden_request *request = &work->request;

	if (request->magic != WARDEN_MAGIC ||
		!warden_key_is_sound(request->account))
		return NULL;
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
		if (rules[i].kind == request->kind)
			return home_is_user(&server->home, rules[i].user,
				       uid) && work->descriptors ==
						       rules[i].descriptors
				       ? &rules[i]
				       : NULL;
	return NULL;
}

/* --- the child --- */

static int
look_up(struct server *server, const struct account *account,
	const struct work *work)
{
	const struct role_path path[] = {{account->home, ROLE_READ}, {NULL, 0}};
	struct warden_report result = {.magic = WARDEN_MAGIC};
	char why[300];

	if (role_confine(path, false, CALLS_READ, &server->home, why,
		    sizeof why) < 0) {
		log_line("cannot confine a look-up: %s", why);
		return STATUS_TEMPORARY;
	}
	if (work->request.kind == WARDEN_ROOM)
		deliver_room(
			&server->deliver, account, &work->request, &result);
	else
		deliver_lookup(
			&server->deliver, account, &work->request, &result);
	return durable_write_all(work->descriptor[0], &result, sizeof result) ==
			       0
		       ? STATUS_DONE
		       : STATUS_TEMPORARY;
}

static int
serve_session(const struct server *server, const struct account *account,
	const struct work *work)
{
	char maildir[ACCOUNT_HOME_MAX * 2 + 2], why[300];
	const struct role_path path[] = {{maildir, ROLE_WRITE}, {NULL, 0}};

	snprintf(maildir, sizeof maildir, "%s/%s", account->home,
		account->maildir);
	if (role_confine(path, false, CALLS_READ | CALLS_WRITE, &server->home,
		    why, sizeof why) < 0) {
		log_line("cannot confine a session: %s", why);
		return STATUS_TEMPORARY;
	}
	log_start("pop3d");
	return pop3_session(account, &work->request, work->descriptor[0],
		work->descriptor[1], work->descriptor[2]);
}

static void
close_ours(const struct server *server)
{
	for (unsigned i = 0; i < server->clients; i++)
		close(server->client[i].fd);
	close(server->listener);
	close(server->signals);
}

/*
 * From here on there is only this account. Nothing of the request but its key has
 * been read before role_become.
 */
static int
serve(struct server *server, const struct work *work, unsigned life_s)
{
	struct account account;

	close_ours(server);
	service_unblock_signals();
	alarm(life_s);
	switch (account_by_key(
		&server->home, work->request.account, &account)) {
	case ACCOUNT_FOUND:
		break;
	case ACCOUNT_NONE:
		log_line("refused: %s is no account", work->request.account);
		return STATUS_MISUSE;
	case ACCOUNT_TROUBLE:
		log_line("cannot look up %s: %s", work->request.account,
			strerror(errno));
		return STATUS_TEMPORARY;
	}
	deliver_settings_add_own(&server->deliver, &account);
	if (role_become(&server->home, account.uid, account.gid, account.group,
		    account.groups) < 0) {
		log_line("cannot become %s (uid %u): %s", work->request.account,
			(unsigned)account.uid, strerror(errno));
		return STATUS_TEMPORARY;
	}
	if (work->request.kind != WARDEN_LOOKUP &&
		work->request.kind != WARDEN_ROOM &&
		warden_prepare(&server->home, &work->request,
			work->descriptor[1], &account) < 0)
		return STATUS_TEMPORARY;
	switch ((enum warden_kind)work->request.kind) {
	case WARDEN_DELIVER:
		return warden_deliver(&server->deliver, &account,
			&work->request, work->descriptor[0],
			work->descriptor[1]);
	case WARDEN_POP3:
		return serve_session(server, &account, work);
	case WARDEN_LOOKUP:
	case WARDEN_ROOM:
		return look_up(server, &account, work);
	}
	return STATUS_MISUSE;
}

/* --- the parent --- */

static void
start_child(struct server *server, const struct work *work, uid_t uid)
{
	const struct rule *rule = find_rule(server, work, uid);
	const char *account = work->request.account;

	if (rule == NULL) {
		log_line("refused: uid %u sent what it may not ask",
			(unsigned)uid);
		return;
	}
	if (!children_has_room(&server->children, account)) {
		log_line("refused: %u children are at work, and %s has its "
			 "share",
			server->children.count, account);
		return;
	}
	pid_t pid = fork();
	if (pid == 0)
		_exit(serve(server, work, rule->life_s));
	if (pid < 0)
		log_line("cannot fork: %s", strerror(errno));
	else
		children_add(&server->children, pid, account,
			deadline_after_ms(
				((int64_t)rule->life_s + GRACE_S) * 1000));
}

/* Takes one request. False: the client goes. */
static bool
take_request(struct server *server, const struct client *client)
{
	struct work work = {.descriptors = 0};
	ssize_t got = descriptors_receive(client->fd, &work.request,
		sizeof work.request, work.descriptor, DESCRIPTORS_MAX,
		&work.descriptors);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got == (ssize_t)sizeof work.request)
		start_child(server, &work, client->uid);
	else if (got != 0)
		log_line("refused: uid %u sent no request",
			(unsigned)client->uid);
	for (unsigned i = 0; got > 0 && i < work.descriptors; i++)
		close(work.descriptor[i]);
	return got == (ssize_t)sizeof work.request;
}

static void
take_client(struct server *server)
{
	int fd = accept4(
		server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct peer peer = {0};

	if (fd < 0)
		return;
	if (peer_identity(fd, &peer) < 0 ||
		!may_connect(&server->home, peer.uid)) {
		log_line("refused: uid %u may not ask", (unsigned)peer.uid);
		close(fd);
		return;
	}
	server->client[server->clients++] =
		(struct client){.fd = fd, .uid = peer.uid};
}

static void
reap(struct server *server)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		children_remove(&server->children, pid);
		if (WIFSIGNALED(status))
			log_line("child %d died of signal %d", (int)pid,
				WTERMSIG(status));
	}
}

static void
run(struct server *server)
{
	struct pollfd list[CLIENTS_MAX + 2];

	for (;;) {
		unsigned count = server->clients;

		list[0] = (struct pollfd){
			.fd = server->signals, .events = POLLIN};
		list[1] = (struct pollfd){
			.fd = count < CLIENTS_MAX ? server->listener : -1,
			.events = POLLIN};
		for (unsigned i = 0; i < count; i++)
			list[i + 2] = (struct pollfd){
				.fd = server->client[i].fd, .events = POLLIN};
		if (poll(list, count + 2,
			    deadline_left_ms(
				    children_next_ms(&server->children))) < 0 &&
			errno != EINTR) {
			log_line("poll: %s", strerror(errno));
			return;
		}
		if (service_take_signals(server->signals) & SERVICE_STOP)
			return;
		reap(server);
		unsigned killed = children_kill_overdue(&server->children);
		if (killed > 0)
			log_line("killed %u children: their time was over",
				killed);
		/* from the last on, because dropping moves the last one */
		for (unsigned i = count; i-- > 0;)
			if (list[i + 2].revents != 0 &&
				!take_request(server, &server->client[i])) {
				close(server->client[i].fd);
				server->client[i] =
					server->client[--server->clients];
			}
		if (list[1].revents != 0)
			take_client(server);
	}
}

/* --- the start --- */

static int
start(struct server *server, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	if (home_open(&server->home, why, size) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&server->home, "control", path),
			&server->settings, why, size) < 0)
		return -1;
	if (children_start(&server->children,
		    (unsigned)server->settings.children) < 0) {
		snprintf(why, size, "out of memory");
		return -1;
	}
	if (deliver_settings_make(&server->deliver, &server->home,
		    &server->settings.control, why, size) < 0)
		return -1;
	server->signals = service_signals();
	if (server->signals < 0) {
		snprintf(why, size, "no descriptor for signals: %s",
			strerror(errno));
		return -1;
	}
	server->listener = service_listen_suite(
		&server->home, "warden", BACKLOG, why, size);
	if (server->listener < 0)
		return -1;
	return role_take(&role, &server->home, why, size);
}

int
main(int argc, char **argv)
{
	struct server server = {.clients = 0};
	char why[300];

	(void)argv;
	log_start("warden");
	if (argc > 1) {
		log_line("usage: warden");
		return STATUS_MISUSE;
	}
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (start(&server, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	log_line("takes requests");
	/* from here on input is touched */
	run(&server);
	log_line("stops");
	return STATUS_DONE;
}
