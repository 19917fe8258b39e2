#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/address.h"
#include "tools/secrets.h"
#include "tools/users.h"

static const char *
database_path(const struct users *users, const char *database,
	char path[HOME_NAME_MAX])
{
	snprintf(path, HOME_NAME_MAX, "%s/users/%s", users->home->path,
		database);
	return path;
}

int
users_has(
	const struct users *users, const char *address, char *why, size_t size)
{
	char path[HOME_NAME_MAX];
	struct account account;

	switch (account_virtual(database_path(users, "accounts.cdb", path),
		address, &account)) {
	case ACCOUNT_FOUND:
		return 1;
	case ACCOUNT_NONE:
		return 0;
	case ACCOUNT_TROUBLE:
		break;
	}
	snprintf(why, size, "%s: %s", path, strerror(errno));
	return -1;
}

/* Whether the password is to be kept: 1, 0, or -1. */
static int
keeps_password(const struct users *users, const char *address,
	enum users_keeping keeping, char *why, size_t size)
{
	char path[HOME_NAME_MAX];
	struct secret old;

	if (keeping != USERS_KEEP_AS_IS)
		return keeping == USERS_KEEP_PASSWORD;
	if (secrets_find(database_path(users, "secrets.cdb", path), address,
		    &old) < 0) {
		snprintf(why, size, "%s: %s", path, strerror(errno));
		return -1;
	}
	bool was_kept = old.password[0] != 0;
	explicit_bzero(&old, sizeof old);
	return was_kept;
}

int
users_pack_secret(struct users_batch *batch, const char *address,
	const struct secret *secret)
{
	stralloc record = STRALLOC_ZERO;
	int result = -1;

	if (secrets_pack(secret, &record) == 0)
		result = users_batch_put(batch, address, record.s, record.len);
	int saved = errno;
	if (record.s != NULL)
		explicit_bzero(record.s, record.len);
	stralloc_free(&record);
	errno = saved;
	return result;
}

int
users_put_password(const struct users *users, const char *address,
	const char *password, enum users_keeping keeping, char *why,
	size_t size)
{
	struct users_batch batch = USERS_BATCH_ZERO;
	struct secret secret;
	int result = -1;

	int keeps = keeps_password(users, address, keeping, why, size);
	if (keeps < 0)
		return -1;
	if (secrets_make(password, keeps > 0, &secret) < 0 ||
		users_pack_secret(&batch, address, &secret) < 0)
		snprintf(why, size, "cannot hash the password: %s",
			strerror(errno));
	else
		result = users_apply(users, USERS_SECRETS, &batch, why, size);
	explicit_bzero(&secret, sizeof secret);
	users_batch_free(&batch);
	return result;
}

int
users_pack_account(struct users_batch *batch, const struct account *account,
	char *why, size_t size)
{
	unsigned char data[ACCOUNT_RECORD_MAX];
	size_t length;

	if (account_pack(account, data, sizeof data, &length) < 0) {
		snprintf(why, size,
			"%s cannot be an account: uid %u, gid %u, home %s, "
			"mail %s",
			account->name, (unsigned)account->uid,
			(unsigned)account->gid, account->home,
			account->maildir);
		return -1;
	}
	if (users_batch_put(batch, account->name, data, length) == 0)
		return 0;
	snprintf(why, size, "%s", strerror(errno));
	return -1;
}

int
users_put_account(const struct users *users, const struct account *account,
	char *why, size_t size)
{
	struct users_batch batch = USERS_BATCH_ZERO;
	int result = users_pack_account(&batch, account, why, size);

	if (result == 0)
		result = users_apply(users, USERS_ACCOUNTS, &batch, why, size);
	users_batch_free(&batch);
	return result;
}

int
users_read_password(
	int fd, char password[USERS_PASSWORD_MAX + 1], char *why, size_t size)
{
	size_t length = 0;
	char *end = NULL;

	while (end == NULL && length <= USERS_PASSWORD_MAX) {
		ssize_t got = read(
			fd, password + length, USERS_PASSWORD_MAX + 1 - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			snprintf(why, size, "standard input: %s",
				strerror(errno));
			return -1;
		}
		if (got == 0)
			break;
		end = memchr(password + length, '\n', (size_t)got);
		length += (size_t)got;
	}
	if (end != NULL)
		length = (size_t)(end - password);
	if (length > USERS_PASSWORD_MAX)
		snprintf(why, size, "a password has at most %d octets",
			USERS_PASSWORD_MAX);
	else if (memchr(password, 0, length) != NULL)
		snprintf(why, size, "a password cannot hold a NUL");
	else if (length == 0)
		snprintf(why, size,
			"the password is the first line of standard input, and "
			"not empty");
	else {
		password[length] = 0;
		return 0;
	}
	return -1;
}

static char
lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

int
users_read_name(
	const char *text, struct users_name *name, char *why, size_t size)
{
	struct path path;

	if (address_mailbox_scan(text, strlen(text), 0, &path) < 0 ||
		path.kind != PATH_MAILBOX) {
		snprintf(why, size, "\"%.100s\" is not an address", text);
		return -1;
	}
	if (!domain_valid(path.domain, path.domain_len)) {
		snprintf(why, size,
			"\"%.100s\": an account needs a domain, not a literal",
			path.domain);
		return -1;
	}
	if (path.local_len == 0 || path.local[0] == '.' ||
		memchr(path.local, '/', path.local_len) != NULL) {
		snprintf(why, size,
			"\"%.100s\": the part before the \"@\" names a folder: "
			"it cannot be empty, begin with \".\" or hold \"/\"",
			path.local);
		return -1;
	}
	for (size_t i = 0; i < path.local_len; i++)
		path.local[i] = lower(path.local[i]);
	if (address_write(name->address, sizeof name->address, &path) >=
		sizeof name->address) {
		snprintf(why, size, "an address has at most %zu octets",
			sizeof name->address - 1);
		return -1;
	}
	snprintf(name->local, sizeof name->local, "%.*s",
		(int)(sizeof name->local - 1), path.local);
	snprintf(name->domain, sizeof name->domain, "%s", path.domain);
	return 0;
}
