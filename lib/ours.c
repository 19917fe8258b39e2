#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/accounts.h"
#include "lib/address.h"
#include "lib/ours.h"

#define KEY_MAX (ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX + 1)

/* "user@domain:prepend" of control/virtualdomains. */
struct ours_user {
	char *key;   /* owned, in lower case */
	char *value; /* owned: "LINE:PREPEND" */
	size_t line;
};

static void
copy_lower(char *to, const char *from, size_t length)
{
	for (size_t i = 0; i < length; i++)
		to[i] = from[i] >= 'A' && from[i] <= 'Z'
				? (char)(from[i] - 'A' + 'a')
				: from[i];
	to[length] = 0;
}

static int
compare_keys(const void *a, const void *b)
{
	const struct ours_user *one = a, *other = b;

	return strcmp(one->key, other->key);
}

/* The first of two equal ones comes first. */
static int
compare_lines(const void *a, const void *b)
{
	const struct ours_user *one = a, *other = b;
	int order = compare_keys(a, b);

	if (order != 0)
		return order;
	return one->line < other->line ? -1 : one->line > other->line;
}

void
ours_free(struct ours *ours)
{
	domains_free(&ours->locals);
	domains_free(&ours->virtuals);
	for (size_t i = 0; i < ours->users; i++) {
		free(ours->user[i].key);
		free(ours->user[i].value);
	}
	free(ours->user);
	ours->user = NULL;
	ours->users = 0;
	cdbkept_close(&ours->accounts);
}

/* --- building --- */

static int
bad_line(const char *file, size_t line, const char *expected, char *why,
	size_t size)
{
	if (errno == EINVAL)
		snprintf(why, size, "control/%s line %zu: expected %s", file,
			line, expected);
	return -1;
}

static int
add_local(struct ours *ours, const char *text, size_t number)
{
	char value[32];

	text += strspn(text, " \t");
	if (*text == 0)
		return 0;
	int length = snprintf(value, sizeof value, "%zu", number);
	return domains_put(
		&ours->locals, text, strlen(text), value, (size_t)length);
}

static int
add_user(struct ours *ours, const char *key, size_t length, const char *value,
	size_t line)
{
	struct path path;
	char lower[KEY_MAX + 1];

	errno = EINVAL;
	if (length > KEY_MAX)
		return -1;
	copy_lower(lower, key, length);
	if (address_mailbox_scan(lower, length, ADDRESS_UTF8, &path) < 0)
		return -1;
	struct ours_user *new = &ours->user[ours->users];
	*new = (struct ours_user){.line = line};
	size_t room = path.local_len + path.domain_len + 2;
	new->key = malloc(room);
	new->value = strdup(value);
	if (new->key == NULL || new->value == NULL) {
		free(new->key);
		free(new->value);
		errno = ENOMEM;
		return -1;
	}
	/* unquoted, as a question's */
	snprintf(new->key, room, "%s@%s", path.local, path.domain);
	ours->users++;
	return 0;
}

/* One line "[user@][domain]:prepend". */
static int
add_virtual(struct ours *ours, const char *text, size_t line)
{
	char value[ADDRESS_LOCAL_MAX + 32];

	text += strspn(text, " \t");
	const char *colon = strrchr(text, ':');

	errno = EINVAL;
	if (colon == NULL || strlen(colon + 1) > ADDRESS_LOCAL_MAX ||
		strpbrk(colon + 1, "@/ \t") != NULL)
		return -1;
	snprintf(value, sizeof value, "%zu%s", line, colon);
	size_t length = (size_t)(colon - text);
	if (memchr(text, '@', length) != NULL)
		return add_user(ours, text, length, value, line);
	return domains_put(&ours->virtuals, text, length, value, strlen(value));
}

static int
add_all(struct ours *ours, const struct setting_list *locals,
	const struct setting_list *virtualdomains, char *why, size_t size)
{
	for (size_t i = 0; i < locals->count; i++)
		if (add_local(ours, locals->line[i], locals->number[i]) < 0)
			return bad_line("locals", locals->number[i], "a domain",
				why, size);
	for (size_t i = 0; i < virtualdomains->count; i++)
		if (add_virtual(ours, virtualdomains->line[i],
			    virtualdomains->number[i]) < 0)
			return bad_line("virtualdomains",
				virtualdomains->number[i],
				"[user@][domain]:prepend", why, size);
	qsort(ours->user, ours->users, sizeof *ours->user, compare_lines);
	return 0;
}

int
ours_build(struct ours *ours, const struct home *home, const char *me,
	const struct setting_list *locals,
	const struct setting_list *virtualdomains, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	*ours = (struct ours){.locals = DOMAINS_ZERO, .virtuals = DOMAINS_ZERO};
	snprintf(why, size, "out of memory");
	cdbkept_at(
		&ours->accounts, home_path(home, "users/accounts.cdb", path));
	ours->user = calloc(virtualdomains->count + 1, sizeof *ours->user);
	if (ours->user != NULL &&
		(locals->present ||
			domains_add(&ours->locals, me, strlen(me)) == 0) &&
		add_all(ours, locals, virtualdomains, why, size) == 0)
		return 0;
	ours_free(ours);
	return -1;
}

/* --- asking --- */

static void
set_match(struct ours_match *match, const char *file, const char *value)
{
	char *end;

	if (match == NULL)
		return;
	match->file = file;
	match->line = strtoul(value, &end, 10);
	match->prepend = *end == ':' ? end + 1 : "";
}

/* The value of the address in control/virtualdomains, or NULL. */
static const char *
find_virtual(const struct ours *ours, const char *local, size_t local_len,
	const char *domain, size_t domain_len)
{
	char key[KEY_MAX + 1];

	if (ours->users > 0 && local_len + domain_len < KEY_MAX) {
		copy_lower(key, local, local_len);
		key[local_len] = '@';
		copy_lower(key + local_len + 1, domain, domain_len);
		struct ours_user wanted = {.key = key};
		struct ours_user *found = bsearch(&wanted, ours->user,
			ours->users, sizeof *ours->user, compare_keys);
		while (found != NULL && found > ours->user &&
			compare_keys(found - 1, found) == 0)
			found--;
		if (found != NULL)
			return found->value;
	}
	return domains_find(&ours->virtuals, domain, domain_len);
}

static enum ours_kind
find_database(struct ours *ours, const char *domain, size_t length)
{
	char key[ADDRESS_DOMAIN_MAX + 2];
	struct account account;

	if (length == 0 || length > ADDRESS_DOMAIN_MAX || domain[0] == '[')
		return OURS_NOT;
	key[0] = '@';
	copy_lower(key + 1, domain, length);
	int there = cdbkept_fresh(&ours->accounts);
	if (there <= 0)
		return there == 0 ? OURS_NOT : OURS_TROUBLE;
	switch (account_find(&ours->accounts.file, key, &account)) {
	case ACCOUNT_FOUND:
		return OURS_DATABASE;
	case ACCOUNT_NONE:
		return OURS_NOT;
	case ACCOUNT_TROUBLE:
		break;
	}
	return OURS_TROUBLE;
}

enum ours_kind
ours_find(struct ours *ours, const char *local, size_t local_len,
	const char *domain, size_t domain_len, struct ours_match *match)
{
	const char *value = domains_find(&ours->locals, domain, domain_len);

	if (value != NULL) {
		/* me, where there is no file, has no line */
		set_match(match, *value != 0 ? "control/locals" : "control/me",
			value);
		return OURS_LOCAL;
	}
	value = find_virtual(ours, local, local_len, domain, domain_len);
	if (value != NULL) {
		set_match(match, "control/virtualdomains", value);
		return strchr(value, ':')[1] != 0 ? OURS_VIRTUALDOMAIN
						  : OURS_NOT;
	}
	enum ours_kind kind = find_database(ours, domain, domain_len);
	set_match(match, kind == OURS_NOT ? "" : "users/accounts.cdb", "0");
	return kind;
}

enum ours_kind
ours_find_address(struct ours *ours, const char *address)
{
	struct path path;

	if (address_mailbox_scan(
		    address, strlen(address), ADDRESS_UTF8, &path) < 0)
		return OURS_NOT;
	return ours_find(ours, path.local, path.local_len, path.domain,
		path.domain_len, NULL);
}
