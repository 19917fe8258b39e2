#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/accounts.h"
#include "lib/log.h"
#include "local/outside.h"
#include "tools/auth_check.h"
#include "tools/secrets.h"

static void
lower(char *text)
{
	for (; *text != 0; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text - 'A' + 'a');
}

static bool
write_key(char key[ACCOUNT_KEY_MAX], const char *kind, const char *name)
{
	int needed = snprintf(key, ACCOUNT_KEY_MAX, "%s%s", kind, name);

	return needed >= 0 && needed < ACCOUNT_KEY_MAX;
}

/* The account of an address, if its owner may log in. Aliases have none. */
static enum account_result
find_account(const char *database, const char *address)
{
	struct account account;
	enum account_result result =
		account_virtual(database, address, &account);

	if (result == ACCOUNT_FOUND &&
		(account.kind != ACCOUNT_MAILBOX ||
			(account.flags & ACCOUNT_NO_LOGIN) != 0))
		return ACCOUNT_NONE;
	return result;
}

/*
 * By the user database. AUTH_NO and *is_decided false: it has no password for
 * the name, although *exists may be true.
 */
static enum auth_verdict
check_database(const struct auth_place *place, const char *address,
	const char *password, bool *exists, bool *is_decided)
{
	char path[HOME_NAME_MAX];
	struct secret secret;

	*exists = *is_decided = false;
	enum account_result result = find_account(
		home_path(place->home, "users/accounts.cdb", path), address);
	if (result == ACCOUNT_TROUBLE) {
		log_line("%s: %s", path, strerror(errno));
		return AUTH_TEMPORARY;
	}
	int found =
		secrets_find(home_path(place->home, "users/secrets.cdb", path),
			address, &secret);
	if (found < 0) {
		log_line("%s: %s", path, strerror(errno));
		return AUTH_TEMPORARY;
	}
	*exists = result == ACCOUNT_FOUND;
	*is_decided = *exists && found == 1;
	bool is_right =
		secrets_match(*is_decided ? secret.hash : NULL, password);
	explicit_bzero(&secret, sizeof secret);
	return is_right ? AUTH_YES : AUTH_NO;
}

/* Whether a system user may have mail here. */
static enum auth_verdict
check_system_user(const struct auth_place *place, const char *name)
{
	struct account account;

	switch (account_system(name, &account)) {
	case ACCOUNT_FOUND:
		/* "NAME" found as "name" would be two names for one. */
		return strcmp(account.name, name) == 0 &&
				       !home_is_role_uid(
					       place->home, account.uid)
			       ? AUTH_YES
			       : AUTH_NO;
	case ACCOUNT_NONE:
		return AUTH_NO;
	case ACCOUNT_TROUBLE:
		break;
	}
	log_line("looking up a system user: %s", strerror(errno));
	return AUTH_TEMPORARY;
}

/*
 * For an address whose password the program has found right, and which is not in
 * the user database: whether the look-up program has a mailbox for it.
 */
static enum auth_verdict
check_outside(const struct auth_place *place, const char *address)
{
	char path[HOME_NAME_MAX], why[300];
	struct account account;

	/* one that is there may not log in, whatever others say of it */
	enum account_result result = account_virtual(
		home_path(place->home, "users/accounts.cdb", path), address,
		&account);
	if (result == ACCOUNT_FOUND)
		return AUTH_NO;
	memset(&account, 0, sizeof account);
	/* not used, but an account must have some that are no root's */
	account.uid = account.gid = geteuid();
	snprintf(account.name, sizeof account.name, "%s", address);
	if (result == ACCOUNT_TROUBLE)
		snprintf(why, sizeof why, "%s: %s", path, strerror(errno));
	else if (outside_setting(place->home, path, why, sizeof why) < 0)
		result = ACCOUNT_TROUBLE;
	else if (path[0] != 0)
		result = outside_fill(
			place->home, path, &account, why, sizeof why);
	if (result == ACCOUNT_TROUBLE) {
		log_line("%s: %s", address, why);
		return AUTH_TEMPORARY;
	}
	return result == ACCOUNT_FOUND && account.kind == ACCOUNT_MAILBOX
		       ? AUTH_YES
		       : AUTH_NO;
}

static enum auth_verdict
check_address(const struct auth_place *place, const char *name,
	const char *password, const char *client, char key[ACCOUNT_KEY_MAX])
{
	const char *program = place->settings->program;
	char address[AUTH_NAME_MAX];
	bool exists, is_decided;

	snprintf(address, sizeof address, "%s", name);
	lower(address);
	enum auth_verdict verdict =
		check_database(place, address, password, &exists, &is_decided);
	if (verdict == AUTH_NO && !is_decided && *program != 0)
		verdict = auth_program(program,
			place->settings->program_method == 1, address, password,
			client);
	if (verdict == AUTH_YES && !exists) {
		verdict = check_outside(place, address);
		if (verdict == AUTH_NO)
			log_line("%s knows %s, which has no mailbox here",
				program, address);
	}
	if (verdict == AUTH_YES &&
		!write_key(key, exists ? "u:" : "x:", address))
		verdict = AUTH_NO;
	return verdict;
}

static enum auth_verdict
check_plain_name(const struct auth_place *place, const char *name,
	const char *password, const char *client, char key[ACCOUNT_KEY_MAX])
{
	const char *program = place->settings->program;
	enum auth_verdict verdict;

	if (*program != 0) {
		verdict = auth_program(program,
			place->settings->program_method == 1, name, password,
			client);
	} else if (place->settings->system_logins == 1) {
		verdict = auth_system(name, password);
	} else {
		(void)secrets_match(NULL, password);
		return AUTH_NO;
	}
	if (verdict == AUTH_YES)
		verdict = check_system_user(place, name);
	if (verdict == AUTH_YES && !write_key(key, "s:", name))
		verdict = AUTH_NO;
	return verdict;
}

static bool
is_name(const char *name)
{
	if (*name == 0 || strlen(name) >= AUTH_NAME_MAX)
		return false;
	for (; *name != 0; name++)
		if ((unsigned char)*name < 32 || *name == 127)
			return false;
	return true;
}

enum auth_verdict
auth_check(const struct auth_place *place, const char *name,
	const char *password, const char *client, char key[ACCOUNT_KEY_MAX])
{
	if (!is_name(name) || *password == 0)
		return AUTH_NO;
	if (strchr(name, '@') != NULL)
		return check_address(place, name, password, client, key);
	return check_plain_name(place, name, password, client, key);
}

/* The seed of the database, or the process's. */
static int
make_up(const struct auth_place *place, const char *database,
	const char *address, struct scram_verifier *verifier)
{
	uint8_t seed[DIGEST_SHA256];
	int found = secrets_seed(database, seed);

	if (found < 0)
		return -1;
	scram_make_up(verifier, found > 0 ? seed : place->seed, address);
	explicit_bzero(seed, sizeof seed);
	return 0;
}

enum auth_verdict
auth_find(const struct auth_place *place, const char *name,
	struct secret *secret, char key[ACCOUNT_KEY_MAX])
{
	char path[HOME_NAME_MAX], address[AUTH_NAME_MAX];
	struct scram_verifier nobody;

	memset(secret, 0, sizeof *secret);
	snprintf(address, sizeof address, "%s", name);
	lower(address);
	enum account_result result = find_account(
		home_path(place->home, "users/accounts.cdb", path), address);
	if (result == ACCOUNT_TROUBLE) {
		log_line("%s: %s", path, strerror(errno));
		return AUTH_TEMPORARY;
	}
	home_path(place->home, "users/secrets.cdb", path);
	int found = secrets_find(path, address, secret);
	if (found < 0 || make_up(place, path, address, &nobody) < 0) {
		log_line("%s: %s", path, strerror(errno));
		return AUTH_TEMPORARY;
	}
	bool exists = result == ACCOUNT_FOUND && found > 0 && is_name(name) &&
		      write_key(key, "u:", address);
	if (!exists)
		memset(secret, 0, sizeof *secret);
	if (!secret->has_verifier)
		secret->verifier = nobody;
	return exists ? AUTH_YES : AUTH_NO;
}
