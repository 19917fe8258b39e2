#include "tools/control_lists.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/auth.h"
#include "lib/domains.h"
#include "lib/home.h"
#include "lib/networks.h"
#include "lib/ours.h"
#include "queue/schedule.h"
#include "remote/dns.h"
#include "remote/route.h"
#include "smtpd/moved.h"
#include "smtpd/patterns.h"
#include "smtpd/senders.h"
#include "smtpd/tlsclients.h"

static const char *const proxy_words[] = {"required", "optional", NULL};

/* Whether the list of that name is one of networks; *words is what may stand
 * behind them. */
static bool
is_networks(const char *name, const char *const **words)
{
	*words = strcmp(name, "proxies") == 0 ? proxy_words : NULL;
	return *words != NULL || strcmp(name, "xclients") == 0 ||
	       strcmp(name, "limitsexempt") == 0 ||
	       strcmp(name, "transcript") == 0;
}

static bool
ours_wrong(const char *name, const struct setting_list *line, char *why,
	size_t size)
{
	static const struct setting_list none = {.present = true};
	struct home home = {.path = "/nonexistent"};
	struct ours ours = {0};
	bool is_locals = strcmp(name, "locals") == 0;

	int result = ours_build(&ours, &home, "localhost",
		is_locals ? line : &none, is_locals ? &none : line, why, size);
	ours_free(&ours);
	return result < 0;
}

/* A way that cannot be used is wrong too, though the programs go on. */
static bool
route_wrong(const struct setting_list *line, char *why, size_t size)
{
	struct routes routes = {0};

	int result = routes_build(&routes, line, why, size);
	routes_free(&routes);
	return result < 0 || why[0] != 0;
}

static bool
server_wrong(const struct setting_list *line, char *why, size_t size)
{
	struct dns dns;

	return dns_start(&dns, line, why, size) < 0;
}

static bool
domain_wrong(const char *name, const struct setting_list *line, char *why,
	size_t size)
{
	const char *text = line->line[0] + strspn(line->line[0], " \t");
	struct domains domains = DOMAINS_ZERO;
	int result = *text == 0 || *text == '#'
			     ? 0
			     : domains_add(&domains, text, strlen(text));

	domains_free(&domains);
	if (result < 0)
		snprintf(why, size,
			"control/%s line %zu: expected a domain such as "
			"example.org or .example.org, found \"%.60s\"",
			name, line->number[0], text);
	return result < 0;
}

/* The first word of text, as a program. */
static bool
program_wrong(const char *name, size_t number, const char *text, char *why,
	size_t size)
{
	char path[300];
	size_t length = strcspn(text, " \t");

	if (text[0] != '/' || length >= sizeof path) {
		snprintf(why, size,
			"control/%s line %zu: expected the path of a program, "
			"from / on, found \"%.60s\"",
			name, number, text);
		return true;
	}
	snprintf(path, sizeof path, "%.*s", (int)length, text);
	if (access(path, X_OK) == 0)
		return false;
	snprintf(why, size, "control/%s line %zu: %s: %s", name, number, path,
		strerror(errno));
	return true;
}

static bool
line_wrong(const char *name, const struct setting_list *line, char *why,
	size_t size)
{
	const char *const *words;

	if (is_networks(name, &words))
		return networks_check(line, name, words, why, size) < 0;
	if (strcmp(name, "badmailfrom") == 0 || strcmp(name, "badrcptto") == 0)
		return patterns_check(
			       line, PATTERNS_ADDRESSES, name, why, size) < 0;
	if (strcmp(name, "badhelo") == 0)
		return patterns_check(line, PATTERNS_NAMES, name, why, size) <
		       0;
	if (strcmp(name, "moved") == 0)
		return moved_check(line, why, size) < 0;
	if (strcmp(name, "tlsclients") == 0)
		return tlsclients_check(line, why, size) < 0;
	if (strcmp(name, "senderlogins") == 0)
		return senders_check(line, why, size) < 0;
	if (strcmp(name, "smtproutes") == 0)
		return route_wrong(line, why, size);
	if (strcmp(name, "nameservers") == 0)
		return server_wrong(line, why, size);
	if (strcmp(name, "rcpthosts") == 0)
		return domain_wrong(name, line, why, size);
	if (strcmp(name, "filters") == 0)
		return program_wrong(
			name, line->number[0], line->line[0], why, size);
	if (strcmp(name, "locals") == 0 || strcmp(name, "virtualdomains") == 0)
		return ours_wrong(name, line, why, size);
	return false;
}

void
control_list_check(const char *name, const struct setting_list *list,
	void (*tell)(void *context, const char *why), void *context)
{
	if (strcmp(name, "retryschedule") == 0) {
		struct schedule schedule = {0};
		char why[400];

		if (schedule_read(&schedule, list, why, sizeof why) < 0)
			tell(context, why);
		return;
	}
	for (size_t i = 0; i < list->count; i++) {
		struct setting_list line = {
			.line = &list->line[i],
			.number = &list->number[i],
			.count = 1,
			.present = true,
		};
		char why[400] = "";

		if (line_wrong(name, &line, why, sizeof why))
			tell(context, why);
	}
}

void
control_value_check(const char *name, const char *value,
	void (*tell)(void *context, const char *why), void *context)
{
	char wrong[120], why[400];
	uint32_t set;

	if (*value != 0 && strcmp(name, "checkpassword") == 0 &&
		program_wrong(name, 1, value, why, sizeof why))
		tell(context, why);
	if (*value != 0 && *value != '/' && strcmp(name, "lookupsocket") == 0)
		tell(context, "control/lookupsocket line 1: expected the path "
			      "of a socket, from / on");
	if (strcmp(name, "saslmechanisms") != 0 ||
		auth_mechanisms_read(value, &set, wrong, sizeof wrong) == 0)
		return;
	snprintf(why, sizeof why, "control/%s line 1: %s", name, wrong);
	tell(context, why);
}
