#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "local/account.h"

struct search {
	const struct home *home;
	struct candidate *candidate;
	int count;
	char database[HOME_NAME_MAX];
	char local[ADDRESS_LOCAL_MAX + 1]; /* in lower case */
	const char *domain;
};

static bool
may_be_used(const struct home *home, const struct account *account)
{
	if (account->uid == 0 || account->gid == 0)
		return false;
	if (home->is_private)
		return home_is_user(home, "", account->uid);
	return !home_is_role_uid(home, account->uid);
}

/* As account_system, for users whose home is there and theirs. */
static enum account_result
find_system(const struct home *home, const char *name, struct account *account)
{
	enum account_result result = account_system(name, account);
	struct stat st;

	if (result != ACCOUNT_FOUND)
		return result;
	if (!may_be_used(home, account))
		return ACCOUNT_NONE;
	if (stat(account->home, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? ACCOUNT_NONE
							   : ACCOUNT_TROUBLE;
	return S_ISDIR(st.st_mode) && st.st_uid == account->uid ? ACCOUNT_FOUND
								: ACCOUNT_NONE;
}

static enum account_result
find_virtual(const struct search *search, const char *local,
	struct account *account, char address[ACCOUNT_KEY_MAX])
{
	int length = snprintf(
		address, ACCOUNT_KEY_MAX, "%s@%s", local, search->domain);

	/* a key has two octets more */
	if (length < 0 || length >= ACCOUNT_KEY_MAX - 2)
		return ACCOUNT_NONE;
	enum account_result result =
		account_virtual(search->database, address, account);
	if (result == ACCOUNT_FOUND && !may_be_used(search->home, account))
		return ACCOUNT_NONE;
	return result;
}

static void
add(struct search *search, const char *kind, const char *key,
	const char *extension)
{
	struct candidate *new = &search->candidate[search->count++];
	bool has_extension = extension != NULL;

	snprintf(new->account, sizeof new->account, "%s:%.*s", kind,
		ACCOUNT_KEY_MAX - 3, key);
	snprintf(new->dash, sizeof new->dash, "%s", has_extension ? "-" : "");
	snprintf(new->extension, sizeof new->extension, "%s",
		has_extension ? extension : "");
	new->is_certain = !has_extension;
}

/* Tries what stands before a dash, or all (extension NULL). -1: trouble. */
static int
try(struct search *search, const char *local, const char *extension)
{
	char address[ACCOUNT_KEY_MAX];
	struct account account;

	switch (find_virtual(search, local, &account, address)) {
	case ACCOUNT_FOUND:
		add(search, "u", address, extension);
		if (extension == NULL)
			return 0;
		break;
	case ACCOUNT_TROUBLE:
		return -1;
	case ACCOUNT_NONE:
		break;
	}
	switch (find_system(search->home, local, &account)) {
	case ACCOUNT_FOUND:
		add(search, "s", local, extension);
		break;
	case ACCOUNT_TROUBLE:
		return -1;
	case ACCOUNT_NONE:
		break;
	}
	return 0;
}

int
account_candidates(const struct home *home, const struct path *path,
	struct candidate candidate[ACCOUNT_CANDIDATES_MAX])
{
	struct search search = {
		.home = home, .candidate = candidate, .domain = path->domain};
	char before[ADDRESS_LOCAL_MAX + 1];
	size_t length = path->local_len;

	home_path(home, "users/accounts.cdb", search.database);
	if (path->kind != PATH_MAILBOX || length == 0 ||
		memchr(path->local, 0, length) != NULL)
		return 0;
	for (size_t i = 0; i <= length; i++)
		search.local[i] = (char)tolower((unsigned char)path->local[i]);
	if (try(&search, search.local, NULL) < 0)
		return -1;
	if (search.count > 0)
		return search.count;
	for (int dashes = 0; length > 0 && dashes < ACCOUNT_DASHES_MAX;) {
		if (search.local[--length] != '-' || length == 0)
			continue;
		dashes++;
		memcpy(before, search.local, length);
		before[length] = 0;
		if (try(&search, before, search.local + length + 1) < 0)
			return -1;
	}
	add(&search, "a", "", search.local);
	return search.count;
}

/* --- keys --- */

static enum account_result
alias_account(const struct home *home, struct account *account)
{
	memset(account, 0, sizeof *account);
	if (home_user_id(home, "_keep-alias", &account->uid) < 0 ||
		home_group_id(home, "_keep-alias", &account->gid) < 0)
		return ACCOUNT_NONE;
	snprintf(account->name, sizeof account->name, "alias");
	home_path(home, "alias", account->home);
	snprintf(account->maildir, sizeof account->maildir, "./Maildir/");
	return ACCOUNT_FOUND;
}

enum account_result
account_by_key(
	const struct home *home, const char *key, struct account *account)
{
	enum account_result result = ACCOUNT_NONE;
	char database[HOME_NAME_MAX];

	if (strncmp(key, "u:", 2) == 0)
		result = account_virtual(
			home_path(home, "users/accounts.cdb", database),
			key + 2, account);
	else if (strncmp(key, "s:", 2) == 0)
		result = find_system(home, key + 2, account);
	else if (strcmp(key, "a:") == 0)
		result = alias_account(home, account);
	if (result == ACCOUNT_FOUND && !may_be_used(home, account))
		result = ACCOUNT_NONE;
	return result;
}
