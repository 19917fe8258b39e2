#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "lib/accounts.h"
#include "lib/log.h"
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

/*
 * By the user database. AUTH_NO and *is_decided false: it has no password for
 * the name, although *exists may be true.
 */
static enum auth_verdict
check_database(const struct auth_place *place, const char *address,
	const char *password, bool *exists, bool *is_decided)
{
	char path[HOME_NAME_MAX], hash[SECRETS_HASH_MAX];
	struct account account;

	*exists = *is_decided = false;
	enum account_result result = account_virtual(
		home_path(place->home, "users/accounts.cdb", path), address,
		&account);
	if (result == ACCOUNT_TROUBLE) {
		log_line("%s: %s", path, strerror(errno));
		return AUTH_TEMPORARY;
	}
	int found =
		secrets_find(home_path(place->home, "users/secrets.cdb", path),
			address, hash);
	if (found < 0) {
		log_line("%s: %s", path, strerror(errno));
		return AUTH_TEMPORARY;
	}
	*exists = result == ACCOUNT_FOUND;
	*is_decided = *exists && found == 1;
	bool is_right = secrets_match(*is_decided ? hash : NULL, password);
	explicit_bzero(hash, sizeof hash);
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

static enum auth_verdict
check_address(const struct auth_place *place,
	const struct auth_question *question, char key[ACCOUNT_KEY_MAX])
{
	const char *program = place->settings->program;
	char address[AUTH_NAME_MAX];
	bool exists, is_decided;

	memcpy(address, question->name, sizeof address);
	lower(address);
	enum auth_verdict verdict = check_database(
		place, address, question->password, &exists, &is_decided);
	if (verdict == AUTH_NO && !is_decided && *program != 0)
		verdict = auth_program(
			program, address, question->password, question->client);
	if (verdict == AUTH_YES && !exists) {
		log_line("%s knows %s, which is not in users/accounts.cdb",
			program, address);
		verdict = AUTH_NO;
	}
	if (verdict == AUTH_YES && !write_key(key, "u:", address))
		verdict = AUTH_NO;
	return verdict;
}

static enum auth_verdict
check_plain_name(const struct auth_place *place,
	const struct auth_question *question, char key[ACCOUNT_KEY_MAX])
{
	const char *program = place->settings->program;
	const char *name = question->name;
	enum auth_verdict verdict;

	if (*program != 0) {
		verdict = auth_program(
			program, name, question->password, question->client);
	} else if (place->settings->system_logins == 1) {
		verdict = auth_system(name, question->password);
	} else {
		(void)secrets_match(NULL, question->password);
		return AUTH_NO;
	}
	if (verdict == AUTH_YES)
		verdict = check_system_user(place, name);
	if (verdict == AUTH_YES && !write_key(key, "s:", name))
		verdict = AUTH_NO;
	return verdict;
}

enum auth_verdict
auth_check(const struct auth_place *place, const struct auth_question *question,
	char key[ACCOUNT_KEY_MAX])
{
	for (const char *c = question->name; *c != 0; c++)
		if ((unsigned char)*c < 32 || *c == 127)
			return AUTH_NO;
	if (question->name[0] == 0 || question->password[0] == 0)
		return AUTH_NO;
	if (strchr(question->name, '@') != NULL)
		return check_address(place, question, key);
	return check_plain_name(place, question, key);
}
