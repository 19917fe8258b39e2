/*
 * route-show tells where mail for an address would go: the route, and the hosts
 * and addresses that remote would try, in order; or why there are none.
 *
 * Runs as anybody who may read the control folder; as the owner of the home, in
 * private mode.
 * Is handed addresses or domains as arguments.
 * Promises what remote would find now: the same table, name servers and code.
 * Never connects to a mail host. What the DNS says is read without files.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "lib/deadline.h"
#include "lib/home.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "lib/role.h"
#include "lib/settings.h"
#include "remote/dns.h"
#include "remote/mx.h"
#include "remote/route.h"
#include "tools/json.h"

#define FIND_MS 90000

enum result {
	RESULT_FOUND = 0,
	RESULT_NEVER = 1, /* no mail can go there */
};

struct route_settings {
	char *me, *helohost;
	struct setting_list nameservers, smtproutes;
	int64_t allow_local, port;
};

#define AT(member) offsetof(struct route_settings, member)
static const struct setting settings_table[] = {
	{"me", SETTING_HOST, NULL, 0, 0, AT(me), "this host's name"},
	{"helohost", SETTING_HOST, "@me", 0, 0, AT(helohost),
		"the name said in EHLO"},
	{"nameservers", SETTING_LIST, "", 0, 0, AT(nameservers),
		"recursive name servers, IP or IP:PORT; those of the system"},
	{"smtproutes", SETTING_LIST, "", 0, 0, AT(smtproutes),
		"domain:relay:port, and words; none: all by MX"},
	{"allowlocaladdresses", SETTING_SWITCH, "0", 0, 1, AT(allow_local),
		"1: MX records may lead to loopback and its kind"},
	{"remoteport", SETTING_NUMBER, "25", 1, 65535, AT(port),
		"the port of MX hosts"},
};

struct show {
	struct home home;
	struct route_settings settings;
	struct routes routes;
	struct dns dns;
	const char *own[2];
	struct mx_options options;
	bool as_json;
};

static const char *
word_of(enum mx_result result)
{
	static const char *const word[] = {"", "found", "null MX", "self",
		"no domain", "no address", "temporary", "temporary"};

	return word[result];
}

static void
tell_address(const struct mx_address *entry, bool as_json, bool is_first)
{
	unsigned port;
	char text[64];

	mx_address_text(&entry->address, text, sizeof text);
	port = ntohs(entry->address.ss_family == AF_INET6
			     ? ((const struct sockaddr_in6 *)&entry->address)
				       ->sin6_port
			     : ((const struct sockaddr_in *)&entry->address)
				       ->sin_port);
	if (as_json) {
		printf("%s\n{\"preference\":%u,\"host\":", is_first ? "" : ",",
			(unsigned)entry->preference);
		json_text(entry->host);
		printf(",\"address\":\"%s\",\"port\":%u}", text, port);
	} else {
		printf("  %u %s [%s] port %u\n", (unsigned)entry->preference,
			entry->host, text, port);
	}
}

static void
tell(const struct show *show, const char *domain, const char *destination,
	const struct route_target *target, enum mx_result result,
	const struct mx_list *list)
{
	bool is_authentic = target->kind == ROUTE_MX && list->is_authentic;

	if (show->as_json) {
		printf("{\"domain\":");
		json_text(domain);
		printf(",\"destination\":");
		json_text(destination);
		printf(",\"by\":\"%s\",\"result\":\"%s\",\"text\":",
			target->routed ? "route" : "domain", word_of(result));
		json_text(list->text);
		printf(",\"authentic\":%s,\"addresses\":[",
			is_authentic ? "true" : "false");
	} else {
		printf("%s\n  %s, because %s\n", domain, destination,
			target->routed ? "control/smtproutes says so"
				       : "control/smtproutes names no relay");
		if (is_authentic)
			printf("  its MX records are authentic (DNSSEC)\n");
		if (result != MX_OK)
			printf("  %s: %s\n", word_of(result), list->text);
	}
	for (unsigned i = 0; i < list->count; i++)
		tell_address(&list->entry[i], show->as_json, i == 0);
	if (show->as_json)
		printf("]}\n");
}

/* A status: the highest of all is that of the program. */
static int
show_domain(const struct show *show, const char *domain)
{
	char destination[ROUTE_TEXT_SIZE];
	struct route_target target;
	struct mx_list list;

	if (route_destination(&show->routes, domain, strlen(domain),
		    destination, sizeof destination) < 0 ||
		route_parse(destination, &target) < 0) {
		fflush(stdout);
		log_line("not a domain or address literal: %s", domain);
		return STATUS_MISUSE;
	}
	if (target.words.unusable != 0) {
		fflush(stdout);
		log_line("%s: control/smtproutes, line %u, is not understood; "
			 "mail waits",
			domain, (unsigned)target.words.unusable);
		return STATUS_TEMPORARY;
	}
	enum mx_result result = mx_find(
		&show->options, &target, deadline_after_ms(FIND_MS), &list);
	tell(show, domain, destination, &target, result, &list);
	if (result == MX_OK)
		return RESULT_FOUND;
	return mx_outcome(result) == OUTCOME_DEFERRED ? STATUS_TEMPORARY
						      : RESULT_NEVER;
}

static int
start(struct show *show, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	if (home_open(&show->home, why, size) < 0 ||
		settings_read(settings_table, SETTINGS_COUNT(settings_table),
			home_path(&show->home, "control", path),
			&show->settings, why, size) < 0 ||
		routes_build(&show->routes, &show->settings.smtproutes, why,
			size) < 0)
		return -1;
	if (why[0] != 0)
		log_line("%s", why);
	if (dns_start(&show->dns, &show->settings.nameservers, why, size) < 0)
		return -1;
	show->own[0] = show->settings.me;
	show->own[1] = show->settings.helohost;
	show->options = (struct mx_options){.dns = &show->dns,
		.own = show->own,
		.owns = 2,
		.allow_local = (int)show->settings.allow_local,
		.port = (uint16_t)show->settings.port};
	/* what follows reads what strangers say */
	return role_confine(NULL, true, CALLS_CONNECT, &show->home, why, size);
}

int
main(int argc, char **argv)
{
	struct show show = {.routes = ROUTES_ZERO};
	char why[300] = "";
	int next = 1, status = 0;

	log_start("route-show");
	show.as_json = next < argc && strcmp(argv[next], "--json") == 0;
	next += show.as_json;
	if (next < argc && strcmp(argv[next], "--") == 0)
		next++;
	else if (next < argc && argv[next][0] == '-')
		next = argc;
	if (next >= argc) {
		log_line("usage: route-show [--json] address ...");
		return STATUS_MISUSE;
	}
	if (start(&show, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	for (; next < argc; next++) {
		const char *at = strrchr(argv[next], '@');
		int result =
			show_domain(&show, at != NULL ? at + 1 : argv[next]);

		if (result > status)
			status = result;
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_line("cannot write: %s", strerror(errno));
		return STATUS_TEMPORARY;
	}
	return status;
}
