/*
 * tls-client does TLS for remote: it takes a connection to another host, connects
 * by TLS over it and carries what passes, so that nobody who reads mail has
 * OpenSSL or a key in his memory.
 *
 * Runs as _keep-tlsc, which may read nothing and belongs to no group.
 * Is handed the listening socket, the known authorities and the client
 * certificates with their keys, all of which it reads as root before it gives
 * root up; and connections, by remote.
 * Promises a child of its own to each session, which ends with it; and to say of
 * each what was agreed and how far the other host's certificate was verified.
 * Never connects to anything by itself, and never goes on without TLS.
 */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "tls/authorities.h"
#include "tls/connect.h"

#define BACKLOG 500
/* Sessions at one time; more wait in the backlog. Each is one of remote's
 * workers. */
#define CHILDREN_MAX 1000
/* The wait after a call that failed for want of something. */
#define REST_MS 100

static const struct role role = {
	.program = "tls-client",
	.user = "_keep-tlsc",
	.group = "_keep-tlsc",
	.calls = CALLS_SERVE | CALLS_FORK,
	.memory_octets = 128 * 1024 * 1024,
	.descriptors = 64,
};

struct tls_client_settings {
	char *authorities;
};

static const struct setting settings_table[] = {
	{"tlsauthorities", SETTING_TEXT, "", 0, 0,
		offsetof(struct tls_client_settings, authorities),
		"the file of the authorities that may vouch for other hosts, "
		"PEM; that of the system"},
};

struct server {
	struct home home;
	struct authorities authorities;
	int listener, signals;
	unsigned children;
};

/* --- connections --- */

/* Takes one connection. 0, or -1: something is short, rest a while. */
static int
take_connection(struct server *server)
{
	const struct home *home = &server->home;
	struct peer peer = {0};
	int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
	int result = 0;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR ||
				       errno == ECONNABORTED
			       ? 0
			       : -1;
	if (peer_identity(fd, &peer) < 0 ||
		(peer.uid != 0 &&
			!home_is_user(home, "_keep-remote", peer.uid))) {
		log_line("uid %u may not ask", (unsigned)peer.uid);
		close(fd);
		return 0;
	}
	pid_t pid = fork();
	if (pid == 0) {
		close(server->listener);
		close(server->signals);
		connect_serve(&server->authorities, fd);
		_exit(0);
	}
	if (pid > 0) {
		server->children++;
	} else {
		log_line("cannot fork: %s", strerror(errno));
		result = -1;
	}
	close(fd);
	return result;
}

static void
reap(struct server *server)
{
	int status;

	while (waitpid(-1, &status, WNOHANG) > 0) {
		server->children--;
		if (WIFSIGNALED(status))
			log_line("a child died of signal %d", WTERMSIG(status));
	}
}

/* Until SIGTERM. Sessions in hand go on by themselves. */
static void
run(struct server *server)
{
	bool is_resting = false;

	for (;;) {
		bool has_room = server->children < CHILDREN_MAX;
		int came = service_wait(server->signals,
			has_room && !is_resting ? server->listener : -1,
			is_resting ? REST_MS : -1);

		if (came < 0)
			log_line("poll: %s", strerror(errno));
		if (came < 0 || came & SERVICE_STOP)
			return;
		if (came & SERVICE_CHILD)
			reap(server);
		is_resting = came & SERVICE_CONNECTION &&
			     take_connection(server) < 0;
	}
}

/* --- the start --- */

static int
read_settings(struct server *server, char *why, size_t size)
{
	struct tls_client_settings settings = {0};
	char path[HOME_NAME_MAX];

	if (settings_read(settings_table, SETTINGS_COUNT(settings_table),
		    home_path(&server->home, "control", path), &settings, why,
		    size) < 0)
		return -1;
	int result =
		authorities_load(&server->authorities, settings.authorities,
			home_path(&server->home, "tls-client", path),
			server->home.is_private ? getuid() : 0, why, size);
	settings_free(
		settings_table, SETTINGS_COUNT(settings_table), &settings);
	return result;
}

static int
start(struct server *server, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	/* Certificates' times are compared by OpenSSL through libc, which would
	 * open the system's time zone in each child. */
	setenv("TZ", "UTC0", 1);
	tzset();
	gid_t group;

	if (home_open(&server->home, why, size) < 0 ||
		read_settings(server, why, size) < 0)
		return -1;
	if (home_group_id(&server->home, "_keep-remote", &group) < 0) {
		snprintf(why, size, "control/ids does not name _keep-remote");
		return -1;
	}
	server->signals = service_signals();
	home_path(&server->home, "socket/tls-client", path);
	server->listener = service_listen(path, SOCK_SEQPACKET, 0660,
		server->home.is_private ? (gid_t)-1 : group, BACKLOG);
	if (server->signals < 0 || server->listener < 0) {
		snprintf(why, size, "cannot listen on %s: %s", path,
			strerror(errno));
		return -1;
	}
	return role_take(&role, &server->home, why, size);
}

int
main(int argc, char **argv)
{
	struct server server = {.children = 0};
	char why[400];

	(void)argv;
	log_start("tls-client");
	if (argc > 1) {
		log_line("usage: tls-client");
		return STATUS_MISUSE;
	}
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (start(&server, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	if (why[0] != 0)
		log_line("%s", why);
	log_line("answers");
	/* from here on input is touched */
	run(&server);
	log_line("stops");
	authorities_free(&server.authorities);
	return STATUS_DONE;
}
