#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/durable.h"
#include "tools/users.h"

#define LOCK_WAIT_MS 30000
#define LOCK_PAUSE_MS 20
/* The largest text that is compiled, in octets. */
#define SOURCE_MAX (256 * 1024 * 1024)

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

/* --- files --- */

static const char *
temporary_name(const char *name, char temporary[64])
{
	snprintf(temporary, 64, ".%s.new", name);
	return temporary;
}

static void
say(const struct users *users, const char *name, char *why, size_t size)
{
	snprintf(why, size, "%s/users/%s: %s", users->home->path, name,
		strerror(errno));
}

int
users_create(
	const struct users *users, const char *name, char *why, size_t size)
{
	char temporary[64];

	temporary_name(name, temporary);
	/* We hold the lock: one that stands there is a dead tool's. */
	(void)unlinkat(users->folder, temporary, 0);
	int fd = durable_create(users->folder, temporary, 0600);
	if (fd < 0)
		say(users, name, why, size);
	return fd;
}

void
users_drop(const struct users *users, const char *name, int fd)
{
	char temporary[64];

	close(fd);
	(void)unlinkat(users->folder, temporary_name(name, temporary), 0);
}

int
users_publish(const struct users *users, const char *name, int fd,
	const struct users_owner *owner, char *why, size_t size)
{
	char temporary[64];

	/* sync before rename: a name never points at content that may vanish */
	if ((!users->home->is_private &&
		    fchown(fd, owner->uid, owner->gid) < 0) ||
		fchmod(fd, owner->mode) < 0 || durable_sync_file(fd) < 0 ||
		renameat(users->folder, temporary_name(name, temporary),
			users->folder, name) < 0) {
		say(users, name, why, size);
		users_drop(users, name, fd);
		return -1;
	}
	close(fd);
	if (durable_sync_folder(users->folder) == 0)
		return 0;
	say(users, name, why, size);
	return -1;
}

int
users_public_owner(const struct home *home, struct users_owner *owner,
	char *why, size_t size)
{
	*owner = (struct users_owner){.mode = 0640};
	if (home_group_id(home, "keep-users", &owner->gid) == 0)
		return 0;
	snprintf(why, size,
		"control/ids names no group keep-users: run make-users");
	return -1;
}

/* --- compiling --- */

/* The whole file, or NULL with why. */
static char *
read_source(const char *path, size_t *length, char *why, size_t size)
{
	struct stat st;
	char *text = NULL;
	size_t have = 0;

	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		goto failed;
	errno = EFBIG;
	if (!S_ISREG(st.st_mode) || st.st_size > SOURCE_MAX)
		goto failed;
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL)
		goto failed;
	while (have < (size_t)st.st_size) {
		ssize_t got = read(fd, text + have, (size_t)st.st_size - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			goto failed;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	close(fd);
	*length = have;
	return text;
failed:
	snprintf(why, size, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(text);
	return NULL;
}

static long
compile_into(const struct users *users, const char *name, const char *text,
	size_t length,
	long (*compile)(const char *text, size_t length, int fd, char *why,
		size_t size),
	char *why, size_t size)
{
	struct users_owner owner;

	if (users_public_owner(users->home, &owner, why, size) < 0)
		return -1;
	int fd = users_create(users, name, why, size);
	if (fd < 0)
		return -1;
	long entries = compile(text, length, fd, why, size);
	if (entries < 0) {
		users_drop(users, name, fd);
		return -1;
	}
	return users_publish(users, name, fd, &owner, why, size) < 0 ? -1
								     : entries;
}

long
users_compile(const struct home *home, const char *path, const char *name,
	long (*compile)(const char *text, size_t length, int fd, char *why,
		size_t size),
	char *why, size_t size)
{
	char reason[600] = "";
	struct users users;
	size_t length;
	long entries = -1;

	char *text = read_source(path, &length, why, size);
	if (text == NULL)
		return -1;
	if (users_open(&users, home, why, size) == 0) {
		entries = compile_into(&users, name, text, length, compile,
			reason, sizeof reason);
		users_close(&users);
		if (entries < 0)
			snprintf(why, size, "%s: %s", path, reason);
	}
	free(text);
	return entries;
}
