#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "local/local.h"

static bool
is_known(const struct local *local, const char *dest, const char *name)
{
	for (const struct work *work = local->first; work; work = work->next)
		if (strcmp(work->name, name) == 0 &&
			strcmp(work->dest, dest) == 0)
			return true;
	return false;
}

static void
drop(struct local *local, struct work *work)
{
	struct work **link = &local->first;

	while (*link != work)
		link = &(*link)->next;
	*link = work->next;
	if (local->last == &work->next)
		local->last = link;
	local->jobs--;
	work_free(work);
}

void
local_take_job(
	struct local *local, const char *dest, const char *name, bool is_found)
{
	if (strlen(name) >= sizeof local->first->name ||
		is_known(local, dest, name))
		return;
	if (local->jobs == JOBS_MAX) {
		local->has_backlog = true;
		return;
	}
	struct work *work = work_open(local->queue, dest, name, is_found);
	if (work == NULL)
		return;
	*local->last = work;
	local->last = &work->next;
	local->jobs++;
}

void
local_finish(struct local *local, struct work *work)
{
	char line[WAKEUP_LINE_MAX + 1];

	if (job_finish(work->fd, &work->job) < 0) {
		log_line("cannot record the results of job %s: %s", work->name,
			strerror(errno));
		work->finish_ms = deadline_after_ms(1000);
		return;
	}
	snprintf(line, sizeof line, "local/%s/%s", work->dest, work->name);
	wakeup_ring(&local->runner, local->queue, line);
	drop(local, work);
}

/* Every job in one destination's folder. */
static void
sweep_folder(struct local *local, const char *dest)
{
	char path[LAYOUT_PATH_MAX];
	struct dirent *entry;

	layout_job_folder(CHANNEL_LOCAL, dest, path);
	int fd = openat(local->queue, path,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	if (folder == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(folder)) != NULL && !local->has_backlog)
		if (entry->d_name[0] != '.')
			local_take_job(local, dest, entry->d_name, true);
	closedir(folder);
}

void
local_sweep(struct local *local)
{
	struct dirent *entry;

	local->has_backlog = false;
	int fd = openat(local->queue, QUEUE_JOBS_LOCAL,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	if (folder == NULL) {
		log_line("cannot read queue/" QUEUE_JOBS_LOCAL ": %s",
			strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(folder)) != NULL)
		if (layout_dest_is_valid(entry->d_name, strlen(entry->d_name)))
			sweep_folder(local, entry->d_name);
	closedir(folder);
}
