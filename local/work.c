#include "local/work.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/log.h"
#include "queue/job_check.h"

uint32_t
work_owner(const char *address)
{
	const char *domain = strrchr(address, '@');
	size_t local = strcspn(address, "-@");
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (const char *at = address; *at != 0; at++) {
		unsigned char octet = (unsigned char)*at;

		if (at >= address + local && (domain == NULL || at < domain))
			continue;
		if (octet >= 'A' && octet <= 'Z')
			octet = (unsigned char)(octet - 'A' + 'a');
		hash = (hash ^ octet) * 16777619u;
	}
	return hash;
}

/* Opens job and message. 0; or -1: it is no work for us (any more). */
static int
open_files(int queue, struct work *work, bool is_found)
{
	char path[LAYOUT_PATH_MAX], id[21];
	uint32_t number;

	if (layout_job_scan(work->name, id, &number) < 0)
		return -1;
	layout_job(CHANNEL_LOCAL, work->dest, id, number, path);
	work->fd = openat(queue, path,
		O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (work->fd < 0) {
		if (errno != ENOENT)
			log_line("cannot open %s: %s", path, strerror(errno));
		return -1;
	}
	switch (job_read(work->fd, &work->job)) {
	case JOB_OK:
		break;
	case JOB_BAD:
		log_line("%s is not a job", path);
		return -1;
	case JOB_NO_MEMORY:
		log_line("cannot read %s: %s", path, strerror(errno));
		return -1;
	}
	if (work->job.ended || strcmp(work->job.id, id) != 0)
		return -1;
	layout_message(QUEUE_ACTIVE, id, path);
	work->content = openat(
		queue, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (work->content < 0)
		log_line("cannot open %s: %s", path, strerror(errno));
	if (work->content < 0 ||
		(is_found && job_is_stale(&work->job, work->content)))
		return -1;
	return 0;
}

static int
note_recipients(struct work *work)
{
	uint32_t count = work->job.recipients;

	work->is_taken = calloc(count, sizeof *work->is_taken);
	work->owner = calloc(count, sizeof *work->owner);
	if (work->is_taken == NULL || work->owner == NULL)
		return -1;
	for (uint32_t i = 0; i < count; i++)
		work->owner[i] = work_owner(work->job.recipient[i].address);
	return 0;
}

struct work *
work_open(int queue, const char *dest, const char *name, bool is_found)
{
	struct work *work = calloc(1, sizeof *work);

	if (work == NULL)
		return NULL;
	work->fd = work->content = -1;
	snprintf(work->dest, sizeof work->dest, "%s", dest);
	snprintf(work->name, sizeof work->name, "%s", name);
	if (open_files(queue, work, is_found) == 0 &&
		note_recipients(work) == 0)
		return work;
	work_free(work);
	return NULL;
}

void
work_free(struct work *work)
{
	if (work == NULL)
		return;
	if (work->fd >= 0)
		close(work->fd);
	if (work->content >= 0)
		close(work->content);
	job_free(&work->job);
	free(work->is_taken);
	free(work->owner);
	free(work);
}
