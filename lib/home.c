#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/home.h"

#define IDS_MAX 8192

static int
find_path(struct home *home, char *why, size_t size)
{
	const char *path = getenv("KEEPMAIL");

	if (path == NULL || *path == 0)
		path = KEEPMAIL_HOME;
	size_t length = strlen(path);
	while (length > 1 && path[length - 1] == '/')
		length--;
	if (path[0] != '/' || length > HOME_PATH_MAX) {
		snprintf(why, size,
			"KEEPMAIL must be an absolute path of at most %d "
			"octets",
			HOME_PATH_MAX);
		return -1;
	}
	memcpy(home->path, path, length);
	home->path[length] = 0;
	return 0;
}

/* Returns 1 in private mode, 0 if installed, -1 if neither can be. */
static int
find_mode(const struct home *home, char *why, size_t size)
{
	char path[HOME_NAME_MAX];
	struct stat st;

	if (lstat(home_path(home, "control/private", path), &st) < 0) {
		if (errno == ENOENT)
			return 0;
		snprintf(why, size, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (geteuid() == 0) {
		snprintf(why, size,
			"%s makes this a private instance, which does not run "
			"as root",
			path);
		return -1;
	}
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
		snprintf(why, size,
			"%s must be a file of the uid that runs keepmail (%u), "
			"not of %u",
			path, (unsigned)geteuid(), (unsigned)st.st_uid);
		return -1;
	}
	return 1;
}

/* Reads one line of control/ids. 0, or -1 if it is not one. */
static int
scan_identity(struct home *home, char *line)
{
	struct home_identity *entry = &home->identity[home->identities];
	char *rest, *end;
	char *kind = strtok_r(line, " \t", &rest);

	if (kind == NULL || *kind == '#')
		return 0;
	char *name = strtok_r(NULL, " \t", &rest);
	char *number = strtok_r(NULL, " \t", &rest);
	if (name == NULL || number == NULL ||
		strtok_r(NULL, " \t", &rest) != NULL ||
		strlen(name) >= sizeof entry->name ||
		home->identities == HOME_IDENTITIES_MAX ||
		(strcmp(kind, "user") != 0 && strcmp(kind, "group") != 0) ||
		*number < '0' || *number > '9')
		return -1;
	errno = 0;
	unsigned long id = strtoul(number, &end, 10);
	if (errno != 0 || *end != 0 || id == 0 || id >= 4294967295u)
		return -1;
	snprintf(entry->name, sizeof entry->name, "%s", name);
	entry->id = (unsigned)id;
	entry->is_group = kind[0] == 'g';
	home->identities++;
	return 0;
}

/* The text of control/ids, with a NUL after it. 0, or -1 with why. */
static int
read_ids(const char *path, char text[IDS_MAX + 1], char *why, size_t size)
{
	const char *trouble = NULL;
	struct stat st;
	size_t length = 0;
	ssize_t got;

	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0) {
		snprintf(why, size, "%s: %s; tools/make-users writes it", path,
			strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022) != 0) {
		trouble = "must be a file of root's that nobody else may write";
		goto done;
	}
	do {
		got = read(fd, text + length, IDS_MAX + 1 - length);
		if (got > 0)
			length += (size_t)got;
	} while ((got > 0 && length <= IDS_MAX) || (got < 0 && errno == EINTR));
	if (got < 0)
		trouble = strerror(errno);
	else if (length > IDS_MAX)
		trouble = "is too long";
	else if (memchr(text, 0, length) != NULL)
		trouble = "holds a NUL octet";
	else
		text[length] = 0;

done:
	close(fd);
	if (trouble == NULL)
		return 0;
	snprintf(why, size, "%s: %s", path, trouble);
	return -1;
}

static int
read_identities(struct home *home, char *why, size_t size)
{
	char path[HOME_NAME_MAX], text[IDS_MAX + 1];
	unsigned number = 0;

	home_path(home, "control/ids", path);
	if (read_ids(path, text, why, size) < 0)
		return -1;
	char *next = text;
	while (next != NULL && *next != 0) {
		char *line = strsep(&next, "\n");

		number++;
		if (scan_identity(home, line) < 0) {
			snprintf(why, size,
				"%s line %u: expected \"user NAME UID\" or "
				"\"group NAME GID\"",
				path, number);
			return -1;
		}
	}
	return 0;
}

int
home_open(struct home *home, char *why, size_t size)
{
	memset(home, 0, sizeof *home);
	if (find_path(home, why, size) < 0)
		return -1;
	int mode = find_mode(home, why, size);
	if (mode < 0)
		return -1;
	home->is_private = mode == 1;
	if (home->is_private)
		return 0;
	return read_identities(home, why, size);
}

const char *
home_path(
	const struct home *home, const char *relative, char path[HOME_NAME_MAX])
{
	snprintf(path, HOME_NAME_MAX, "%s/%s", home->path, relative);
	return path;
}

static int
identity(const struct home *home, const char *name, bool is_group, unsigned *id)
{
	for (unsigned i = 0; i < home->identities; i++) {
		const struct home_identity *entry = &home->identity[i];

		if (entry->is_group == is_group &&
			strcmp(entry->name, name) == 0) {
			*id = entry->id;
			return 0;
		}
	}
	return -1;
}

int
home_user_id(const struct home *home, const char *name, uid_t *uid)
{
	if (home->is_private) {
		*uid = geteuid();
		return 0;
	}
	return identity(home, name, false, uid);
}

int
home_group_id(const struct home *home, const char *name, gid_t *gid)
{
	if (home->is_private) {
		*gid = getegid();
		return 0;
	}
	return identity(home, name, true, gid);
}

bool
home_is_role_uid(const struct home *home, uid_t uid)
{
	for (unsigned i = 0; i < home->identities; i++) {
		const struct home_identity *entry = &home->identity[i];

		if (!entry->is_group && entry->id == uid &&
			strcmp(entry->name, "_keep-vmail") != 0 &&
			strcmp(entry->name, "_keep-alias") != 0)
			return true;
	}
	return false;
}

bool
home_is_user(const struct home *home, const char *name, uid_t uid)
{
	uid_t wanted;

	return home_user_id(home, name, &wanted) == 0 && wanted == uid;
}
