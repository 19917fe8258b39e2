/*
 * authd says who may log in (lib/auth.h), by the mechanisms of SASL, and has the
 * warden start a session for who fetches mail. A process of its own is there for
 * each exchange, so that no password outlives its exchange.
 *
 * Runs as _keep-auth, with the groups that read the user database and shadow.
 * Is handed nothing; started as root, it makes socket/auth and gives root up.
 * Promises the same answer, after the same time, for wrong names and wrong
 * passwords; one line in the log for each wrong login.
 * Never logs, writes or keeps a password, and never touches mail.
 */

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "tools/auth_check.h"
#include "tools/auth_exchange.h"
#include "tools/auth_limits.h"

#define BACKLOG 128
/* A child that is still there then has gone astray. */
#define CHILD_SECONDS (EXCHANGE_MS / 1000 + 60)
#define PAUSE_MS 100

static const struct role authd_role = {
	.program = "authd",
	.user = "_keep-auth",
	.group = "_keep-auth",
	.groups = {"keep-suite", "keep-users", "?shadow"},
	.path = {{"users", ROLE_READ}, {"control", ROLE_READ},
		{"/etc", ROLE_READ}, {"/lib", ROLE_READ}, {"/lib64", ROLE_READ},
		{"/usr", ROLE_READ}, {"/run", ROLE_READ},
		{"/dev/null", ROLE_READ | ROLE_WRITE},
		{"socket", ROLE_CONNECT}},
	.calls = CALLS_READ | CALLS_CONNECT | CALLS_SERVE | CALLS_FORK |
		 CALLS_EXEC,
	.memory_octets = 256 * 1024 * 1024,
	.descriptors = 32,
};

#define AT(member) offsetof(struct auth_settings, member)

static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, AT(me), "this host's name"},
	{"concurrencyauth", SETTING_NUMBER, "20", 1, LIMITS_SLOTS_MAX,
		AT(concurrency),
		"how many logins are checked at the same time"},
	{"authqueue", SETTING_NUMBER, "400", 1, 10000, AT(queue),
		"how many clients may be logging in at the same time"},
	{"authfailures", SETTING_NUMBER, "4", 1, 1000000, AT(failures),
		"how many failed logins from an address go by before the next "
		"are slowed down"},
	{"systemlogins", SETTING_SWITCH, "0", 0, 1, AT(system_logins),
		"1: system users may log in with their passwords"},
	{"checkpassword", SETTING_TEXT, "", 0, 0, AT(program),
		"a program that checks passwords of names that are not in the "
		"user database"},
	{"checkpasswordmethod", SETTING_SWITCH, "0", 0, 1, AT(program_method),
		"1: that program wants a fourth field, the method"},
};

struct authd {
	struct home home;
	struct auth_settings settings;
	struct auth_place place;
	struct auth_limits limits;
	int listener;
	int signals;
	unsigned children;
	bool is_full; /* it stands in the log */
};

static bool
may_ask(const struct authd *authd, int fd)
{
	struct peer peer;

	if (peer_identity(fd, &peer) < 0) {
		log_line("cannot tell who asks: %s", strerror(errno));
		return false;
	}
	if (peer.uid == 0 ||
		home_is_user(&authd->home, "_keep-pop3d", peer.uid) ||
		home_is_user(&authd->home, "_keep-smtpd", peer.uid))
		return true;
	log_line("uid %u (pid %ld) may not ask", (unsigned)peer.uid,
		(long)peer.pid);
	return false;
}

static void
start_child(struct authd *authd, int fd)
{
	pid_t child = fork();

	if (child < 0) {
		log_line("fork: %s", strerror(errno));
		return;
	}
	if (child > 0) {
		authd->children++;
		return;
	}
	service_unblock_signals();
	close(authd->listener);
	close(authd->signals);
	alarm(CHILD_SECONDS);
	_exit(exchange_run(&authd->place, &authd->limits, fd));
}

static void
take_connection(struct authd *authd)
{
	int fd = accept4(authd->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR &&
			errno != ECONNABORTED) {
			log_line("accept: %s", strerror(errno));
			poll(NULL, 0, PAUSE_MS);
		}
		return;
	}
	bool is_full = authd->children >= authd->settings.queue;
	if (!may_ask(authd, fd))
		;
	else if (is_full)
		exchange_turn_away(fd);
	else
		start_child(authd, fd);
	close(fd);
	if (is_full && !authd->is_full)
		log_line("%u clients are logging in: more are turned away",
			authd->children);
	authd->is_full = is_full;
}

static void
reap(struct authd *authd)
{
	int status;

	while (waitpid(-1, &status, WNOHANG) > 0) {
		if (authd->children > 0)
			authd->children--;
		if (WIFSIGNALED(status))
			log_line(
				"a child ended by signal %d", WTERMSIG(status));
	}
}

/* Until SIGTERM. Children in hand finish by themselves. */
static int
serve(struct authd *authd)
{
	for (;;) {
		int came = service_wait(authd->signals, authd->listener, -1);

		if (came < 0) {
			log_line("poll: %s", strerror(errno));
			return STATUS_TEMPORARY;
		}
		if (came & SERVICE_STOP)
			return STATUS_DONE;
		if (came & SERVICE_CHILD)
			reap(authd);
		if (came & SERVICE_CONNECTION)
			take_connection(authd);
	}
}

/* Everything up to the role. */
static int
prepare(struct authd *authd, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	if (home_open(&authd->home, why, size) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&authd->home, "control", path),
			&authd->settings, why, size) < 0)
		return -1;
	const char *program = authd->settings.program;
	if (*program != 0 && (*program != '/' || strlen(program) > 250)) {
		snprintf(why, size,
			"%s/checkpassword: expected a program's absolute path",
			path);
		return -1;
	}
	authd->listener =
		service_listen_suite(&authd->home, "auth", BACKLOG, why, size);
	if (authd->listener < 0)
		return -1;
	authd->place.home = &authd->home;
	authd->place.settings = &authd->settings;
	if (getrandom(authd->place.seed, sizeof authd->place.seed, 0) !=
			sizeof authd->place.seed ||
		auth_limits_open(&authd->limits,
			(unsigned)authd->settings.concurrency,
			authd->settings.failures) < 0) {
		snprintf(why, size, "the limits: %s", strerror(errno));
		return -1;
	}
	authd->signals = service_signals();
	if (authd->signals < 0) {
		snprintf(why, size, "no descriptor for signals: %s",
			strerror(errno));
		return -1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct authd authd = {.listener = -1, .signals = -1};
	char why[400];

	(void)argv;
	log_start("authd");
	if (argc > 1) {
		log_line("usage: authd");
		return STATUS_MISUSE;
	}
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (prepare(&authd, why, sizeof why) < 0 ||
		role_take(&authd_role, &authd.home, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	if (*why != 0)
		log_line("%s", why);
	log_line("answers");
	return serve(&authd);
}
