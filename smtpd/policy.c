#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "local/resolve.h"
#include "smtpd/policy.h"

/* One entry, its line's number as its value. 0, or -1 with errno. */
static int
add_line(struct domains *domains, const char *line, size_t number)
{
	char value[24];
	int len = snprintf(value, sizeof value, "%zu", number);

	line += strspn(line, " \t");
	if (*line == 0 || *line == '#')
		return 0;
	return domains_put(domains, line, strlen(line), value, (size_t)len);
}

size_t
policy_line(const struct domains *domains, const char *domain, size_t len)
{
	const char *value = domains_find(domains, domain, len);

	return value != NULL ? (size_t)strtoull(value, NULL, 10) : 0;
}

static int
add_list(struct domains *domains, const struct setting_list *list,
	const char *name, char *why, size_t size)
{
	for (size_t i = 0; i < list->count; i++) {
		const char *line = list->line[i];

		if (add_line(domains, line, list->number[i]) == 0)
			continue;
		if (errno == EINVAL)
			snprintf(why, size,
				"control/%s line %zu: expected a domain such "
				"as example.org, found \"%.60s\"",
				name, list->number[i], line);
		else
			snprintf(why, size, "control/%s: out of memory", name);
		return -1;
	}
	return 0;
}

int
policy_build(struct policy *policy, const char *me,
	const struct setting_list *locals, const struct setting_list *rcpthosts,
	const char *relay_client, char *why, size_t size)
{
	*policy = (struct policy){
		.locals = DOMAINS_ZERO,
		.rcpthosts = DOMAINS_ZERO,
		.has_rcpthosts = rcpthosts->present,
		.may_relay = relay_client != NULL,
		.suffix = relay_client != NULL ? relay_client : "",
	};
	if (!locals->present &&
		domains_add(&policy->locals, me, strlen(me)) < 0) {
		snprintf(why, size, "control/me: cannot be a local domain");
		goto fail;
	}
	if (add_list(&policy->locals, locals, "locals", why, size) == 0 &&
		add_list(&policy->rcpthosts, rcpthosts, "rcpthosts", why,
			size) == 0)
		return 0;
fail:
	policy_free(policy);
	return -1;
}

int
policy_add_more(struct policy *policy, const char *path, char *why, size_t size)
{
	if (cdbfile_open(&policy->more, path) == 0) {
		policy->has_more = true;
		return 0;
	}
	if (errno == ENOENT)
		return 0;
	snprintf(why, size, "%s: %s", path,
		errno == EBADMSG ? "is no cdb" : strerror(errno));
	return -1;
}

/* As cdbfile_find: the domain, then each ".suffix" of it. */
static int
find_more(const struct policy *policy, const char *domain, size_t len)
{
	cdb_data data;
	int found = 0;

	for (size_t at = 0; at < len && found == 0; at++)
		if (at == 0 || domain[at] == '.')
			found = cdbfile_find(
				&policy->more, domain + at, len - at, &data);
	return found;
}

void
policy_free(struct policy *policy)
{
	if (policy->has_more)
		cdbfile_close(&policy->more);
	domains_free(&policy->locals);
	domains_free(&policy->rcpthosts);
	*policy = (struct policy){.suffix = ""};
}

enum policy_verdict
policy_judge(const struct policy *policy, const char *domain, size_t len)
{
	if (!policy->may_relay) {
		if (!policy->has_rcpthosts && !policy->has_more)
			return POLICY_NOTHING;
		if (!domains_has(&policy->rcpthosts, domain, len)) {
			int found = policy->has_more
					    ? find_more(policy, domain, len)
					    : 0;
			if (found <= 0)
				return found < 0 ? POLICY_NOTHING
						 : POLICY_REFUSED;
		}
	}
	if (domains_has(&policy->locals, domain, len))
		return POLICY_LOCAL;
	return POLICY_ONWARD;
}

int
policy_append(const struct policy *policy, struct path *path)
{
	struct path result = {.kind = PATH_MAILBOX};
	char text[ADDRESS_TEXT_MAX + 1];
	const char *at, *suffix = policy->suffix;
	size_t length;

	if (suffix == NULL || *suffix == 0)
		return 0;
	at = strrchr(suffix, '@');
	if (at == NULL) {
		/* More of the domain, such as ".gateway". */
		length = address_write(text, sizeof text, path);
		size_t more = strlen(suffix);
		if (length + more > ADDRESS_TEXT_MAX)
			return -1;
		memcpy(text + length, suffix, more);
		return address_mailbox_scan(text, length + more, 0, path);
	}
	/* The whole address, and what stands before the "@", as local part. */
	int made = snprintf(result.local, sizeof result.local, "%s@%s%.*s",
		path->local, path->domain, (int)(at - suffix), suffix);
	size_t domain_len = strlen(at + 1);
	if (made < 0 || (size_t)made >= sizeof result.local ||
		domain_len > ADDRESS_DOMAIN_MAX)
		return -1;
	result.local_len = (size_t)made;
	memcpy(result.domain, at + 1, domain_len);
	result.domain_len = domain_len;
	/* Writing and reading it proves every part of it. */
	length = address_write(text, sizeof text, &result);
	return address_mailbox_scan(text, length, 0, path);
}

enum policy_answer
policy_ask(int *fd, const char *socket_path, const char *address,
	int64_t deadline_ms, enum ours_kind *domain, char *why, size_t size)
{
	struct resolve_answer answer;

	*domain = OURS_TROUBLE;
	if (resolve_ask(fd, socket_path, address, RESOLVE_ROOM, deadline_ms,
		    &answer) < 0) {
		snprintf(why, size, "%s: %s", socket_path, strerror(errno));
		return POLICY_LATER;
	}
	*why = 0;
	*domain = (enum ours_kind)answer.domain;
	switch (answer.meaning) {
	case RESOLVE_ACCOUNT:
		if (answer.room == RESOLVE_HAS_ROOM)
			return POLICY_EXISTS;
		snprintf(why, size, "%s", answer.text);
		return answer.room == RESOLVE_FULL ? POLICY_FULL
						   : POLICY_FULL_NOW;
	case RESOLVE_NOBODY:
		snprintf(why, size, "%s",
			answer.text[0] ? answer.text : "no such address");
		return POLICY_NOBODY;
	case RESOLVE_NOT_OURS:
		snprintf(why, size, "resolve: the domain is not local");
		return POLICY_ELSEWHERE;
	default:
		snprintf(why, size, "resolve: %s",
			answer.text[0] ? answer.text : "no reason given");
		return POLICY_LATER;
	}
}
