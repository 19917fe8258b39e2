#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/outcome.h"
#include "tools/users_admin.h"
#include "tools/users_line.h"

struct import {
	struct admin *admin;
	struct users users;
	struct users_batch accounts, secrets;
	/* The domain of the line before, and its record: lines of one domain
	 * stand together as a rule. */
	char domain[300];
	bool has_record;
	struct account record;
	/* The domains of all lines before. */
	struct import_domain *given; /* owned */
	size_t count, room;
};

struct import_domain {
	char name[256];
	uid_t uid;
	gid_t gid;
};

/* Remembers the domain of a line. 0, or -1 without memory. */
static int
keep_domain(struct import *import, const struct account *account)
{
	if (import->count == import->room) {
		size_t room = import->room > 0 ? 2 * import->room : 16;
		struct import_domain *larger =
			reallocarray(import->given, room, sizeof *larger);

		if (larger == NULL)
			return -1;
		import->given = larger;
		import->room = room;
	}
	struct import_domain *new = &import->given[import->count++];
	*new = (struct import_domain){.uid = account->uid, .gid = account->gid};
	snprintf(new->name, sizeof new->name, "%s", account->name);
	return 0;
}

/* The domain of an account: from the lines before, the last of which holds, or
 * the database. 0 or -1. */
static int
find_domain(struct import *import, const char *domain)
{
	struct admin *admin = import->admin;

	if (strcmp(domain, import->domain) == 0)
		return 0;
	for (size_t i = import->count; i-- > 0;)
		if (strcmp(domain, import->given[i].name) == 0) {
			import->record.uid = import->given[i].uid;
			import->record.gid = import->given[i].gid;
			import->has_record = true;
			snprintf(import->domain, sizeof import->domain, "%s",
				domain);
			return 0;
		}
	enum account_result result = admin_find(&admin->home, domain,
		&import->record, admin->why, sizeof admin->why);
	if (result == ACCOUNT_TROUBLE)
		return -1;
	import->has_record = result == ACCOUNT_FOUND;
	snprintf(import->domain, sizeof import->domain, "%s", domain);
	return 0;
}

static int
take_secret(struct import *import, struct users_line *line)
{
	struct admin *admin = import->admin;

	if (line->password[0] != 0 &&
		secrets_make(line->password, false, &line->secret) < 0) {
		snprintf(admin->why, sizeof admin->why,
			"cannot hash the password: %s", strerror(errno));
		return -1;
	}
	if (line->password[0] == 0 && !line->has_secret)
		return 0;
	if (users_pack_secret(
		    &import->secrets, line->account.name, &line->secret) == 0)
		return 0;
	snprintf(admin->why, sizeof admin->why, "%s", strerror(errno));
	return -1;
}

static int
take_line(struct import *import, const char *text)
{
	struct admin *admin = import->admin;
	struct users_line line;
	int result =
		users_line_scan(text, &line, admin->why, sizeof admin->why);

	if (result <= 0)
		return result;
	struct account *account = &line.account;
	bool is_domain = account->kind == ACCOUNT_DOMAIN;
	if ((!is_domain &&
		    find_domain(import, strrchr(account->name, '@')) < 0) ||
		admin_complete(&admin->home,
			!is_domain && import->has_record ? &import->record
							 : NULL,
			account, admin->why, sizeof admin->why) < 0 ||
		users_pack_account(&import->accounts, account, admin->why,
			sizeof admin->why) < 0 ||
		take_secret(import, &line) < 0)
		result = -1;
	if (is_domain && result > 0 && keep_domain(import, account) < 0) {
		snprintf(admin->why, sizeof admin->why, "out of memory");
		result = -1;
	}
	if (is_domain && result > 0) {
		import->record = *account;
		import->has_record = true;
		snprintf(import->domain, sizeof import->domain, "%s",
			account->name);
	}
	explicit_bzero(&line, sizeof line);
	return result;
}

/* Reads all lines. 0, or the status after why. */
static int
take_lines(struct import *import)
{
	struct admin *admin = import->admin;
	char *text = NULL, reason[600];
	size_t room = 0, number = 0;
	int status = STATUS_DONE;
	ssize_t length;

	while (status == STATUS_DONE &&
		(length = getline(&text, &room, stdin)) > 0) {
		number++;
		if (text[length - 1] == '\n')
			text[--length] = 0;
		snprintf(admin->why, sizeof admin->why, "a NUL octet");
		if (strlen(text) == (size_t)length &&
			take_line(import, text) >= 0)
			continue;
		snprintf(reason, sizeof reason, "%.590s", admin->why);
		snprintf(admin->why, sizeof admin->why, "line %zu: %s", number,
			reason);
		status = STATUS_MISUSE;
	}
	if (status == STATUS_DONE && ferror(stdin)) {
		snprintf(admin->why, sizeof admin->why, "standard input: %s",
			strerror(errno));
		status = STATUS_TEMPORARY;
	}
	if (text != NULL)
		explicit_bzero(text, room);
	free(text);
	return status;
}

/*
 * Makes the folders of new domains: their owners, to whom mail/ does not belong,
 * could not make them when the first message comes. 0, or -1 with why.
 */
static int
make_folders(struct import *import)
{
	struct admin *admin = import->admin;
	char path[HOME_NAME_MAX], relative[300];
	struct account domain = {.kind = ACCOUNT_DOMAIN};
	struct stat st;

	for (size_t i = 0; i < import->count; i++) {
		const struct import_domain *given = &import->given[i];

		snprintf(relative, sizeof relative, "mail/%s", given->name + 1);
		if (lstat(home_path(&admin->home, relative, path), &st) == 0 &&
			(st.st_mode & 07777) != 0)
			continue;
		snprintf(domain.name, sizeof domain.name, "%s", given->name);
		domain.uid = given->uid;
		domain.gid = given->gid;
		if (admin_make_folder(&admin->home, &domain, admin->why,
			    sizeof admin->why) < 0)
			return -1;
	}
	return 0;
}

int
admin_user_import(struct admin *admin)
{
	struct import *import = calloc(1, sizeof *import);

	if (admin->count != 0 || import == NULL) {
		free(import);
		return ADMIN_USAGE;
	}
	import->admin = admin;
	if (users_open(&import->users, &admin->home, admin->why,
		    sizeof admin->why) < 0) {
		free(import);
		return STATUS_TEMPORARY;
	}
	int status = take_lines(import);
	/* who exists last, so that whoever does has a password */
	if (status == STATUS_DONE &&
		(make_folders(import) < 0 ||
			(import->secrets.count > 0 &&
				users_apply(&import->users, USERS_SECRETS,
					&import->secrets, admin->why,
					sizeof admin->why) < 0) ||
			users_apply(&import->users, USERS_ACCOUNTS,
				&import->accounts, admin->why,
				sizeof admin->why) < 0))
		status = STATUS_TEMPORARY;
	users_batch_free(&import->accounts);
	users_batch_free(&import->secrets);
	users_close(&import->users);
	free(import->given);
	free(import);
	return status;
}
