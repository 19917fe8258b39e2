#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "queue/runner.h"

/*
 * A walk over every folder in deferred/ and waiting/, some at a time: the last
 * resort for a message whose place nobody knows.
 */

static DIR *
open_folder(const struct runner *runner, const char *path)
{
	int fd = openat(runner->queue, path,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);

	if (folder == NULL && fd >= 0)
		close(fd);
	return folder;
}

static void
shut(DIR **folder)
{
	if (*folder != NULL)
		closedir(*folder);
	*folder = NULL;
}

void
search_end(struct search *search)
{
	shut(&search->outer);
	shut(&search->inner);
	search->phase = SEARCH_IDLE;
}

void
search_begin(struct runner *runner, struct search *search)
{
	search_end(search);
	search->phase = SEARCH_DEFERRED;
	search->outer = open_folder(runner, QUEUE_DEFERRED);
}

/* The next bucket of deferred/. */
static bool
next_bucket(struct runner *runner, struct search *search, char *path)
{
	struct dirent *entry;
	uint64_t minute;

	while (search->outer && (entry = readdir(search->outer)) != NULL)
		if (layout_minute_scan(entry->d_name, &minute) == 0) {
			layout_bucket(minute, path);
			return true;
		}
	shut(&search->outer);
	search->phase = SEARCH_WAITING;
	search->outer = open_folder(runner, QUEUE_WAITING);
	return false;
}

/* The next waiting/KEY/PART: "" if this step only came to another KEY. */
static bool
next_part(struct runner *runner, struct search *search, char *path)
{
	struct dirent *entry;

	path[0] = 0;
	while (search->inner && (entry = readdir(search->inner)) != NULL)
		if (layout_part_is_valid(entry->d_name)) {
			layout_waiting_part(search->key, entry->d_name, path);
			return true;
		}
	shut(&search->inner);
	while (search->outer && (entry = readdir(search->outer)) != NULL)
		if (layout_dest_is_valid(
			    entry->d_name, strlen(entry->d_name))) {
			memcpy(search->key, entry->d_name, sizeof search->key);
			layout_waiting_folder(search->key, path);
			search->inner = open_folder(runner, path);
			path[0] = 0;
			return true;
		}
	return false;
}

bool
search_next(struct runner *runner, struct search *search,
	char path[LAYOUT_PATH_MAX])
{
	if (search->phase == SEARCH_DEFERRED &&
		next_bucket(runner, search, path))
		return true;
	if (search->phase == SEARCH_WAITING && next_part(runner, search, path))
		return true;
	search_end(search);
	return false;
}
