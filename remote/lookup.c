/*
 * lookup asks DNS for smtpd: whether a domain can have mail at all; and tells the
 * form in ASCII of an internationalized domain name.
 *
 * Runs as _keep-lookup, which may read nothing and belongs to no group.
 * Is handed the listening socket that it makes as root before it gives root up;
 * knows the name servers by then.
 * Promises one answer to one question, from a child of its own that ends with
 * it, within LOOKUP_DNS_MS.
 * Never answers anybody but smtpd and root, and keeps nothing between questions.
 */

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/service.h"
#include "lib/settings.h"
#include "remote/dns.h"
#include "remote/idn.h"
#include "remote/lookup.h"

#define BACKLOG 500
/* Questions at one time; more wait in the backlog. */
#define CHILDREN_MAX 200
/* How long the question may take to come, and DNS for all it is asked. */
#define QUESTION_MS 5000
#define LOOKUP_DNS_MS (20 * 1000)
/* The wait after a call that failed for want of something. */
#define REST_MS 100

static const struct role role = {
	.program = "lookup",
	.user = "_keep-lookup",
	.group = "_keep-lookup",
	.reaches_network = true,
	.calls = CALLS_SERVE | CALLS_FORK,
	.memory_octets = 64 * 1024 * 1024,
	.descriptors = 64,
};

struct lookup_settings {
	struct setting_list nameservers;
};

static const struct setting settings_table[] = {
	{"nameservers", SETTING_LIST, "", 0, 0,
		offsetof(struct lookup_settings, nameservers),
		"recursive name servers, IP or IP:PORT; those of the system"},
};

struct server {
	struct home home;
	struct dns dns;
	int listener, signals;
	unsigned children;
};

/* --- a question --- */

static void
say(struct lookup_answer *answer, enum lookup_meaning meaning, const char *text)
{
	answer->meaning = meaning;
	snprintf(answer->text, sizeof answer->text, "%s", text);
}

/* A single MX record of the name ".": RFC 7505 section 3. */
static bool
is_null_mx(const struct dns_answer *found)
{
	return found->count == 1 && strcmp(found->record[0].name, ".") == 0;
}

/* 1: the domain has such addresses; 0: not; -1: said already. */
static int
has_addresses(const struct dns *dns, const char *domain, int family,
	int64_t deadline_ms, struct lookup_answer *answer)
{
	struct dns_answer found;

	switch (dns_addresses(dns, domain, family, deadline_ms, &found)) {
	case DNS_OK:
		return 1;
	case DNS_NONE:
	case DNS_NXDOMAIN:
		return 0;
	default:
		say(answer, LOOKUP_TEMPORARY, "DNS gives no address now");
		return -1;
	}
}

/* RFC 5321 section 5.1: without MX records the domain is its own host. */
static void
look_for_host(const struct dns *dns, const char *domain, int64_t deadline_ms,
	struct lookup_answer *answer)
{
	int found = has_addresses(dns, domain, AF_INET, deadline_ms, answer);

	if (found == 0)
		found = has_addresses(
			dns, domain, AF_INET6, deadline_ms, answer);
	if (found > 0)
		say(answer, LOOKUP_EXISTS, "");
	else if (found == 0)
		say(answer, LOOKUP_NO_DOMAIN, "neither MX nor address");
}

static void
look_up(const struct dns *dns, const char *domain, struct lookup_answer *answer)
{
	int64_t deadline_ms = deadline_after_ms(LOOKUP_DNS_MS);
	struct dns_answer found;

	switch (dns_mx(dns, domain, deadline_ms, &found)) {
	case DNS_OK:
		if (is_null_mx(&found))
			say(answer, LOOKUP_NULL_MX, "null MX");
		else
			say(answer, LOOKUP_EXISTS, "");
		return;
	case DNS_NONE:
		look_for_host(dns, domain, deadline_ms, answer);
		return;
	case DNS_NXDOMAIN:
		say(answer, LOOKUP_NO_DOMAIN, "no such domain");
		return;
	default:
		say(answer, LOOKUP_TEMPORARY, "DNS does not answer now");
	}
}

/* Waits for the question and takes it. 0, or -1: there is none. */
static int
receive(int connection, struct lookup_question *question)
{
	struct pollfd wait = {.fd = connection, .events = POLLIN};

	if (poll(&wait, 1, QUESTION_MS) <= 0)
		return -1;
	ssize_t got = recv(connection, question, sizeof *question,
		MSG_DONTWAIT | MSG_TRUNC);
	return got == (ssize_t)sizeof *question &&
			       question->magic == LOOKUP_MAGIC &&
			       (question->kind == LOOKUP_MAIL_DOMAIN ||
				       question->kind == LOOKUP_ASCII) &&
			       memchr(question->domain, 0,
				       sizeof question->domain) != NULL
		       ? 0
		       : -1;
}

static void
write_ascii(const char *domain, struct lookup_answer *answer)
{
	char ascii[IDN_ASCII_MAX + 1], why[100];
	int is_temporary;

	if (idn_to_ascii(domain, ascii, &is_temporary, why, sizeof why) == 0)
		say(answer, LOOKUP_EXISTS, ascii);
	else
		say(answer, is_temporary ? LOOKUP_TEMPORARY : LOOKUP_NO_DOMAIN,
			why);
}

static void
serve(const struct dns *dns, int connection)
{
	struct lookup_answer answer = {.magic = LOOKUP_MAGIC};
	struct lookup_question question;

	if (receive(connection, &question) < 0)
		return;
	if (question.kind == LOOKUP_ASCII)
		write_ascii(question.domain, &answer);
	else if (domain_valid(question.domain, strlen(question.domain)))
		look_up(dns, question.domain, &answer);
	else
		say(&answer, LOOKUP_NO_DOMAIN, "that is not a domain");
	/* whoever does not wait for its answer loses it */
	(void)send(connection, &answer, sizeof answer,
		MSG_NOSIGNAL | MSG_DONTWAIT);
}

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
			!home_is_user(home, "_keep-smtpd", peer.uid))) {
		log_line("uid %u may not ask", (unsigned)peer.uid);
		close(fd);
		return 0;
	}
	pid_t pid = fork();
	if (pid == 0) {
		serve(&server->dns, fd);
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

/* Until SIGTERM. Children in hand finish by themselves. */
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
	struct lookup_settings settings = {0};
	char path[HOME_NAME_MAX];

	if (settings_read(settings_table, SETTINGS_COUNT(settings_table),
		    home_path(&server->home, "control", path), &settings, why,
		    size) < 0)
		return -1;
	int result = dns_start(&server->dns, &settings.nameservers, why, size);
	settings_free(
		settings_table, SETTINGS_COUNT(settings_table), &settings);
	return result;
}

static int
start(struct server *server, char *why, size_t size)
{
	if (home_open(&server->home, why, size) < 0 ||
		read_settings(server, why, size) < 0)
		return -1;
	server->signals = service_signals();
	if (server->signals < 0) {
		snprintf(why, size, "no descriptor for signals: %s",
			strerror(errno));
		return -1;
	}
	server->listener = service_listen_suite(
		&server->home, "lookup", BACKLOG, why, size);
	if (server->listener < 0)
		return -1;
	return role_take(&role, &server->home, why, size);
}

int
main(int argc, char **argv)
{
	struct server server = {.children = 0};
	char why[300];

	(void)argv;
	log_start("lookup");
	if (argc > 1) {
		log_line("usage: lookup");
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
	return STATUS_DONE;
}
