#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "remote/remote.h"

static struct destination *
find_destination(const struct remote *remote, const char *dest)
{
	struct destination *destination = remote->first;

	while (destination && strcmp(destination->dest, dest) != 0)
		destination = destination->next;
	return destination;
}

static struct destination *
add_destination(struct remote *remote, const char *dest)
{
	struct destination *new = calloc(1, sizeof *new);

	if (new == NULL)
		return NULL;
	snprintf(new->dest, sizeof new->dest, "%s", dest);
	new->last = &new->first;
	*remote->last = new;
	remote->last = &new->next;
	return new;
}

void
remote_drop_destination(struct remote *remote, struct destination *destination)
{
	struct destination **link = &remote->first;

	while (*link != destination)
		link = &(*link)->next;
	*link = destination->next;
	if (remote->last == &destination->next)
		remote->last = link;
	free(destination);
}

void
remote_take_job(struct remote *remote, const char *dest, const char *name,
	bool is_found)
{
	struct destination *destination = find_destination(remote, dest);
	char id[21];
	uint32_t number;

	if (layout_job_scan(name, id, &number) < 0)
		return;
	if (destination != NULL)
		for (struct waiting *job = destination->first; job;
			job = job->next)
			if (strcmp(job->name, name) == 0)
				return;
	if (remote->jobs == JOBS_MAX) {
		remote->has_backlog = true;
		return;
	}
	struct waiting *new = calloc(1, sizeof *new);
	if (new != NULL && destination == NULL)
		destination = add_destination(remote, dest);
	if (destination == NULL || new == NULL) {
		free(new);
		return;
	}
	snprintf(new->name, sizeof new->name, "%s", name);
	new->since_ms = new->taken_ms = deadline_now_ms();
	new->is_found = is_found;
	*destination->last = new;
	destination->last = &new->next;
	remote->jobs++;
}

void
remote_drop_job(struct remote *remote, struct destination *destination,
	struct waiting *job)
{
	struct waiting **link = &destination->first;

	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
	if (destination->last == &job->next)
		destination->last = link;
	if (job->line != NULL)
		job->line->sent--;
	remote->jobs--;
	free(job);
}

static DIR *
open_folder(const struct remote *remote, const char *path)
{
	int fd = openat(remote->queue, path,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);

	if (folder == NULL && fd >= 0)
		close(fd);
	return folder;
}

void
remote_sweep(struct remote *remote)
{
	struct dirent *entry, *inner;
	char path[LAYOUT_PATH_MAX];

	remote->has_backlog = false;
	DIR *folder = open_folder(remote, QUEUE_JOBS_REMOTE);
	if (folder == NULL) {
		log_line("cannot read queue/" QUEUE_JOBS_REMOTE ": %s",
			strerror(errno));
		return;
	}
	while ((entry = readdir(folder)) != NULL) {
		if (!layout_dest_is_valid(entry->d_name, strlen(entry->d_name)))
			continue;
		layout_job_folder(CHANNEL_REMOTE, entry->d_name, path);
		DIR *jobs = open_folder(remote, path);
		while (jobs != NULL && (inner = readdir(jobs)) != NULL)
			if (inner->d_name[0] != '.')
				remote_take_job(remote, entry->d_name,
					inner->d_name, true);
		if (jobs != NULL)
			closedir(jobs);
	}
	closedir(folder);
}
