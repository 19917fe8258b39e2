#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <skalibs/cdbmake.h>
#include "lib/address.h"
#include "lib/cdbfile.h"
#include "lib/deadline.h"
#include "lib/durable.h"
#include "tools/secrets.h"
#include "tools/users.h"

#define LOCK_WAIT_MS 30000
#define LOCK_PAUSE_MS 20

/* A record that takes the place of the one with the same key, and the file it is
 * for. */
struct change {
	const char *database; /* "accounts.cdb" */
	const char *key;
	const char *data;
	size_t length;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	bool needs_seed; /* SECRETS_SEED is added if it is not there */
};

static int
wait_for_lock(int fd)
{
	int64_t deadline_ms = deadline_after_ms(LOCK_WAIT_MS);

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -1;
		if (deadline_left_ms(deadline_ms) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		poll(NULL, 0, LOCK_PAUSE_MS);
	}
	return 0;
}

int
users_open(struct users *users, const struct home *home, char *why, size_t size)
{
	char path[HOME_NAME_MAX];

	users->home = home;
	users->lock = -1;
	home_path(home, "users", path);
	users->folder =
		open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (users->folder < 0) {
		snprintf(why, size, "%s: %s", path, strerror(errno));
		return -1;
	}
	users->lock = openat(users->folder, ".lock",
		O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (users->lock >= 0 && wait_for_lock(users->lock) == 0)
		return 0;
	snprintf(why, size, "%s/.lock: %s", path, strerror(errno));
	users_close(users);
	return -1;
}

void
users_close(struct users *users)
{
	if (users->lock >= 0)
		close(users->lock);
	if (users->folder >= 0)
		close(users->folder);
	users->lock = users->folder = -1;
}

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

/* Copies the records of the old database, the changed one excepted. */
static int
copy_records(const struct users *users, const struct change *change,
	cdbmaker *maker, bool *has_seed)
{
	char path[HOME_NAME_MAX];
	struct cdbfile file;
	cdb_data key, data;
	int more;

	database_path(users, change->database, path);
	if (cdbfile_open(&file, path) < 0)
		return errno == ENOENT ? 0 : -1;
	while ((more = cdbfile_next(&file, &key, &data)) > 0) {
		if (key.len == strlen(change->key) &&
			memcmp(key.s, change->key, key.len) == 0)
			continue;
		if (key.len == strlen(SECRETS_SEED) &&
			memcmp(key.s, SECRETS_SEED, key.len) == 0)
			*has_seed = true;
		if (!cdbmake_add(maker, key.s, key.len, data.s, data.len)) {
			more = -1;
			break;
		}
	}
	int saved = errno;
	cdbfile_close(&file);
	errno = saved;
	return more;
}

static int
add_seed(cdbmaker *maker)
{
	char seed[DIGEST_SHA256];

	if (getrandom(seed, sizeof seed, 0) != sizeof seed)
		return -1;
	return cdbmake_add(maker, SECRETS_SEED, strlen(SECRETS_SEED), seed,
		       sizeof seed)
		       ? 0
		       : -1;
}

static int
write_database(const struct users *users, const struct change *change, int fd)
{
	cdbmaker maker = CDBMAKER_ZERO;
	bool has_seed = !change->needs_seed;

	if (!cdbmake_start(&maker, fd))
		return -1;
	if (copy_records(users, change, &maker, &has_seed) < 0 ||
		(!has_seed && add_seed(&maker) < 0) ||
		!cdbmake_add(&maker, change->key, (unsigned)strlen(change->key),
			change->data, (unsigned)change->length)) {
		int saved = errno;
		genalloc_free(diuint32, &maker.hplist);
		errno = saved;
		return -1;
	}
	return cdbmake_finish(&maker) ? 0 : -1;
}

static int
apply(const struct users *users, const struct change *change, char *why,
	size_t size)
{
	char temporary[64];

	snprintf(temporary, sizeof temporary, ".%s.new", change->database);
	/* We hold the lock: one that stands there is a dead tool's. */
	(void)unlinkat(users->folder, temporary, 0);
	int fd = durable_create(users->folder, temporary, 0600);
	if (fd < 0)
		goto failed;
	/* sync before rename: a name never points at content that may vanish */
	if (write_database(users, change, fd) < 0 ||
		(!users->home->is_private &&
			fchown(fd, change->uid, change->gid) < 0) ||
		fchmod(fd, change->mode) < 0 || durable_sync_file(fd) < 0 ||
		renameat(users->folder, temporary, users->folder,
			change->database) < 0)
		goto failed;
	close(fd);
	fd = -1;
	if (durable_sync_folder(users->folder) == 0)
		return 0;

failed:
	snprintf(why, size, "%s/users/%s: %s", users->home->path,
		change->database, strerror(errno));
	if (fd >= 0) {
		close(fd);
		(void)unlinkat(users->folder, temporary, 0);
	}
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
users_put_password(const struct users *users, const char *address,
	const char *password, enum users_keeping keeping, char *why,
	size_t size)
{
	struct change change = {.database = "secrets.cdb",
		.key = address,
		.mode = 0600,
		.needs_seed = true};
	stralloc record = STRALLOC_ZERO;
	struct secret secret;
	int result = -1;

	if (home_user_id(users->home, "_keep-auth", &change.uid) < 0) {
		snprintf(why, size,
			"control/ids names no user _keep-auth: run make-users");
		return -1;
	}
	int keeps = keeps_password(users, address, keeping, why, size);
	if (keeps < 0)
		return -1;
	if (secrets_make(password, keeps > 0, &secret) < 0 ||
		secrets_pack(&secret, &record) < 0) {
		snprintf(why, size, "cannot hash the password: %s",
			strerror(errno));
	} else {
		change.data = record.s;
		change.length = record.len;
		result = apply(users, &change, why, size);
	}
	explicit_bzero(&secret, sizeof secret);
	if (record.s != NULL)
		explicit_bzero(record.s, record.len);
	stralloc_free(&record);
	return result;
}

int
users_put_account(const struct users *users, const struct account *account,
	char *why, size_t size)
{
	unsigned char data[2 * ACCOUNT_HOME_MAX + 32];
	struct change change = {.database = "accounts.cdb",
		.key = account->name,
		.data = (char *)data,
		.mode = 0640};

	if (home_group_id(users->home, "keep-users", &change.gid) < 0) {
		snprintf(why, size,
			"control/ids names no group keep-users: run "
			"make-users");
		return -1;
	}
	if (account_pack(account, data, sizeof data, &change.length) < 0) {
		snprintf(why, size,
			"%s cannot be an account: uid %u, gid %u, home %s, "
			"mail %s",
			account->name, (unsigned)account->uid,
			(unsigned)account->gid, account->home,
			account->maildir);
		return -1;
	}
	return apply(users, &change, why, size);
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
