/*
 * remote takes the jobs of delivery to other hosts and gives each destination a
 * worker, a child that finds its hosts and sends all that waits for it over one
 * connection, or over several while that helps.
 *
 * Runs as _keep-remote, which may read the queue and connect to other hosts.
 * Is handed jobs by the runner, as files, and wake-ups.
 * Promises that a job gets its end record when every recipient has a result, and
 * not before; killed, it takes every job without one up again, except those that
 * a worker of its predecessor still holds.
 * Never opens a message for writing. A worker reads what strangers send, and may
 * open nothing at all; of the logins it keeps the one that its route names.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/role.h"
#include "queue/limits.h"
#include "remote/remote.h"

static const struct role role = {
	.program = "remote",
	.user = "_keep-remote",
	.group = "_keep-remote",
	.groups = {"keep-read"},
	.path = {{"queue", ROLE_READ}, {"queue/jobs/remote", ROLE_WRITE},
		{"queue/wake", ROLE_WRITE}, {"control", ROLE_READ},
		{"secrets", ROLE_READ}, {"socket", ROLE_CONNECT}},
	.reaches_network = true,
	.calls = CALLS_READ | CALLS_WRITE | CALLS_CONNECT | CALLS_SERVE |
		 CALLS_FORK,
	.memory_octets = 256 * 1024 * 1024,
	.descriptors = WORKERS_MAX + 64,
};

#define AT(member) offsetof(struct remote_settings, member)
static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, AT(me), "this host's name"},
	{"helohost", SETTING_HOST, "@me", 0, 0, AT(helohost),
		"the name said in EHLO"},
	{"nameservers", SETTING_LIST, "", 0, 0, AT(nameservers),
		"recursive name servers, IP or IP:PORT; those of the system"},
	{"allowlocaladdresses", SETTING_SWITCH, "0", 0, 1, AT(allow_local),
		"1: MX records may lead to loopback and its kind"},
	{"concurrencyremote", SETTING_NUMBER, "60", 1, WORKERS_MAX, AT(workers),
		"workers at one time"},
	{"remoteport", SETTING_NUMBER, "25", 1, 65535, AT(port),
		"the port of MX hosts"},
	{"timeoutconnect", SETTING_NUMBER, "60", 1, 3600, AT(timeout_connect_s),
		"seconds that a connection may take"},
	{"timeoutremote", SETTING_NUMBER, "0", 0, 86400, AT(timeout_s),
		"seconds for each answer; 0: as RFC 5321 4.5.3.2 has it"},
};

/* --- the loop --- */

static void
take_line(void *context, const char *line)
{
	char dest[LAYOUT_DEST_LENGTH + 1];

	if (strlen(line) < LAYOUT_DEST_LENGTH + 2 ||
		!layout_dest_is_valid(line, LAYOUT_DEST_LENGTH) ||
		line[LAYOUT_DEST_LENGTH] != '/')
		return;
	memcpy(dest, line, LAYOUT_DEST_LENGTH);
	dest[LAYOUT_DEST_LENGTH] = 0;
	remote_take_job(context, dest, line + LAYOUT_DEST_LENGTH + 1, false);
}

static void
run(struct remote *remote)
{
	static const short in = POLLIN;
	struct pollfd list[WORKERS_MAX + 2];
	struct destination *whose[WORKERS_MAX + 2];
	struct line *which[WORKERS_MAX + 2];
	int64_t sweep_ms = 0;

	for (;;) {
		unsigned count = 2;

		if (deadline_left_ms(sweep_ms) == 0 ||
			(remote->has_backlog && remote->jobs < JOBS_MAX / 2)) {
			remote_sweep(remote);
			sweep_ms = deadline_after_ms(SWEEP_S * 1000);
		}
		int64_t again_ms = lines_work(remote);
		list[0] = (struct pollfd){.fd = remote->fifo, .events = in};
		list[1] = (struct pollfd){
			.fd = dead_ask_fd(&remote->ask, &again_ms),
			.events = in};
		for (struct destination *one = remote->first; one;
			one = one->next)
			for (struct line *line = one->line; line;
				line = line->next) {
				list[count] = (struct pollfd){
					.fd = line->socket, .events = in};
				whose[count] = one;
				which[count++] = line;
			}
		if (again_ms > sweep_ms)
			again_ms = sweep_ms;
		if (poll(list, count, deadline_left_ms(again_ms)) < 0 &&
			errno != EINTR) {
			log_line("poll: %s", strerror(errno));
			return;
		}
		for (unsigned i = 2; i < count; i++)
			if (list[i].revents != 0)
				lines_hear(remote, whose[i], which[i]);
		if (dead_ask_serve(&remote->ask, &remote->home, &remote->dead))
			lines_end_idle(remote);
		wakeup_read(remote->fifo, take_line, remote);
	}
}

/* --- the start --- */

static void
make_options(struct remote *remote)
{
	const struct remote_settings *settings = &remote->settings;
	struct client_timeouts *timeouts = &remote->options.timeouts;

	remote->own[0] = settings->me;
	remote->own[1] = settings->helohost;
	remote->options.mx = (struct mx_options){.dns = &remote->dns,
		.own = remote->own,
		.owns = 2,
		.allow_local = (int)settings->allow_local,
		.port = (uint16_t)settings->port};
	remote->options.helo = settings->helohost;
	home_path(&remote->home, "socket/tls-client", remote->tls_socket);
	home_path(&remote->home, SMARTHOSTS_FILE, remote->secrets);
	remote->options.tls_socket = remote->tls_socket;
	remote->options.secrets_owner = remote->home.is_private ? getuid() : 0;
	*timeouts = CLIENT_TIMEOUTS;
	if (settings->timeout_s != 0) {
		int64_t each_ms = settings->timeout_s * 1000;

		*timeouts = (struct client_timeouts){.greeting_ms = each_ms,
			.mail_ms = each_ms,
			.rcpt_ms = each_ms,
			.data_ms = each_ms,
			.block_ms = each_ms,
			.final_ms = each_ms};
	}
	timeouts->connect_ms = settings->timeout_connect_s * 1000;
}

static int
open_queue(struct remote *remote, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	home_path(&remote->home, "queue", path);
	/* the group may pass through the queue folder, not list it */
	remote->queue = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int jobs = openat(remote->queue, QUEUE_JOBS_REMOTE,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (remote->queue < 0 || jobs < 0) {
		snprintf(why, size, "%s: %s; make-home makes it", path,
			strerror(errno));
		return -1;
	}
	remote->fifo =
		wakeup_open_reader(remote->queue, QUEUE_WAKE_REMOTE, 0622);
	if (remote->fifo < 0) {
		snprintf(why, size, "queue/" QUEUE_WAKE_REMOTE ": %s",
			strerror(errno));
		return -1;
	}
	/* A second remote is harmless but for the wake-ups that it takes: each
	 * job is locked by whoever does it. */
	close(jobs);
	return 0;
}

static int
start(struct remote *remote, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	if (home_open(&remote->home, why, size) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&remote->home, "control", path),
			&remote->settings, why, size) < 0 ||
		dns_start(&remote->dns, &remote->settings.nameservers, why,
			size) < 0 ||
		dead_ask_listen(&remote->ask, &remote->home, why, size) < 0)
		return -1;
	make_options(remote);
	if (role_take(&role, &remote->home, why, size) < 0)
		return -1;
	if (why[0] != 0)
		log_line("%s", why);
	return open_queue(remote, why, size);
}

int
main(int argc, char **argv)
{
	struct remote remote = {.runner = WAKEUP_WRITER(QUEUE_WAKE_RUNNER),
		.ask = DEAD_ASK_ZERO};
	char why[300];

	(void)argv;
	log_start("remote");
	if (argc > 1) {
		log_line("usage: remote");
		return STATUS_MISUSE;
	}
	signal(SIGPIPE, SIG_IGN);
	/* children are reaped by the kernel; their sockets tell of their end */
	signal(SIGCHLD, SIG_IGN);
	remote.last = &remote.first;
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (start(&remote, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	log_line("takes jobs");
	/* from here on input is touched */
	run(&remote);
	return STATUS_TEMPORARY;
}
