#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <skalibs/cdbmake.h>
#include "lib/cdbfile.h"
#include "tools/secrets.h"
#include "tools/users.h"

struct users_change {
	char *key;  /* owned */
	char *data; /* owned; NULL: the record goes */
	size_t length;
	size_t number; /* in the order in which they came */
};

static const char *const file_name[] = {
	[USERS_ACCOUNTS] = "accounts.cdb",
	[USERS_SECRETS] = "secrets.cdb",
};

int
users_batch_put(struct users_batch *batch, const char *key, const void *data,
	size_t length)
{
	if (batch->count == batch->room) {
		size_t room = batch->room > 0 ? 2 * batch->room : 16;
		struct users_change *larger =
			reallocarray(batch->change, room, sizeof *larger);

		if (larger == NULL)
			return -1;
		batch->change = larger;
		batch->room = room;
	}
	struct users_change *new = &batch->change[batch->count];
	*new = (struct users_change){.key = strdup(key),
		.data = data != NULL ? malloc(length + 1) : NULL,
		.length = length,
		.number = batch->count};
	if (new->key == NULL || (data != NULL && new->data == NULL)) {
		free(new->key);
		free(new->data);
		errno = ENOMEM;
		return -1;
	}
	if (data != NULL)
		memcpy(new->data, data, length);
	batch->count++;
	return 0;
}

void
users_batch_free(struct users_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct users_change *change = &batch->change[i];

		if (change->data != NULL)
			explicit_bzero(change->data, change->length);
		free(change->key);
		free(change->data);
	}
	free(batch->change);
	*batch = USERS_BATCH_ZERO;
}

static int
compare_keys(const void *a, const void *b)
{
	const struct users_change *one = a, *other = b;

	return strcmp(one->key, other->key);
}

static int
compare_all(const void *a, const void *b)
{
	const struct users_change *one = a, *other = b;
	int order = compare_keys(a, b);

	if (order != 0)
		return order;
	return one->number < other->number ? -1 : one->number > other->number;
}

static bool
is_changed(const struct users_batch *batch, const cdb_data *key)
{
	char text[512];
	struct users_change wanted = {.key = text};

	if (key->len >= sizeof text || memchr(key->s, 0, key->len) != NULL)
		return false;
	memcpy(text, key->s, key->len);
	text[key->len] = 0;
	return bsearch(&wanted, batch->change, batch->count,
		       sizeof *batch->change, compare_keys) != NULL;
}

/* Copies the records of the old database, the changed ones excepted. */
static int
copy_records(const struct users *users, const char *name,
	const struct users_batch *batch, cdbmaker *maker, bool *has_seed)
{
	char path[HOME_NAME_MAX], relative[64];
	struct cdbfile file;
	cdb_data key, data;
	int more;

	snprintf(relative, sizeof relative, "users/%s", name);
	if (cdbfile_open(&file, home_path(users->home, relative, path)) < 0)
		return errno == ENOENT ? 0 : -1;
	while ((more = cdbfile_next(&file, &key, &data)) > 0) {
		if (is_changed(batch, &key))
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

/* Adds the last of each key's changes. */
static int
add_changes(const struct users_batch *batch, cdbmaker *maker)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct users_change *change = &batch->change[i];

		if (change->data == NULL ||
			(i + 1 < batch->count &&
				compare_keys(change, change + 1) == 0))
			continue;
		if (!cdbmake_add(maker, change->key,
			    (unsigned)strlen(change->key), change->data,
			    (unsigned)change->length))
			return -1;
	}
	return 0;
}

static int
write_database(const struct users *users, enum users_database database,
	const struct users_batch *batch, int fd)
{
	cdbmaker maker = CDBMAKER_ZERO;
	bool has_seed = database != USERS_SECRETS;

	if (!cdbmake_start(&maker, fd))
		return -1;
	if (copy_records(users, file_name[database], batch, &maker, &has_seed) <
			0 ||
		(!has_seed && add_seed(&maker) < 0) ||
		add_changes(batch, &maker) < 0) {
		int saved = errno;
		genalloc_free(diuint32, &maker.hplist);
		errno = saved;
		return -1;
	}
	return cdbmake_finish(&maker) ? 0 : -1;
}

static int
find_owner(const struct home *home, enum users_database database,
	struct users_owner *owner, char *why, size_t size)
{
	if (database == USERS_ACCOUNTS)
		return users_public_owner(home, owner, why, size);
	*owner = (struct users_owner){.mode = 0600};
	if (home_user_id(home, "_keep-auth", &owner->uid) == 0)
		return 0;
	snprintf(why, size,
		"control/ids names no user _keep-auth: run make-users");
	return -1;
}

int
users_apply(const struct users *users, enum users_database database,
	struct users_batch *batch, char *why, size_t size)
{
	const char *name = file_name[database];
	struct users_owner owner;

	if (find_owner(users->home, database, &owner, why, size) < 0)
		return -1;
	int fd = users_create(users, name, why, size);
	if (fd < 0)
		return -1;
	if (batch->count > 0)
		qsort(batch->change, batch->count, sizeof *batch->change,
			compare_all);
	if (write_database(users, database, batch, fd) < 0) {
		snprintf(why, size, "%s/users/%s: %s", users->home->path, name,
			strerror(errno));
		users_drop(users, name, fd);
		return -1;
	}
	return users_publish(users, name, fd, &owner, why, size);
}
