#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "lib/auth.h"

static const char *const NAMES[AUTH_MECHANISMS + 1] = {
	[AUTH_PLAIN] = "PLAIN",
	[AUTH_LOGIN] = "LOGIN",
	[AUTH_CRAM_MD5] = "CRAM-MD5",
	[AUTH_SCRAM_SHA_256] = "SCRAM-SHA-256",
	[AUTH_SCRAM_SHA_256_PLUS] = "SCRAM-SHA-256-PLUS",
	[AUTH_EXTERNAL] = "EXTERNAL",
};

/* Clients that take the first they know get the best. */
static const enum auth_mechanism ORDER[] = {AUTH_EXTERNAL,
	AUTH_SCRAM_SHA_256_PLUS, AUTH_SCRAM_SHA_256, AUTH_CRAM_MD5, AUTH_PLAIN,
	AUTH_LOGIN};

const char *
auth_mechanism_name(enum auth_mechanism mechanism)
{
	if ((int)mechanism < 1 || mechanism > AUTH_MECHANISMS ||
		NAMES[mechanism] == NULL)
		return "";
	return NAMES[mechanism];
}

enum auth_mechanism
auth_mechanism_find(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof ORDER / sizeof ORDER[0]; i++)
		if (strlen(NAMES[ORDER[i]]) == len &&
			strncasecmp(NAMES[ORDER[i]], name, len) == 0)
			return ORDER[i];
	return 0;
}

int
auth_mechanisms_read(const char *words, uint32_t *set, char *why, size_t size)
{
	*set = 0;
	for (;;) {
		words += strspn(words, " \t");
		size_t len = strcspn(words, " \t");
		if (len == 0)
			return 0;
		enum auth_mechanism mechanism = auth_mechanism_find(words, len);
		if (len == 4 && strncasecmp(words, "APOP", 4) == 0)
			mechanism = AUTH_APOP;
		if (mechanism == 0) {
			snprintf(why, size,
				"expected names of mechanisms, found \"%.*s\"",
				len > 60 ? 60 : (int)len, words);
			return -1;
		}
		*set |= 1u << mechanism;
		words += len;
	}
}

bool
auth_mechanism_is_offered(uint32_t set, enum auth_mechanism mechanism,
	const struct auth_channel *channel)
{
	if ((set & 1u << mechanism) == 0)
		return false;
	if (mechanism == AUTH_SCRAM_SHA_256_PLUS)
		return channel != NULL && (channel->exporter_len > 0 ||
						  channel->end_point_len > 0);
	if (mechanism == AUTH_EXTERNAL)
		return channel != NULL && channel->identity[0] != 0;
	return true;
}

void
auth_mechanisms_list(uint32_t set, const struct auth_channel *channel,
	char list[AUTH_LIST_MAX])
{
	size_t used = 0;

	*list = 0;
	for (size_t i = 0; i < sizeof ORDER / sizeof ORDER[0]; i++)
		if (auth_mechanism_is_offered(set, ORDER[i], channel))
			used += (size_t)snprintf(list + used,
				AUTH_LIST_MAX - used, "%s%s",
				used > 0 ? " " : "", NAMES[ORDER[i]]);
}
