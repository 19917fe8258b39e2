#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "queue/filter_environment.h"

#define DEFAULT_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static char *
add(struct filter_environment *environment, const char *name, const char *value)
{
	char *at = environment->text + environment->used;
	size_t room = sizeof environment->text - environment->used;
	int length = snprintf(at, room, "%s=%s", name, value);

	if (length < 0 || (size_t)length >= room ||
		environment->count == FILTER_VARIABLES_MAX)
		return NULL;
	environment->used += (size_t)length + 1;
	environment->list[environment->count++] = at;
	environment->list[environment->count] = NULL;
	return at;
}

/* The same for a text that a stranger gave; nothing if it is empty. */
static void
add_foreign(struct filter_environment *environment, const char *name,
	const char *value)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    ".:_@+=[]-";
	char *at;

	if (value == NULL || *value == 0)
		return;
	at = add(environment, name, value);
	if (at == NULL)
		return;
	for (at += strlen(name) + 1; *at != 0; at++)
		if (strchr(plain, *at) == NULL)
			*at = '?';
}

static bool
is_address(const char *text)
{
	unsigned char octets[sizeof(struct in6_addr)];

	return text != NULL && (inet_pton(AF_INET, text, octets) == 1 ||
				       inet_pton(AF_INET6, text, octets) == 1);
}

void
filter_environment_make(struct filter_environment *environment,
	const struct home *home, const char *queue_submit, const char *next,
	const char *id, const struct origin *origin)
{
	const char *path = getenv("PATH");
	char folder[HOME_NAME_MAX];

	environment->count = 0;
	environment->used = 0;
	environment->list[0] = NULL;
	home_path(home, "filter", folder);
	add(environment, "PATH", path != NULL ? path : DEFAULT_PATH);
	add(environment, "HOME", folder);
	add(environment, "TMPDIR", folder);
	add(environment, "KEEPMAIL", home->path);
	add(environment, "QMAILQUEUE", queue_submit);
	add(environment, "KEEPMAIL_NEXT", next);
	add(environment, "KEEPMAIL_ID", id);
	add(environment, "ERROR_FD", "6");
	if (origin->kind != ORIGIN_NETWORK)
		return;
	if (is_address(origin->client_address)) {
		add(environment, "PROTO", "TCP");
		add(environment, "TCPREMOTEIP", origin->client_address);
	}
	if (origin->client_name != NULL &&
		strcmp(origin->client_name, "unknown") != 0)
		add_foreign(environment, "TCPREMOTEHOST", origin->client_name);
	add_foreign(environment, "SMTPHELO", origin->hello);
	if (origin->authenticated == NULL || origin->authenticated[0] == 0)
		return;
	add_foreign(environment, "TCPREMOTEINFO", origin->authenticated);
	add_foreign(environment, "SMTPAUTHUSER", origin->authenticated);
	add(environment, "RELAYCLIENT", "");
}
