/*
 * tlsd speaks TLS with the clients of smtpd and pop3d (lib/tls.h).
 *
 * Runs as _keep-tls, in three parts. The signing part is forked at the start, alone
 * has the private keys and may read the folder tls, and no octet of a client comes
 * to it (tls/signer.h). The parent, of which this file is, knows the certificates
 * without their keys, accepts connections of askers and reads nothing from them. A
 * child for each session reads what client and asker send; it may open nothing, and
 * can have two signatures made.
 * Is handed nothing; started as root, it makes socket/tls and gives root up.
 * Promises to listen only while there is a certificate; that new files in tls/ are
 * taken without dropping a session; that one session's end is nobody else's.
 * Never hands a private key to a part that reads what strangers send.
 */

#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "tls/contexts.h"
#include "tls/pump.h"
#include "tls/session.h"
#include "tls/signer.h"

#define BACKLOG 512
/* Children beside the sessions that only say that there are too many. */
#define REFUSALS_MAX 32
/* How long the signing part may take to say what there is at the start. */
#define START_MS (60 * 1000)
/* The wait after a call that failed for want of something. */
#define REST_MS 100
/* How often the keys of tickets are looked at. */
#define TURN_MS (60 * 1000)

static const struct role tlsd_role = {
	.program = "tlsd",
	.user = "_keep-tls",
	.group = "_keep-tls",
	.calls = CALLS_SERVE | CALLS_FORK,
	.memory_octets = 64 * 1024 * 1024,
	.descriptors = 4096,
};

struct tlsd_settings {
	int64_t sessions;
};

static const struct setting settings_table[] = {
	{"concurrencytls", SETTING_NUMBER, "400", 4, 4000,
		offsetof(struct tlsd_settings, sessions),
		"the most TLS sessions at one time"},
};

struct child {
	pid_t pid; /* 0: free */
	uid_t asker;
};

struct tlsd {
	struct home home;
	struct tlsd_settings settings;
	struct contexts contexts;
	struct key_methods methods;
	int listener, signals, control;
	int signer; /* of a session, in its child */
	pid_t signer_pid;
	struct child *child;
	size_t children_max, children;
	/* What the signing part is telling. */
	struct certificates *coming;
};

/* --- the signing part --- */

static int
start_signer(struct tlsd *tlsd)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	tlsd->signer_pid = fork();
	if (tlsd->signer_pid < 0)
		return -1;
	if (tlsd->signer_pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		close(pair[0]);
		close(tlsd->signals);
		_exit(signer_run(
			&tlsd->home, pair[1], (unsigned)tlsd->children_max));
	}
	close(pair[1]);
	tlsd->control = pair[0];
	return pump_unblock(tlsd->control);
}

/* Shows a whole set. False: the socket does not fit to it any more, so start anew. */
static bool
show(struct tlsd *tlsd)
{
	size_t count = tlsd->coming->count;

	if (count == 0 && tlsd->listener >= 0) {
		log_line("no certificate is left: starts anew, without");
		return false;
	}
	if (count > 0 && tlsd->listener < 0) {
		log_line("there is a certificate: starts anew, with it");
		return false;
	}
	struct certificates *certificates = tlsd->coming;
	tlsd->coming = NULL;
	if (contexts_show(&tlsd->contexts, certificates) < 0) {
		log_line("no randomness for tickets");
		return false;
	}
	log_line("certificates: %zu%s", count,
		certificates->clients != NULL ? ", and clients are asked for "
						"theirs"
					      : "");
	return true;
}

static void
add(struct tlsd *tlsd, const struct keep_record *record, int file)
{
	char why[200];

	if (tlsd->coming != NULL &&
		certificates_add(tlsd->coming, &tlsd->methods, &tlsd->signer,
			record, file, why, sizeof why) < 0)
		log_line("%s", why);
}

/* Takes one record. 1: there may be more; 0: none is there; -1: end. */
static int
hear_signer(struct tlsd *tlsd, struct keep_record *record)
{
	unsigned descriptors = 0;
	int file = -1;
	ssize_t got = descriptors_receive(
		tlsd->control, record, sizeof *record, &file, 1, &descriptors);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got != (ssize_t)sizeof *record || record->magic != SIGN_MAGIC) {
		log_line("the signing part has gone");
		return -1;
	}
	bool goes_on = true;
	if (record->kind == KEEP_BEGIN) {
		certificates_free(tlsd->coming);
		tlsd->coming = certificates_new();
	} else if (descriptors == 1) {
		add(tlsd, record, file);
	} else if (record->kind == KEEP_END && tlsd->coming != NULL) {
		goes_on = show(tlsd);
	}
	if (descriptors == 1)
		close(file);
	return goes_on ? 1 : -1;
}

static int
hear_all(struct tlsd *tlsd)
{
	struct keep_record record;
	int result;

	do
		result = hear_signer(tlsd, &record);
	while (result > 0);
	return result;
}

/* Waits for the first word: how many certificates there are. 0, or -1. */
static int
count_certificates(const struct tlsd *tlsd, uint32_t *count)
{
	struct pollfd wait = {tlsd->control, POLLIN, 0};
	struct keep_record record;

	if (poll(&wait, 1, START_MS) <= 0 ||
		recv(tlsd->control, &record, sizeof record,
			MSG_PEEK | MSG_DONTWAIT) != (ssize_t)sizeof record ||
		record.magic != SIGN_MAGIC || record.kind != KEEP_BEGIN)
		return -1;
	*count = record.count;
	return 0;
}

/* --- sessions --- */

/*
 * Why there is to be no session; NULL: there may be one. No user has more than
 * three quarters, so that POP3 goes on while SMTP is flooded.
 */
static const char *
refusal(const struct tlsd *tlsd, uid_t asker)
{
	size_t most = (size_t)tlsd->settings.sessions, own = 0;

	if (tlsd->children >= most)
		return "too many sessions: see control/concurrencytls";
	if (tlsd->home.is_private)
		return NULL;
	for (size_t i = 0; i < tlsd->children_max; i++)
		own += tlsd->child[i].pid != 0 && tlsd->child[i].asker == asker;
	return own >= most - most / 4 ? "too many sessions of one kind: see "
					"control/concurrencytls"
				      : NULL;
}

static bool
may_ask(const struct tlsd *tlsd, int fd, struct peer *peer)
{
	if (peer_identity(fd, peer) < 0)
		return false;
	if (peer->uid == 0 ||
		home_is_user(&tlsd->home, "_keep-smtpd", peer->uid) ||
		home_is_user(&tlsd->home, "_keep-pop3d", peer->uid))
		return true;
	log_line("uid %u may not ask", (unsigned)peer->uid);
	return false;
}

/* Gives the signing part one end of a pair. Returns the other, or -1. */
static int
ask_signer(const struct tlsd *tlsd)
{
	struct keep_record record = {.magic = SIGN_MAGIC, .kind = KEEP_SESSION};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	int result = descriptors_send(
		tlsd->control, &record, sizeof record, &pair[1], 1);
	int saved = errno;
	close(pair[1]);
	if (result < 0) {
		close(pair[0]);
		errno = saved;
		return -1;
	}
	return pair[0];
}

static void
note_child(struct tlsd *tlsd, pid_t pid, uid_t asker)
{
	for (size_t i = 0; i < tlsd->children_max; i++)
		if (tlsd->child[i].pid == 0) {
			tlsd->child[i] = (struct child){pid, asker};
			tlsd->children++;
			return;
		}
}

static void
run_child(struct tlsd *tlsd, struct session *session)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(tlsd->listener);
	close(tlsd->control);
	close(tlsd->signals);
	session_run(session);
	_exit(0);
}

static int
start_session(struct tlsd *tlsd, int fd, const struct peer *peer)
{
	struct session session = {
		.home = &tlsd->home,
		.contexts = &tlsd->contexts,
		.connection = fd,
		.asker = *peer,
		.signer = &tlsd->signer,
		.refusal = refusal(tlsd, peer->uid),
	};

	if (session.refusal == NULL) {
		tlsd->signer = ask_signer(tlsd);
		if (tlsd->signer < 0) {
			log_line("the signing part is not to be had: %s",
				strerror(errno));
			session.refusal = "cannot serve now";
		}
	}
	pid_t pid = fork();
	if (pid == 0)
		run_child(tlsd, &session);
	if (pid > 0)
		note_child(tlsd, pid, peer->uid);
	else
		log_line("cannot fork: %s", strerror(errno));
	if (tlsd->signer >= 0)
		close(tlsd->signer);
	tlsd->signer = -1;
	return pid > 0 ? 0 : -1;
}

/* Takes one connection. 0, or -1: something is short, rest a while. */
static int
take_connection(struct tlsd *tlsd)
{
	struct peer peer = {0};
	int fd = accept4(tlsd->listener, NULL, NULL, SOCK_CLOEXEC);
	int result = 0;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR ||
				       errno == ECONNABORTED
			       ? 0
			       : -1;
	if (may_ask(tlsd, fd, &peer))
		result = start_session(tlsd, fd, &peer);
	close(fd);
	return result;
}

/* --- signals --- */

static void
reap(struct tlsd *tlsd)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (WIFSIGNALED(status) && WTERMSIG(status) != SIGTERM)
			log_line("%s died of signal %d",
				pid == tlsd->signer_pid ? "the signing part"
							: "a session",
				WTERMSIG(status));
		for (size_t i = 0; i < tlsd->children_max; i++)
			if (tlsd->child[i].pid == pid) {
				tlsd->child[i].pid = 0;
				tlsd->children--;
			}
	}
}

static void
look(const struct tlsd *tlsd)
{
	struct keep_record record = {.magic = SIGN_MAGIC, .kind = KEEP_LOOK};

	(void)send(tlsd->control, &record, sizeof record,
		MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* False when it is time to end. */
static bool
take_signals(struct tlsd *tlsd)
{
	struct signalfd_siginfo info;

	while (read(tlsd->signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGTERM)
			return false;
		if (info.ssi_signo == SIGHUP)
			look(tlsd);
	}
	reap(tlsd);
	return true;
}

/* --- the server --- */

static int
turn_tickets(struct tlsd *tlsd)
{
	for (int service = 1; service <= CONTEXTS_MAX; service++)
		if (tickets_turn(&tlsd->contexts.tickets[service]) < 0) {
			log_line("no randomness for tickets");
			return -1;
		}
	return 0;
}

/* Until SIGTERM, or until the socket does not fit to what there is. Sessions in
 * hand finish by themselves. */
static int
run(struct tlsd *tlsd)
{
	struct pollfd wait[] = {
		{.fd = tlsd->signals, .events = POLLIN},
		{.fd = tlsd->control, .events = POLLIN},
		{.fd = tlsd->listener, .events = POLLIN},
	};
	bool is_resting = false;

	for (;;) {
		bool has_room = tlsd->children < tlsd->children_max;

		wait[2].fd = has_room && !is_resting ? tlsd->listener : -1;
		wait[2].revents = 0;
		if (poll(wait, 3, is_resting ? REST_MS : TURN_MS) < 0 &&
			errno != EINTR) {
			log_line("poll: %s", strerror(errno));
			return STATUS_TEMPORARY;
		}
		if (wait[0].revents != 0 && !take_signals(tlsd))
			return STATUS_DONE;
		if (wait[1].revents != 0 && hear_all(tlsd) < 0)
			return STATUS_TEMPORARY;
		if (turn_tickets(tlsd) < 0)
			return STATUS_TEMPORARY;
		is_resting = wait[2].revents != 0 && take_connection(tlsd) < 0;
	}
}

/* --- the start --- */

static int
take_signals_here(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Makes the socket if there is a certificate, and else sees to it that there is
 * none. 0, or -1 with a sentence. */
static int
make_socket(struct tlsd *tlsd, char *why, size_t size)
{
	char path[HOME_NAME_MAX];
	uint32_t count = 0;

	if (count_certificates(tlsd, &count) < 0) {
		snprintf(why, size, "the signing part does not start");
		return -1;
	}
	if (count == 0) {
		(void)unlink(home_path(&tlsd->home, "socket/tls", path));
		log_line("no certificate in tls/: TLS is not offered");
		return 0;
	}
	tlsd->listener =
		service_listen_suite(&tlsd->home, "tls", BACKLOG, why, size);
	return tlsd->listener < 0 ? -1 : 0;
}

static int
start(struct tlsd *tlsd, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	if (home_open(&tlsd->home, why, size) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&tlsd->home, "control", path),
			&tlsd->settings, why, size) < 0)
		return -1;
	/* OpenSSL compares dates, for which libc wants the time zone: it must be
	 * read before files are closed to us. */
	tzset();
	/* What the system's openssl.cnf says of other programs is not for us. */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 ||
		key_methods_make(&tlsd->methods) < 0) {
		snprintf(why, size, "OpenSSL does not start");
		return -1;
	}
	if (contexts_make(&tlsd->contexts, why, size) < 0)
		return -1;
	tlsd->children_max = (size_t)tlsd->settings.sessions + REFUSALS_MAX;
	tlsd->child = calloc(tlsd->children_max, sizeof tlsd->child[0]);
	tlsd->signals = take_signals_here();
	if (tlsd->child == NULL || tlsd->signals < 0 ||
		start_signer(tlsd) < 0) {
		snprintf(why, size, "cannot start: %s", strerror(errno));
		return -1;
	}
	if (make_socket(tlsd, why, size) < 0)
		return -1;
	return role_take(&tlsd_role, &tlsd->home, why, size);
}

int
main(int argc, char **argv)
{
	struct tlsd *tlsd = calloc(1, sizeof *tlsd);
	char why[300];

	(void)argv;
	log_start("tlsd");
	if (argc > 1) {
		log_line("usage: tlsd");
		return STATUS_MISUSE;
	}
	if (tlsd == NULL || descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	tlsd->listener = tlsd->signals = tlsd->control = tlsd->signer = -1;
	if (start(tlsd, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	if (why[0] != 0)
		log_line("%s", why);
	if (tlsd->listener >= 0)
		log_line("answers");
	/* from here on input is touched */
	int status = run(tlsd);
	log_line("stops");
	return status;
}
