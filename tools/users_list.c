#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/cdbfile.h"
#include "lib/outcome.h"
#include "tools/json.h"
#include "tools/users_admin.h"
#include "tools/users_line.h"

#define DATABASE "users/accounts.cdb"

/* --- what the others use, too --- */

int
admin_complete(const struct home *home, const struct account *domain,
	struct account *account, char *why, size_t size)
{
	const char *at = strrchr(account->name, '@');
	int length = 0;

	if (account->uid == 0 && domain != NULL) {
		account->uid = domain->uid;
		account->gid = domain->gid;
	} else if (account->uid == 0 &&
		   (home_user_id(home, "_keep-vmail", &account->uid) < 0 ||
			   home_group_id(home, "_keep-vmail", &account->gid) <
				   0)) {
		snprintf(why, size,
			"control/ids does not name _keep-vmail: run "
			"make-users");
		return -1;
	}
	if (account->maildir[0] == 0)
		snprintf(account->maildir, sizeof account->maildir,
			"./Maildir/");
	if (account->home[0] != 0)
		return 0;
	if (account->kind == ACCOUNT_MAILBOX)
		length = snprintf(account->home, sizeof account->home,
			"%s/mail/%s/%.*s", home->path, at + 1,
			(int)(at - account->name), account->name);
	else
		length = snprintf(account->home, sizeof account->home,
			"%s/mail/%s", home->path, at + 1);
	if (length >= 0 && (size_t)length < sizeof account->home)
		return 0;
	snprintf(why, size, "%s: its home's name is too long", account->name);
	return -1;
}

static int
compare(const void *a, const void *b)
{
	char *const *one = a, *const *other = b;

	return strcmp(*one, *other);
}

void
admin_free_keys(char **key)
{
	for (char **at = key; at != NULL && *at != NULL; at++)
		free(*at);
	free(key);
}

/* Adds a key to a list that ends with NULL. NULL without memory, and the list is
 * freed. */
static char **
add_key(char **list, size_t count, const cdb_data *key)
{
	/* room doubles at powers of two, from 16 on */
	if (count >= 15 && ((count + 1) & count) == 0) {
		char **larger =
			reallocarray(list, 2 * (count + 1), sizeof *larger);

		if (larger == NULL) {
			admin_free_keys(list);
			return NULL;
		}
		list = larger;
	}
	list[count] = strndup(key->s, key->len);
	if (list[count] == NULL) {
		admin_free_keys(list);
		return NULL;
	}
	list[count + 1] = NULL;
	return list;
}

char **
admin_keys(const struct home *home, char *why, size_t size)
{
	char path[HOME_NAME_MAX];
	struct cdbfile file;
	cdb_data key, data;
	size_t count = 0;
	int more = 0;

	char **list = calloc(16, sizeof *list);
	errno = ENOMEM;
	if (list == NULL)
		goto failed;
	if (cdbfile_open(&file, home_path(home, DATABASE, path)) < 0) {
		if (errno == ENOENT)
			return list;
		goto failed;
	}
	while (list != NULL && (more = cdbfile_next(&file, &key, &data)) > 0)
		list = add_key(list, count++, &key);
	cdbfile_close(&file);
	if (list == NULL) {
		errno = ENOMEM;
		goto failed;
	}
	errno = EBADMSG;
	if (more < 0)
		goto failed;
	qsort(list, count, sizeof *list, compare);
	return list;
failed:
	snprintf(why, size, "%s/%s: %s", home->path, DATABASE, strerror(errno));
	admin_free_keys(list);
	return NULL;
}

/* Opens the database. 1; 0: there is none; -1 with why. */
static int
open_database(
	const struct home *home, struct cdbfile *file, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	if (cdbfile_open(file, home_path(home, DATABASE, path)) == 0)
		return 1;
	if (errno == ENOENT)
		return 0;
	snprintf(why, size, "%s: %s", path, strerror(errno));
	return -1;
}

enum account_result
admin_find(const struct home *home, const char *key, struct account *account,
	char *why, size_t size)
{
	struct cdbfile file;
	int there = open_database(home, &file, why, size);

	if (there <= 0)
		return there == 0 ? ACCOUNT_NONE : ACCOUNT_TROUBLE;
	enum account_result result = account_find(&file, key, account);
	if (result == ACCOUNT_TROUBLE)
		snprintf(why, size, "%s: its record is damaged", key);
	cdbfile_close(&file);
	return result;
}

/* --- the lists --- */

static const char *
kind_of(const struct account *account)
{
	static const char *const kind[] = {"user", "alias", "domain"};

	return kind[account->kind];
}

static void
show_json(const struct account *account, bool is_first)
{
	const char *at = account->targets;
	char target[ACCOUNT_TARGETS_MAX];

	printf("%s\n{\"kind\":\"%s\",\"name\":", is_first ? "" : ",",
		kind_of(account));
	json_text(account->name + (account->kind == ACCOUNT_DOMAIN));
	printf(",\"uid\":%u,\"gid\":%u,\"home\":", (unsigned)account->uid,
		(unsigned)account->gid);
	json_text(account->home);
	printf(",\"quota\":%llu,\"messages\":%u,\"copy\":%s,\"login\":%s,"
	       "\"to\":[",
		(unsigned long long)account->quota_octets,
		(unsigned)account->quota_messages,
		account->flags & ACCOUNT_KEEPS_COPY ? "true" : "false",
		account->kind == ACCOUNT_MAILBOX &&
				!(account->flags & ACCOUNT_NO_LOGIN)
			? "true"
			: "false");
	while (*at != 0) {
		size_t length = strcspn(at, "\n");

		snprintf(target, sizeof target, "%.*s", (int)length, at);
		json_text(target);
		at += length + (at[length] == '\n');
		if (*at != 0)
			putchar(',');
	}
	printf("]}");
}

static void
show_text(const struct account *account)
{
	printf("%s\t%s", account->name + (account->kind == ACCOUNT_DOMAIN),
		kind_of(account));
	if (account->quota_octets > 0)
		printf("\tquota %llu",
			(unsigned long long)account->quota_octets);
	for (const char *at = account->targets; *at != 0;) {
		size_t length = strcspn(at, "\n");

		printf("\tto %.*s", (int)length, at);
		at += length + (at[length] == '\n');
	}
	if (account->flags & ACCOUNT_KEEPS_COPY)
		printf("\tcopy");
	if (account->flags & ACCOUNT_NO_LOGIN)
		printf("\tno login");
	putchar('\n');
}

/* Shows the domains, or the accounts and aliases of one domain ("" or "@…"). */
static int
show(struct admin *admin, bool domains, const char *domain, bool as_json)
{
	struct cdbfile file;
	struct account account;
	bool is_first = true;
	int status = STATUS_DONE;

	char **key = admin_keys(&admin->home, admin->why, sizeof admin->why);
	if (key == NULL)
		return STATUS_TEMPORARY;
	int there = open_database(
		&admin->home, &file, admin->why, sizeof admin->why);
	if (as_json)
		putchar('[');
	for (char **at = key; there > 0 && *at != NULL; at++) {
		const char *its = strrchr(*at, '@');

		if (its == NULL || (its == *at) != domains ||
			(*domain != 0 && strcmp(its, domain) != 0))
			continue;
		enum account_result found = account_find(&file, *at, &account);
		/* removed since the names were read */
		if (found == ACCOUNT_NONE)
			continue;
		if (found != ACCOUNT_FOUND) {
			snprintf(admin->why, sizeof admin->why,
				"%s: its record is damaged", *at);
			status = STATUS_TEMPORARY;
			continue;
		}
		if (as_json)
			show_json(&account, is_first);
		else
			show_text(&account);
		is_first = false;
	}
	if (as_json)
		printf("\n]\n");
	if (there > 0)
		cdbfile_close(&file);
	admin_free_keys(key);
	return there < 0 ? STATUS_TEMPORARY : status;
}

int
admin_domain_list(struct admin *admin)
{
	bool as_json =
		admin->count > 0 && strcmp(admin->argument[0], "--json") == 0;

	if (admin->count != as_json)
		return ADMIN_USAGE;
	return show(admin, true, "", as_json);
}

int
admin_user_list(struct admin *admin)
{
	bool as_json =
		admin->count > 0 && strcmp(admin->argument[0], "--json") == 0;
	char domain[300] = "";

	if (admin->count > as_json + 1 ||
		(admin->count > as_json && admin->argument[as_json][0] == '-'))
		return ADMIN_USAGE;
	if (admin->count > as_json)
		snprintf(domain, sizeof domain, "@%.255s",
			admin->argument[as_json]);
	for (char *c = domain; *c != 0; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	return show(admin, false, domain, as_json);
}

/* --- the export --- */

/* The secret of an account, if the database has one. 1, 0 or -1. */
static int
find_secret(const struct cdbfile *secrets, const struct account *account,
	struct secret *secret)
{
	cdb_data data;

	if (secrets == NULL || account->kind != ACCOUNT_MAILBOX)
		return 0;
	int found = cdbfile_find(
		secrets, account->name, strlen(account->name), &data);
	if (found <= 0)
		return found;
	return secrets_unpack(data.s, data.len, secret) < 0 ? -1 : 1;
}

static int
export_one(struct admin *admin, const struct cdbfile *file,
	const struct cdbfile *secrets, const char *key)
{
	char text[USERS_LINE_MAX];
	struct account account;
	struct secret secret;
	int has_secret = -1, result = -1;

	enum account_result found = account_find(file, key, &account);
	/* removed since the names were read */
	if (found == ACCOUNT_NONE)
		return 0;
	if (found == ACCOUNT_FOUND)
		has_secret = find_secret(secrets, &account, &secret);
	if (has_secret >= 0)
		result = users_line_write(text, sizeof text, &account,
			has_secret > 0 ? &secret : NULL);
	if (result == 0)
		puts(text);
	else
		snprintf(admin->why, sizeof admin->why,
			"%s: its record is damaged or too long", key);
	explicit_bzero(text, sizeof text);
	explicit_bzero(&secret, sizeof secret);
	return result;
}

int
admin_user_export(struct admin *admin)
{
	struct cdbfile file, secrets;
	char path[HOME_NAME_MAX];
	int status = STATUS_DONE;

	if (admin->count != 0)
		return ADMIN_USAGE;
	char **key = admin_keys(&admin->home, admin->why, sizeof admin->why);
	if (key == NULL)
		return STATUS_TEMPORARY;
	int there = open_database(
		&admin->home, &file, admin->why, sizeof admin->why);
	bool has_secrets =
		cdbfile_open(&secrets, home_path(&admin->home,
					       "users/secrets.cdb", path)) == 0;
	if (!has_secrets && errno != ENOENT) {
		snprintf(admin->why, sizeof admin->why, "%s: %s", path,
			strerror(errno));
		status = STATUS_TEMPORARY;
	}
	for (char **at = key; there > 0 && status == STATUS_DONE && *at != NULL;
		at++)
		if (export_one(admin, &file, has_secrets ? &secrets : NULL,
			    *at) < 0)
			status = STATUS_TEMPORARY;
	if (has_secrets)
		cdbfile_close(&secrets);
	if (there > 0)
		cdbfile_close(&file);
	admin_free_keys(key);
	return there < 0 ? STATUS_TEMPORARY : status;
}
