/*
 * countd keeps the counters that the processes of many connections share
 * (lib/counter.h): how much of something has happened lately, and how many hold
 * something now.
 *
 * Runs as _keep-count.
 * Is handed nothing; started as root, it makes socket/count and gives root up.
 * Promises that what a connection holds is given back when the connection ends,
 * however its process ends; that counts survive its own end but for those of the
 * last seconds; and an answer that waits for no disk.
 * Never refuses anything by itself: what a total means is the asker's to say.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/counter.h"
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "tools/counts_file.h"

#define BACKLOG 512
#define OPEN_FILES 4096
#define SAVE_MS 5000
#define COMPLAIN_MS 60000
/* A child that still writes then has gone astray. */
#define CHILD_SECONDS 120
/* Questions of one connection before the others have their turn. */
#define QUESTIONS_MAX 16
#define EVENTS 64

/* What the counters of pop3d are called: it has no say in others. */
#define POP3_KEYS "pop3 "

static const struct role countd_role = {
	.program = "countd",
	.user = "_keep-count",
	.group = "_keep-count",
	.path = {{"count", ROLE_READ | ROLE_WRITE}},
	.calls = CALLS_READ | CALLS_WRITE | CALLS_SERVE | CALLS_FORK,
	.memory_octets = 512 * 1024 * 1024,
	.descriptors = OPEN_FILES,
};

struct countd_settings {
	int64_t counters, connections;
};

static const struct setting settings_table[] = {
	{"countersmax", SETTING_NUMBER, "50000", 1000, 500000,
		offsetof(struct countd_settings, counters),
		"the most counters at one time"},
	{"concurrencycount", SETTING_NUMBER, "1000", 10, OPEN_FILES - 96,
		offsetof(struct countd_settings, connections),
		"the most connections at one time"},
};

/* Who is connected, and what it holds. */
struct client {
	int fd;
	bool is_pop3; /* may use the keys of POP3 alone */
	unsigned holds;
	char hold[COUNTER_HOLDS_MAX][COUNTER_KEY_MAX + 1];
};

struct countd {
	struct home home;
	struct countd_settings settings;
	struct counts counts;
	struct counts_time time;
	int listener, signals, events, folder;
	unsigned clients;
	pid_t writer; /* 0: none */
	int64_t save_deadline_ms;
	int64_t complain_deadline_ms; /* no complaint before */
	uint64_t lost;		      /* as the log has it */
};

/* At most one complaint a minute, whatever strangers do. */
static bool
may_complain(struct countd *countd)
{
	if (deadline_left_ms(countd->complain_deadline_ms) > 0)
		return false;
	countd->complain_deadline_ms = deadline_after_ms(COMPLAIN_MS);
	return true;
}

/* --- clients --- */

static void
end_client(struct countd *countd, struct client *client)
{
	for (unsigned i = 0; i < client->holds; i++)
		counts_release(&countd->counts, client->hold[i]);
	/* Closing is not enough while a writing child has it too. */
	(void)epoll_ctl(countd->events, EPOLL_CTL_DEL, client->fd, NULL);
	close(client->fd);
	free(client);
	countd->clients--;
}

static int
carry_out(struct countd *countd, struct client *client,
	const struct counter_question *question, uint64_t *total)
{
	int64_t now_ms = deadline_now_ms();

	if (question->operation == COUNTER_ADD)
		return counts_add(&countd->counts, question->key,
			question->window_s, question->amount, now_ms, total);
	if (client->holds == COUNTER_HOLDS_MAX ||
		counts_hold(&countd->counts, question->key, now_ms, total) < 0)
		return -1;
	memcpy(client->hold[client->holds++], question->key,
		sizeof client->hold[0]);
	return 0;
}

/* Answers one question. 0, or -1: nothing came; -2: the connection has to end. */
static int
answer(struct countd *countd, struct client *client)
{
	struct counter_answer reply = {COUNTER_MAGIC, COUNTER_OK, 0};
	struct counter_question question;

	ssize_t got = recv(client->fd, &question, sizeof question, MSG_TRUNC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return -1;
	if (got <= 0)
		return -2;
	if (!counter_question_read(&question, (size_t)got, &question)) {
		if (may_complain(countd))
			log_line("not a question: %zd octets", got);
		return -2;
	}
	if (client->is_pop3 &&
		strncmp(question.key, POP3_KEYS, strlen(POP3_KEYS)) != 0) {
		if (may_complain(countd))
			log_line("not for pop3d: %s", question.key);
		return -2;
	}
	if (carry_out(countd, client, &question, &reply.total) < 0) {
		reply.status = COUNTER_FULL;
		if (may_complain(countd))
			log_line("no room for %s: see control/countersmax",
				question.key);
	}
	if (send(client->fd, &reply, sizeof reply,
		    MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof reply)
		return -2;
	return 0;
}

static void
serve_client(struct countd *countd, struct client *client)
{
	int result = 0;

	for (int i = 0; i < QUESTIONS_MAX && result == 0; i++)
		result = answer(countd, client);
	if (result == -2)
		end_client(countd, client);
}

static bool
may_ask(struct countd *countd, int fd, bool *is_pop3)
{
	struct peer peer;

	if (peer_identity(fd, &peer) < 0) {
		log_line("cannot tell who asks: %s", strerror(errno));
		return false;
	}
	/* In private mode all have one uid, and may all. */
	*is_pop3 = home_is_user(&countd->home, "_keep-pop3d", peer.uid) &&
		   !countd->home.is_private;
	if (peer.uid == 0 || *is_pop3 ||
		home_is_user(&countd->home, "_keep-smtpd", peer.uid))
		return true;
	if (may_complain(countd))
		log_line("uid %u (pid %ld) may not ask", (unsigned)peer.uid,
			(long)peer.pid);
	return false;
}

static struct client *
new_client(struct countd *countd, int fd, bool is_pop3)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (countd->clients >= countd->settings.connections) {
		if (may_complain(countd))
			log_line("more than %u connections: see "
				 "control/concurrencycount",
				countd->clients);
		return NULL;
	}
	struct client *client = calloc(1, sizeof *client);
	if (client == NULL)
		return NULL;
	client->fd = fd;
	client->is_pop3 = is_pop3;
	event.data.ptr = client;
	if (epoll_ctl(countd->events, EPOLL_CTL_ADD, fd, &event) < 0) {
		log_line("epoll_ctl: %s", strerror(errno));
		free(client);
		return NULL;
	}
	countd->clients++;
	return client;
}

static void
take_connection(struct countd *countd)
{
	int fd = accept4(
		countd->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR &&
			errno != ECONNABORTED && may_complain(countd))
			log_line("accept: %s", strerror(errno));
		return;
	}
	bool is_pop3;
	if (!may_ask(countd, fd, &is_pop3) ||
		new_client(countd, fd, is_pop3) == NULL)
		close(fd);
}

/* --- the file --- */

static void
tell_lost(struct countd *countd)
{
	if (countd->counts.lost == countd->lost || !may_complain(countd))
		return;
	log_line("%llu counters gave way to others: see control/countersmax",
		(unsigned long long)(countd->counts.lost - countd->lost));
	countd->lost = countd->counts.lost;
}

static int
write_file(struct countd *countd)
{
	counts_file_time(&countd->time);
	if (counts_file_write(countd->folder, &countd->counts, &countd->time) ==
		0)
		return STATUS_DONE;
	log_line("count/%s: %s", COUNTS_FILE, strerror(errno));
	return STATUS_TEMPORARY;
}

/* A child writes what is in its memory, so that no question waits for it. */
static void
save(struct countd *countd)
{
	countd->save_deadline_ms = deadline_after_ms(SAVE_MS);
	tell_lost(countd);
	if (!countd->counts.is_changed || countd->writer > 0)
		return;
	pid_t child = fork();
	if (child < 0) {
		log_line("fork: %s", strerror(errno));
		return;
	}
	if (child > 0) {
		countd->writer = child;
		countd->counts.is_changed = 0;
		return;
	}
	alarm(CHILD_SECONDS);
	/* A client that we end must see its connection end. */
	for (int fd = 3; fd < OPEN_FILES; fd++)
		if (fd != countd->folder)
			close(fd);
	_exit(write_file(countd));
}

static void
reap(struct countd *countd, int options)
{
	int status;

	if (countd->writer == 0 ||
		waitpid(countd->writer, &status, options) != countd->writer)
		return;
	countd->writer = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != STATUS_DONE)
		countd->counts.is_changed = 1;
}

/* --- the server --- */

/* False when it is time to end. */
static bool
take_signal(struct countd *countd)
{
	struct signalfd_siginfo signal;

	if (read(countd->signals, &signal, sizeof signal) !=
		(ssize_t)sizeof signal)
		return true;
	if (signal.ssi_signo == SIGCHLD) {
		reap(countd, WNOHANG);
		return true;
	}
	return false;
}

static int
end(struct countd *countd)
{
	reap(countd, 0);
	return write_file(countd);
}

static int
serve(struct countd *countd)
{
	struct epoll_event event[EVENTS];

	for (;;) {
		int ready = epoll_wait(countd->events, event, EVENTS,
			deadline_left_ms(countd->save_deadline_ms));

		if (ready < 0 && errno != EINTR) {
			log_line("epoll_wait: %s", strerror(errno));
			return STATUS_TEMPORARY;
		}
		for (int i = 0; i < ready; i++) {
			if (event[i].data.ptr == &countd->listener)
				take_connection(countd);
			else if (event[i].data.ptr != &countd->signals)
				serve_client(countd, event[i].data.ptr);
			else if (!take_signal(countd))
				return end(countd);
		}
		if (deadline_left_ms(countd->save_deadline_ms) == 0)
			save(countd);
	}
}

static int
watch(struct countd *countd, int *fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};

	return epoll_ctl(countd->events, EPOLL_CTL_ADD, *fd, &event);
}

static int
prepare_events(struct countd *countd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	countd->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	countd->events = epoll_create1(EPOLL_CLOEXEC);
	if (countd->signals < 0 || countd->events < 0)
		return -1;
	if (watch(countd, &countd->signals) < 0)
		return -1;
	return watch(countd, &countd->listener);
}

static int
prepare_table(struct countd *countd)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
		return -1;
	return counts_make(
		&countd->counts, (size_t)countd->settings.counters, seed);
}

/* Everything up to the role. */
static int
prepare(struct countd *countd, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	if (home_open(&countd->home, why, size) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&countd->home, "control", path),
			&countd->settings, why, size) < 0)
		return -1;
	counts_file_boot(countd->time.boot);
	if (prepare_table(countd) < 0) {
		snprintf(why, size, "the table: %s", strerror(errno));
		return -1;
	}
	countd->folder = open(home_path(&countd->home, "count", path),
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (countd->folder < 0) {
		snprintf(why, size, "%s: %s: run make-home", path,
			strerror(errno));
		return -1;
	}
	countd->listener = service_listen_suite(
		&countd->home, "count", BACKLOG, why, size);
	if (countd->listener < 0)
		return -1;
	if (prepare_events(countd) < 0) {
		snprintf(why, size, "no descriptor for events: %s",
			strerror(errno));
		return -1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct countd countd = {
		.listener = -1, .signals = -1, .events = -1, .folder = -1};
	char why[400];

	(void)argv;
	log_start("countd");
	if (argc > 1) {
		log_line("usage: countd");
		return STATUS_MISUSE;
	}
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (prepare(&countd, why, sizeof why) < 0 ||
		role_take(&countd_role, &countd.home, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	if (*why != 0)
		log_line("%s", why);
	counts_file_time(&countd.time);
	long read = counts_file_read(
		countd.folder, &countd.counts, &countd.time, why, sizeof why);
	if (*why != 0)
		log_line("%s", why);
	log_line("answers; %ld counters from before", read);
	return serve(&countd);
}
