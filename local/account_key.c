#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "local/account.h"
#include "local/aliases.h"
#include "local/assign.h"

#define DATABASE "users/accounts.cdb"
#define ALIASES "users/aliases.cdb"
#define ASSIGN "users/cdb"

/* --- who may have mail --- */

bool
account_may_be_used(const struct home *home, const struct account *account)
{
	if (account->uid == 0 || account->gid == 0)
		return false;
	if (home->is_private)
		return home_is_user(home, "", account->uid);
	return !home_is_role_uid(home, account->uid);
}

enum account_result
account_of_system(
	const struct home *home, const char *name, struct account *account)
{
	enum account_result result = account_system(name, account);
	struct stat st;

	if (result != ACCOUNT_FOUND)
		return result;
	if (!account_may_be_used(home, account))
		return ACCOUNT_NONE;
	if (stat(account->home, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? ACCOUNT_NONE
							   : ACCOUNT_TROUBLE;
	return S_ISDIR(st.st_mode) && st.st_uid == account->uid ? ACCOUNT_FOUND
								: ACCOUNT_NONE;
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

/* Opens one of the databases. As account results: none, trouble, found. */
static enum account_result
open_database(const struct home *home, const char *name, struct cdbfile *file)
{
	char path[HOME_NAME_MAX];

	if (cdbfile_open(file, home_path(home, name, path)) == 0)
		return ACCOUNT_FOUND;
	return errno == ENOENT ? ACCOUNT_NONE : ACCOUNT_TROUBLE;
}

static enum account_result
listed_alias(const struct home *home, const char *name, struct account *account)
{
	struct cdbfile file;
	enum account_result result = alias_account(home, account);

	if (result != ACCOUNT_FOUND)
		return result;
	account->kind = ACCOUNT_ALIAS;
	result = open_database(home, ALIASES, &file);
	if (result != ACCOUNT_FOUND)
		return result;
	result = aliases_find(&file, name, account->targets);
	cdbfile_close(&file);
	return result;
}

static enum account_result
assigned(const struct home *home, const char *local, struct account *account)
{
	struct cdbfile file;
	struct assign assign;
	enum account_result result = open_database(home, ASSIGN, &file);

	if (result != ACCOUNT_FOUND)
		return result;
	result = assign_find(&file, local, &assign);
	cdbfile_close(&file);
	memset(account, 0, sizeof *account);
	account->uid = assign.uid;
	account->gid = assign.gid;
	snprintf(account->name, sizeof account->name, "%s", assign.user);
	snprintf(account->home, sizeof account->home, "%s", assign.home);
	snprintf(account->maildir, sizeof account->maildir, "./Maildir/");
	return result;
}

static enum account_result
outside_account(
	const struct home *home, const char *address, struct account *account)
{
	memset(account, 0, sizeof *account);
	if (home_user_id(home, "_keep-vmail", &account->uid) < 0 ||
		home_group_id(home, "_keep-vmail", &account->gid) < 0)
		return ACCOUNT_NONE;
	snprintf(account->name, sizeof account->name, "%s", address);
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
			home_path(home, DATABASE, database), key + 2, account);
	else if (strncmp(key, "e:", 2) == 0)
		result = listed_alias(home, key + 2, account);
	else if (strncmp(key, "q:", 2) == 0)
		result = assigned(home, key + 2, account);
	else if (strncmp(key, "s:", 2) == 0)
		result = account_of_system(home, key + 2, account);
	else if (strncmp(key, "x:", 2) == 0)
		result = outside_account(home, key + 2, account);
	else if (strcmp(key, "a:") == 0)
		result = alias_account(home, account);
	if (result == ACCOUNT_FOUND && !account_may_be_used(home, account))
		result = ACCOUNT_NONE;
	return result;
}
