#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/outcome.h"
#include "lib/settings.h"
#include "tools/maildir_make.h"
#include "tools/users_admin.h"
#include "tools/users_line.h"

/* --- domains --- */

struct domain_settings {
	char *me;
};

static const struct setting settings[] = {
	{.name = "me",
		.kind = SETTING_HOST,
		.offset = offsetof(struct domain_settings, me),
		.meaning = "this host's name, whose postmaster gets mail"},
};

int
admin_make_folder(const struct home *home, const struct account *domain,
	char *why, size_t size)
{
	char mail[HOME_NAME_MAX];
	int parent = open(home_path(home, "mail", mail),
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int folder =
		parent < 0
			? -1
			: maildir_make_folder(parent, domain->name + 1, 0700,
				  home->is_private ? geteuid() : domain->uid,
				  home->is_private ? (gid_t)-1 : domain->gid);

	if (folder < 0)
		snprintf(why, size, "%s/%s: %s", mail, domain->name + 1,
			strerror(errno));
	if (folder >= 0)
		close(folder);
	if (parent >= 0)
		close(parent);
	return folder < 0 ? -1 : 0;
}

/* RFC 5321 section 4.5.1: a domain has a postmaster. */
static int
add_postmaster(const struct home *home, const struct account *domain,
	struct users_batch *batch, char *why, size_t size)
{
	struct domain_settings values = {NULL};
	struct account alias = {.kind = ACCOUNT_ALIAS};
	char control[HOME_NAME_MAX], to[300];

	if (settings_read(settings, SETTINGS_COUNT(settings),
		    home_path(home, "control", control), &values, why,
		    size) < 0)
		return -1;
	snprintf(to, sizeof to, "postmaster@%s", values.me);
	settings_free(settings, SETTINGS_COUNT(settings), &values);
	int length = snprintf(
		alias.name, sizeof alias.name, "postmaster%s", domain->name);
	if (length < 0 || (size_t)length >= sizeof alias.name)
		return 0;
	if (strcmp(alias.name, to) == 0)
		return 0;
	return users_add_target(&alias, to, why, size) < 0 ||
			       admin_complete(home, domain, &alias, why, size) <
				       0
		       ? -1
		       : users_pack_account(batch, &alias, why, size);
}

static int
set_owner(const char *user, struct account *domain, char *why, size_t size)
{
	const struct passwd *entry = user != NULL ? getpwnam(user) : NULL;

	if (user == NULL)
		return 0;
	if (entry == NULL || entry->pw_uid == 0 || entry->pw_gid == 0) {
		snprintf(why, size, "%s is not a user who may have mail", user);
		return -1;
	}
	domain->uid = entry->pw_uid;
	domain->gid = entry->pw_gid;
	return 0;
}

static int
add_domain(struct admin *admin, struct account *domain, struct users *users)
{
	struct users_batch batch = USERS_BATCH_ZERO;
	struct account old;
	int status = STATUS_TEMPORARY;

	switch (admin_find(&admin->home, domain->name, &old, admin->why,
		sizeof admin->why)) {
	case ACCOUNT_FOUND:
		snprintf(admin->why, sizeof admin->why, "%s exists",
			domain->name + 1);
		return STATUS_MISUSE;
	case ACCOUNT_TROUBLE:
		return STATUS_TEMPORARY;
	case ACCOUNT_NONE:
		break;
	}
	char postmaster[300];
	snprintf(postmaster, sizeof postmaster, "postmaster%s", domain->name);
	int has = users_has(users, postmaster, admin->why, sizeof admin->why);
	if (has >= 0 &&
		admin_make_folder(&admin->home, domain, admin->why,
			sizeof admin->why) == 0 &&
		users_pack_account(
			&batch, domain, admin->why, sizeof admin->why) == 0 &&
		(has > 0 || add_postmaster(&admin->home, domain, &batch,
				    admin->why, sizeof admin->why) == 0) &&
		users_apply(users, USERS_ACCOUNTS, &batch, admin->why,
			sizeof admin->why) == 0)
		status = STATUS_DONE;
	users_batch_free(&batch);
	return status;
}

int
admin_domain_add(struct admin *admin)
{
	struct users_line line;
	struct users users;
	const char *owner = NULL;
	char text[400];

	if (admin->count == 3 && strcmp(admin->argument[0], "--owner") == 0)
		owner = admin->argument[1];
	else if (admin->count != 1)
		return ADMIN_USAGE;
	snprintf(text, sizeof text, "domain\t%.300s",
		admin->argument[admin->count - 1]);
	if (users_line_scan(text, &line, admin->why, sizeof admin->why) < 0 ||
		set_owner(owner, &line.account, admin->why, sizeof admin->why) <
			0)
		return STATUS_MISUSE;
	if (admin_complete(&admin->home, NULL, &line.account, admin->why,
		    sizeof admin->why) < 0 ||
		users_open(&users, &admin->home, admin->why,
			sizeof admin->why) < 0)
		return STATUS_TEMPORARY;
	int status = add_domain(admin, &line.account, &users);
	users_close(&users);
	return status;
}

/* Takes out what a tool was told to: keys for which it is so, from both. */
static int
remove_keys(struct admin *admin, const struct users *users,
	struct users_batch *batch)
{
	/* who exists first: without that, a password is worth nothing */
	if (users_apply(users, USERS_ACCOUNTS, batch, admin->why,
		    sizeof admin->why) < 0 ||
		users_apply(users, USERS_SECRETS, batch, admin->why,
			sizeof admin->why) < 0)
		return STATUS_TEMPORARY;
	return STATUS_DONE;
}

static int
remove_domain(struct admin *admin, const struct users *users,
	const char *domain, bool with_all)
{
	struct users_batch batch = USERS_BATCH_ZERO;
	int status = STATUS_DONE;
	unsigned accounts = 0;
	bool is_there = false;
	char postmaster[300];

	char **key = admin_keys(&admin->home, admin->why, sizeof admin->why);
	if (key == NULL)
		return STATUS_TEMPORARY;
	snprintf(postmaster, sizeof postmaster, "postmaster%s", domain);
	for (char **at = key; *at != NULL && status == STATUS_DONE; at++) {
		const char *its = strrchr(*at, '@');

		if (its == NULL || strcmp(its, domain) != 0)
			continue;
		if (its == *at)
			is_there = true;
		else if (strcmp(*at, postmaster) != 0)
			accounts++;
		if (users_batch_put(&batch, *at, NULL, 0) < 0) {
			snprintf(
				admin->why, sizeof admin->why, "out of memory");
			status = STATUS_TEMPORARY;
		}
	}
	admin_free_keys(key);
	if (status == STATUS_DONE && !is_there) {
		snprintf(admin->why, sizeof admin->why,
			"%.255s is not a domain of the user database",
			domain + 1);
		status = STATUS_MISUSE;
	} else if (status == STATUS_DONE && accounts > 0 && !with_all) {
		snprintf(admin->why, sizeof admin->why,
			"%.255s has %u accounts and aliases; --all removes "
			"them, "
			"too",
			domain + 1, accounts);
		status = STATUS_MISUSE;
	}
	if (status == STATUS_DONE)
		status = remove_keys(admin, users, &batch);
	users_batch_free(&batch);
	return status;
}

int
admin_domain_del(struct admin *admin)
{
	struct users_line line;
	struct users users;
	char text[400];
	bool with_all =
		admin->count == 2 && strcmp(admin->argument[0], "--all") == 0;

	if (admin->count != 1 + with_all)
		return ADMIN_USAGE;
	snprintf(text, sizeof text, "domain\t%.300s",
		admin->argument[admin->count - 1]);
	if (users_line_scan(text, &line, admin->why, sizeof admin->why) < 0)
		return STATUS_MISUSE;
	if (users_open(&users, &admin->home, admin->why, sizeof admin->why) < 0)
		return STATUS_TEMPORARY;
	int status = remove_domain(admin, &users, line.account.name, with_all);
	users_close(&users);
	return status;
}

/* --- aliases and users --- */

int
admin_alias_add(struct admin *admin)
{
	struct account alias = {.kind = ACCOUNT_ALIAS}, domain;
	struct users_name name;
	struct users users;
	char key[300];
	int status = STATUS_TEMPORARY;

	if (admin->count < 2)
		return ADMIN_USAGE;
	if (users_read_name(admin->argument[0], &name, admin->why,
		    sizeof admin->why) < 0)
		return STATUS_MISUSE;
	snprintf(alias.name, sizeof alias.name, "%s", name.address);
	for (int i = 1; i < admin->count; i++)
		if (users_add_target(&alias, admin->argument[i], admin->why,
			    sizeof admin->why) < 0)
			return STATUS_MISUSE;
	if (users_open(&users, &admin->home, admin->why, sizeof admin->why) < 0)
		return STATUS_TEMPORARY;
	snprintf(key, sizeof key, "@%s", name.domain);
	enum account_result has = admin_find(
		&admin->home, key, &domain, admin->why, sizeof admin->why);
	int is_there =
		users_has(&users, alias.name, admin->why, sizeof admin->why);
	if (is_there > 0) {
		snprintf(
			admin->why, sizeof admin->why, "%s exists", alias.name);
		status = STATUS_MISUSE;
	} else if (is_there == 0 && has != ACCOUNT_TROUBLE &&
		   admin_complete(&admin->home,
			   has == ACCOUNT_FOUND ? &domain : NULL, &alias,
			   admin->why, sizeof admin->why) == 0 &&
		   users_put_account(&users, &alias, admin->why,
			   sizeof admin->why) == 0) {
		status = STATUS_DONE;
	}
	users_close(&users);
	return status;
}

int
admin_user_del(struct admin *admin)
{
	struct users_batch batch = USERS_BATCH_ZERO;
	struct users_name name;
	struct users users;
	int status = STATUS_TEMPORARY;

	if (admin->count != 1)
		return ADMIN_USAGE;
	if (users_read_name(admin->argument[0], &name, admin->why,
		    sizeof admin->why) < 0)
		return STATUS_MISUSE;
	if (users_open(&users, &admin->home, admin->why, sizeof admin->why) < 0)
		return STATUS_TEMPORARY;
	int has =
		users_has(&users, name.address, admin->why, sizeof admin->why);
	if (has == 0) {
		snprintf(admin->why, sizeof admin->why, "%s is not an account",
			name.address);
		status = STATUS_MISUSE;
	} else if (has > 0 &&
		   users_batch_put(&batch, name.address, NULL, 0) == 0) {
		status = remove_keys(admin, &users, &batch);
	}
	users_batch_free(&batch);
	users_close(&users);
	return status;
}

/* One option of user-set with its value. Whether it is one, and well. */
static int
take_setting(struct account *account, const char *option, const char *value,
	bool *is_new_list, char *why, size_t size)
{
	uint64_t number;

	if (account->kind == ACCOUNT_ALIAS &&
		(strcmp(option, "--quota") == 0 ||
			strcmp(option, "--messages") == 0 ||
			strcmp(option, "--copy") == 0 ||
			strcmp(option, "--login") == 0)) {
		snprintf(why, size, "%.255s is an alias: it has no %s",
			account->name, option + 2);
		return STATUS_MISUSE;
	}
	if (strcmp(option, "--quota") == 0) {
		if (users_scan_size(value, &account->quota_octets) == 0)
			return 0;
	} else if (strcmp(option, "--messages") == 0) {
		if (users_scan_size(value, &number) == 0 &&
			number <= UINT32_MAX) {
			account->quota_messages = (uint32_t)number;
			return 0;
		}
	} else if (strcmp(option, "--forward") == 0) {
		/* the first of them takes the old list's place */
		if (*is_new_list)
			account->targets[0] = 0;
		*is_new_list = false;
		if (*value == 0 && account->kind == ACCOUNT_MAILBOX)
			return 0;
		return users_add_target(account, value, why, size);
	} else if (strcmp(option, "--copy") == 0 ||
		   strcmp(option, "--login") == 0) {
		unsigned flag = strcmp(option, "--copy") == 0
					? ACCOUNT_KEEPS_COPY
					: ACCOUNT_NO_LOGIN;
		bool is_on = strcmp(value, "yes") == 0;

		if (is_on || strcmp(value, "no") == 0) {
			/* the flag says that there is no login */
			if (is_on == (flag == ACCOUNT_KEEPS_COPY))
				account->flags |= flag;
			else
				account->flags &= ~flag;
			return 0;
		}
	} else {
		return ADMIN_USAGE;
	}
	snprintf(why, size, "%s: \"%.60s\" is not a value for it", option,
		value);
	return STATUS_MISUSE;
}

static int
change_user(struct admin *admin, struct users *users, const char *address)
{
	struct account account;
	bool is_new_list = true;

	enum account_result found = admin_find(
		&admin->home, address, &account, admin->why, sizeof admin->why);
	if (found == ACCOUNT_TROUBLE)
		return STATUS_TEMPORARY;
	if (found == ACCOUNT_NONE) {
		snprintf(admin->why, sizeof admin->why, "%s is not an account",
			address);
		return STATUS_MISUSE;
	}
	for (int i = 0; i + 2 < admin->count; i += 2) {
		int result = take_setting(&account, admin->argument[i],
			admin->argument[i + 1], &is_new_list, admin->why,
			sizeof admin->why);

		if (result != 0)
			return result == ADMIN_USAGE ? ADMIN_USAGE
						     : STATUS_MISUSE;
	}
	return users_put_account(
		       users, &account, admin->why, sizeof admin->why) == 0
		       ? STATUS_DONE
		       : STATUS_TEMPORARY;
}

int
admin_user_set(struct admin *admin)
{
	struct users_name name;
	struct users users;

	if (admin->count < 3 || admin->count % 2 == 0)
		return ADMIN_USAGE;
	if (users_read_name(admin->argument[admin->count - 1], &name,
		    admin->why, sizeof admin->why) < 0)
		return STATUS_MISUSE;
	if (users_open(&users, &admin->home, admin->why, sizeof admin->why) < 0)
		return STATUS_TEMPORARY;
	int status = change_user(admin, &users, name.address);
	users_close(&users);
	return status;
}
