/*
 * authd says whether a password is right (pop3d/auth.h), and has the warden start
 * a session for who has the right one. A process of its own answers each
 * question, so that no password outlives its question.
 *
 * Runs as _keep-auth, with the groups that read the user database and shadow.
 * Is handed nothing; started as root, it makes socket/auth and gives root up.
 * Promises the same answer, after the same time, for wrong names and wrong
 * passwords; one line in the log for each wrong login.
 * Never logs, writes or keeps a password, and never touches mail.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "local/warden.h"
#include "tools/auth_check.h"

#define BACKLOG 128
#define QUESTION_WAIT_MS 10000
#define WARDEN_WAIT_MS 10000
/* A child that is still there then has gone astray. */
#define CHILD_SECONDS 60
/* A refusal leaves at a multiple of this since its question came. */
#define REFUSAL_STEP_MS 200
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

static const struct setting settings_table[] = {
	{"concurrencyauth", SETTING_NUMBER, "20", 1, 1000,
		offsetof(struct auth_settings, concurrency),
		"how many logins are checked at the same time"},
	{"systemlogins", SETTING_SWITCH, "0", 0, 1,
		offsetof(struct auth_settings, system_logins),
		"1: system users may log in with their passwords"},
	{"checkpassword", SETTING_TEXT, "", 0, 0,
		offsetof(struct auth_settings, program),
		"a program that checks passwords of names that are not in the "
		"user database"},
};

struct authd {
	struct home home;
	struct auth_settings settings;
	int listener;
	int signals; /* signalfd of SIGCHLD */
	unsigned children;
};

/* --- one question, in a process of its own --- */

static bool
is_text(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static bool
is_question(const struct auth_question *question, unsigned descriptors)
{
	unsigned wanted = question->service == AUTH_SERVICE_POP3 ? 3 : 0;

	return question->magic == AUTH_MAGIC &&
	       (question->service == AUTH_SERVICE_POP3 ||
		       question->service == AUTH_SERVICE_CHECK) &&
	       descriptors == wanted &&
	       is_text(question->name, sizeof question->name) &&
	       is_text(question->password, sizeof question->password) &&
	       is_text(question->client, sizeof question->client);
}

/* Receives a whole question, or says in the log why there is none. */
static int
receive(int fd, struct auth_question *question, int descriptor[3])
{
	int64_t deadline_ms = deadline_after_ms(QUESTION_WAIT_MS);
	struct pollfd one = {fd, POLLIN, 0};
	unsigned descriptors = 0;
	ssize_t got;

	do {
		if (poll(&one, 1, deadline_left_ms(deadline_ms)) == 0) {
			log_line("a question did not come in time");
			return -1;
		}
		got = descriptors_receive(fd, question, sizeof *question,
			descriptor, 3, &descriptors);
	} while (got < 0 && (errno == EAGAIN || errno == EINTR));
	if (got == sizeof *question && is_question(question, descriptors))
		return 0;
	if (got != 0)
		log_line("not a question: %s",
			got < 0 ? strerror(errno) : "malformed");
	return -1;
}

/* The client's address stands in the log before the name, so that whatever the
 * name holds, nobody can put another address there. */
static void
clean_client(char *client)
{
	if (*client == 0 ||
		strspn(client, "0123456789abcdefABCDEF.:") != strlen(client))
		snprintf(client, sizeof "unknown", "unknown");
}

static enum auth_verdict
start_session(const struct authd *authd, const struct auth_question *question,
	const char *key, const int descriptor[3])
{
	struct warden_request request = {
		.magic = WARDEN_MAGIC, .kind = WARDEN_POP3};
	char path[HOME_NAME_MAX];
	int fd = -1;

	snprintf(request.account, sizeof request.account, "%s", key);
	snprintf(request.client, sizeof request.client, "%s", question->client);
	if (warden_ask(&fd, home_path(&authd->home, "socket/warden", path),
		    &request, descriptor, 3,
		    deadline_after_ms(WARDEN_WAIT_MS)) == 0)
		return AUTH_YES;
	log_line("%s: %s", path, strerror(errno));
	return AUTH_TEMPORARY;
}

/* Whether who asked has gone meanwhile: nobody then waits for a session. */
static bool
has_gone(int fd)
{
	struct pollfd one = {fd, POLLIN, 0};

	return poll(&one, 1, 0) != 0;
}

static void
tell(const struct auth_question *question, enum auth_verdict verdict)
{
	static const char *const meaning[] = {[AUTH_YES] = "login",
		[AUTH_NO] = "login failed",
		[AUTH_TEMPORARY] = "login deferred"};

	log_line("%s: service=%s client=%s name=%s", meaning[verdict],
		question->service == AUTH_SERVICE_POP3 ? "pop3" : "check",
		question->client, question->name);
}

/* Answers one question. Returns the process's exit status. */
static int
answer(const struct authd *authd, int fd)
{
	const struct auth_place place = {&authd->home, &authd->settings};
	struct auth_answer reply = {.magic = AUTH_MAGIC};
	struct auth_question question;
	char key[ACCOUNT_KEY_MAX] = "";
	int descriptor[3];

	if (receive(fd, &question, descriptor) < 0)
		return STATUS_MISUSE;
	int64_t came_ms = deadline_now_ms();
	clean_client(question.client);
	enum auth_verdict verdict = auth_check(&place, &question, key);
	explicit_bzero(question.password, sizeof question.password);
	if (verdict == AUTH_YES && has_gone(fd))
		verdict = AUTH_TEMPORARY;
	if (verdict == AUTH_YES && question.service == AUTH_SERVICE_POP3)
		verdict = start_session(authd, &question, key, descriptor);
	tell(&question, verdict);
	if (verdict == AUTH_YES)
		snprintf(
			reply.account, sizeof reply.account, "%.253s", key + 2);
	if (verdict == AUTH_NO)
		poll(NULL, 0,
			REFUSAL_STEP_MS - (int)((deadline_now_ms() - came_ms) %
						  REFUSAL_STEP_MS));
	reply.verdict = verdict;
	if (descriptors_send(fd, &reply, sizeof reply, NULL, 0) < 0) {
		log_line("cannot answer: %s", strerror(errno));
		return STATUS_TEMPORARY;
	}
	return STATUS_DONE;
}

/* --- the server --- */

static bool
may_ask(const struct authd *authd, int fd)
{
	struct peer peer;

	if (peer_identity(fd, &peer) < 0) {
		log_line("cannot tell who asks: %s", strerror(errno));
		return false;
	}
	if (peer.uid == 0 ||
		home_is_user(&authd->home, "_keep-pop3d", peer.uid))
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
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(authd->listener);
	close(authd->signals);
	alarm(CHILD_SECONDS);
	_exit(answer(authd, fd));
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
	if (may_ask(authd, fd))
		start_child(authd, fd);
	close(fd);
}

static void
reap(struct authd *authd)
{
	struct signalfd_siginfo ignored;
	int status;

	if (read(authd->signals, &ignored, sizeof ignored) < 0 &&
		errno != EAGAIN)
		log_line("signalfd: %s", strerror(errno));
	while (waitpid(-1, &status, WNOHANG) > 0) {
		if (authd->children > 0)
			authd->children--;
		if (WIFSIGNALED(status))
			log_line(
				"a child ended by signal %d", WTERMSIG(status));
	}
}

static int
serve(struct authd *authd)
{
	for (;;) {
		bool is_full = authd->children >= authd->settings.concurrency;
		struct pollfd waiting[2] = {{authd->signals, POLLIN, 0},
			{is_full ? -1 : authd->listener, POLLIN, 0}};

		if (poll(waiting, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			log_line("poll: %s", strerror(errno));
			return STATUS_TEMPORARY;
		}
		if (waiting[0].revents != 0)
			reap(authd);
		if (waiting[1].revents != 0)
			take_connection(authd);
	}
}

/* Everything up to the role. */
static int
prepare(struct authd *authd, char *why, size_t size)
{
	char path[HOME_NAME_MAX];
	sigset_t child;
	gid_t gid;

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
	if (home_group_id(&authd->home, "keep-suite", &gid) < 0) {
		snprintf(why, size,
			"control/ids does not name group keep-suite: run "
			"make-users");
		return -1;
	}
	authd->listener = service_listen(
		home_path(&authd->home, "socket/auth", path), SOCK_SEQPACKET,
		0660, authd->home.is_private ? (gid_t)-1 : gid, BACKLOG);
	if (authd->listener < 0) {
		snprintf(why, size, "%s: %s", path, strerror(errno));
		return -1;
	}
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	authd->signals = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	if (authd->signals < 0) {
		snprintf(why, size, "signalfd: %s", strerror(errno));
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
	return serve(&authd);
}
