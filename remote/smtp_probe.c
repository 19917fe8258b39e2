/*
 * smtp-probe talks with the SMTP server of a host as remote does, up to EHLO and
 * STARTTLS, and tells what it says and how long each step takes.
 *
 * Runs as root, to whom tls-client answers; in private mode as the owner of the
 * home. Anybody else who may read the control folder sees all but TLS.
 * Is handed one host as argument, with a port perhaps.
 * Never sends mail.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/home.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/settings.h"
#include "remote/client.h"
#include "remote/client_wire.h"
#include "remote/mx.h"
#include "remote/route.h"
#include "tools/plain.h"

#define FIND_MS 90000
#define CONNECT_MS 20000
#define ANSWER_MS 60000
/* Octets of the longest argument that may be a host, NUL included. */
#define HOST_SIZE 300

struct probe_settings {
	char *me, *helohost;
	struct setting_list nameservers;
};

#define AT(member) offsetof(struct probe_settings, member)
static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, AT(me), "this host's name"},
	{"helohost", SETTING_HOST, "@me", 0, 0, AT(helohost),
		"the name said in EHLO"},
	{"nameservers", SETTING_LIST, "", 0, 0, AT(nameservers),
		"recursive name servers, IP or IP:PORT; those of the system"},
};

struct probe {
	struct home home;
	struct probe_settings settings;
	struct dns dns;
	struct client client;
	char tls_socket[HOME_NAME_MAX];
	int64_t step_ms; /* when the step at hand began */
};

/* The milliseconds of the step that ends, and the next one begins. */
static long long
step(struct probe *probe)
{
	int64_t now_ms = deadline_now_ms(), took_ms = now_ms - probe->step_ms;

	probe->step_ms = now_ms;
	return (long long)took_ms;
}

/* What the other host chose, and the end of the line. */
static void
tell_text(const char *text)
{
	plain_text(stdout, text);
	putchar('\n');
}

/* Prints the latest reply, a line each, safely. */
static void
tell_reply(const struct probe *probe)
{
	char wire[REPLY_WIRE_MAX + 1];
	size_t len = reply_write(&probe->client.reply, wire, sizeof wire - 1);
	char *line = wire, *end;

	wire[len] = '\0';
	for (; (end = strstr(line, "\r\n")) != NULL; line = end + 2) {
		*end = '\0';
		printf("    ");
		tell_text(line);
	}
}

static void
tell_tls(struct probe *probe, const struct mx_address *address)
{
	struct tls_request request = {.magic = TLS_MAGIC,
		.service = TLS_CONNECT,
		.check = TLS_CHECK_NONE};
	struct client *client = &probe->client;
	struct tls_facts facts;
	static const char *const verified[] = {"unverified",
		"verified for another name", "verified for that name"};

	snprintf(request.name, sizeof request.name, "%s", address->host);
	mx_address_text(&address->address, request.peer, sizeof request.peer);
	if (client_start_tls(client, probe->tls_socket, &request,
		    probe->settings.helohost, &facts) != CLIENT_TLS_ON) {
		printf("  STARTTLS, %lld ms: ", step(probe));
		tell_text(client->text);
		return;
	}
	printf("  STARTTLS and EHLO, %lld ms: %s, %s, %s\n", step(probe),
		facts.protocol, facts.cipher, verified[facts.verified]);
	if (facts.fingerprint[0] != 0)
		printf("    certificate SHA-256 %s\n", facts.fingerprint);
	if (facts.text[0] != 0) {
		printf("    ");
		tell_text(facts.text);
	}
	tell_reply(probe);
}

/* The conversation. True if there was one. */
static bool
talk(struct probe *probe, const struct mx_address *address)
{
	struct client *client = &probe->client;
	int class = client_reply(client, client->timeouts.greeting_ms);

	if (class < 0) {
		printf("  greeting: ");
		tell_text(client->trouble);
		return false;
	}
	printf("  greeting, %lld ms\n", step(probe));
	tell_reply(probe);
	if (class != 2)
		return true;
	if (client_hello(client, probe->settings.helohost) != CLIENT_OK) {
		printf("  EHLO: ");
		tell_text(client->text);
		return true;
	}
	printf("  %s, %lld ms\n",
		client->capabilities & CLIENT_ESMTP ? "EHLO" : "HELO",
		step(probe));
	tell_reply(probe);
	if (client->capabilities & CLIENT_STARTTLS)
		tell_tls(probe, address);
	return true;
}

static bool
try_address(struct probe *probe, const struct mx_address *address)
{
	static const struct client_timeouts timeouts = {CONNECT_MS, ANSWER_MS,
		ANSWER_MS, ANSWER_MS, ANSWER_MS, ANSWER_MS, ANSWER_MS};
	char text[64];

	mx_address_text(&address->address, text, sizeof text);
	printf("%s [%s]\n", address->host, text);
	probe->step_ms = deadline_now_ms();
	int fd = client_connect(&address->address, NULL, CONNECT_MS);
	if (fd < 0) {
		printf("  no connection: %s\n", strerror(errno));
		return false;
	}
	printf("  connected, %lld ms\n", step(probe));
	client_start(&probe->client, fd, address->host, text, &timeouts);
	bool is_there = talk(probe, address);
	client_quit(&probe->client);
	close(probe->client.fd);
	return is_there;
}

/* Makes the target of "HOST", "HOST:PORT", "ADDRESS", "[ADDRESS]:PORT". */
static int
read_host(const char *text, struct route_target *target)
{
	char host[HOST_SIZE], destination[HOST_SIZE + 20];
	const char *port = "25";
	struct in6_addr ip;
	size_t len = strlen(text);

	if (len >= sizeof host - 2)
		return -1;
	if (inet_pton(AF_INET, text, &ip) == 1 ||
		inet_pton(AF_INET6, text, &ip) == 1) {
		snprintf(host, sizeof host, "[%.*s]", (int)len, text);
	} else {
		const char *colon = strrchr(text, ':');

		if (colon != NULL && strchr(colon, ']') == NULL) {
			port = colon + 1;
			len = (size_t)(colon - text);
		}
		memcpy(host, text, len);
		host[len] = '\0';
		/* 192.0.2.1:26 */
		if (inet_pton(AF_INET, host, &ip) == 1)
			snprintf(host, sizeof host, "[%.*s]", (int)len, text);
	}
	snprintf(destination, sizeof destination, "host:%s:%.10s", host, port);
	return route_parse(destination, target);
}

static int
probe_host(struct probe *probe, const char *text)
{
	struct mx_options options = {.dns = &probe->dns};
	struct route_target target;
	struct mx_list list;
	bool is_there = false;

	if (read_host(text, &target) < 0 || target.words.unusable != 0) {
		log_line("expected HOST, HOST:PORT, ADDRESS or [ADDRESS]:PORT: "
			 "%s",
			text);
		return STATUS_MISUSE;
	}
	if (mx_find(&options, &target, deadline_after_ms(FIND_MS), &list) !=
		MX_OK) {
		log_line("%s has no address now", target.name);
		return STATUS_TEMPORARY;
	}
	for (unsigned i = 0; i < list.count; i++)
		is_there |= try_address(probe, &list.entry[i]);
	return is_there ? STATUS_DONE : STATUS_TEMPORARY;
}

static int
start(struct probe *probe, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	if (home_open(&probe->home, why, size) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&probe->home, "control", path),
			&probe->settings, why, size) < 0 ||
		dns_start(&probe->dns, &probe->settings.nameservers, why,
			size) < 0)
		return -1;
	home_path(&probe->home, "socket/tls-client", probe->tls_socket);
	/* what follows reads what strangers say */
	return role_confine(NULL, true, CALLS_CONNECT, &probe->home, why, size);
}

int
main(int argc, char **argv)
{
	struct probe *probe = calloc(1, sizeof *probe);
	char why[300] = "";

	log_start("smtp-probe");
	signal(SIGPIPE, SIG_IGN);
	if (argc != 2 || argv[1][0] == '-') {
		log_line("usage: smtp-probe host[:port]");
		return STATUS_MISUSE;
	}
	if (probe == NULL || start(probe, why, sizeof why) < 0) {
		log_line("%s", probe == NULL ? "out of memory" : why);
		return STATUS_TEMPORARY;
	}
	int status = probe_host(probe, argv[1]);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_line("cannot write: %s", strerror(errno));
		return STATUS_TEMPORARY;
	}
	return status;
}
