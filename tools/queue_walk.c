#include "tools/queue_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/home.h"
#include "lib/ident.h"

const char *const queue_walk_folder[] = {QUEUE_INCOMING, QUEUE_ACTIVE,
	QUEUE_DEFERRED, QUEUE_WAITING, QUEUE_HELD, QUEUE_DOUBTFUL, NULL};

struct walk {
	int queue_folder;
	void (*each)(void *context, const struct queue_entry *entry);
	void *context;
	const char *folder;
	char *bad;
};

static int
is_message(const struct dirent *entry)
{
	return ident_valid(entry->d_name, strlen(entry->d_name));
}

static int
is_bucket(const struct dirent *entry)
{
	uint64_t minute;

	return layout_minute_scan(entry->d_name, &minute) == 0;
}

static int
is_destination(const struct dirent *entry)
{
	return layout_dest_is_valid(entry->d_name, strlen(entry->d_name));
}

static int
is_part(const struct dirent *entry)
{
	return layout_part_is_valid(entry->d_name);
}

/* The message files of one folder. One that is gone meanwhile is no error. */
static int
walk_flat(const struct walk *walk, const char *folder)
{
	struct dirent **name;
	int names = scandirat(
		walk->queue_folder, folder, &name, is_message, alphasort);

	if (names < 0) {
		if (errno == ENOENT && strcmp(folder, walk->folder) != 0)
			return 0;
		snprintf(walk->bad, LAYOUT_PATH_MAX, "%s", folder);
		return -1;
	}
	/* Names are checked, and so shorter than what is cut here. */
	for (int i = 0; i < names; i++) {
		char path[LAYOUT_PATH_MAX];
		struct queue_entry entry = {walk->folder, path, NULL};

		snprintf(path, sizeof(path), "%.70s/%.40s", folder,
			name[i]->d_name);
		entry.id = name[i]->d_name;
		walk->each(walk->context, &entry);
		free(name[i]);
	}
	free(name);
	return 0;
}

/* The folders in a folder, of the names that `wanted` knows, and below them, if
 * given, of those that `inner` knows. */
static int
walk_deep(const struct walk *walk, const char *folder,
	int (*wanted)(const struct dirent *),
	int (*inner)(const struct dirent *))
{
	struct dirent **name;
	int names =
		scandirat(walk->queue_folder, folder, &name, wanted, alphasort);
	int result = 0;

	if (names < 0) {
		if (errno == ENOENT && strcmp(folder, walk->folder) != 0)
			return 0;
		snprintf(walk->bad, LAYOUT_PATH_MAX, "%s", folder);
		return -1;
	}
	for (int i = 0; i < names; i++) {
		char path[LAYOUT_PATH_MAX];

		snprintf(path, sizeof(path), "%.70s/%.40s", folder,
			name[i]->d_name);
		if (result == 0)
			result = inner == NULL
					 ? walk_flat(walk, path)
					 : walk_deep(walk, path, inner, NULL);
		free(name[i]);
	}
	free(name);
	return result;
}

int
queue_walk(int queue_folder,
	void (*each)(void *context, const struct queue_entry *entry),
	void *context, char bad[LAYOUT_PATH_MAX])
{
	struct walk walk = {queue_folder, each, context, NULL, bad};

	for (const char *const *folder = queue_walk_folder; *folder; folder++) {
		int result;

		walk.folder = *folder;
		if (strcmp(*folder, QUEUE_DEFERRED) == 0)
			result = walk_deep(&walk, *folder, is_bucket, NULL);
		else if (strcmp(*folder, QUEUE_WAITING) == 0)
			result = walk_deep(
				&walk, *folder, is_destination, is_part);
		else
			result = walk_flat(&walk, *folder);
		if (result < 0)
			return -1;
	}
	return 0;
}

int
queue_walk_open(const char *program)
{
	struct home home;
	char path[HOME_NAME_MAX], why[400];

	if (home_open(&home, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s: %s\n", program, why);
		errno = ENOENT;
		return -1;
	}
	home_path(&home, "queue", path);
	/* O_PATH: the group keep-read may go through the folder, not list it. */
	int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder >= 0 && faccessat(folder, QUEUE_ACTIVE, R_OK, 0) == 0)
		return folder;
	int saved = errno;
	fprintf(stderr,
		"%s: %s: %s; root and members of the group keep-read "
		"may look\n",
		program, path, strerror(errno));
	if (folder >= 0)
		close(folder);
	errno = saved;
	return -1;
}
