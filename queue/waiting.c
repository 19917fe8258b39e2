#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "queue/runner.h"

/*
 * Mail that waits for its one destination, or behind more of its sender's: in
 * waiting/KEY/PART/ID, where PART is one digit (class, whether its sender knows
 * of the delay, whether it has none) and the minute of arrival. So what is next, and what has
 * waited for too long, is known from names, and nothing is opened before its
 * turn.
 */

/* Taken at one time from one folder. */
#define BATCH 32
/* So many flows are looked at before the runner sees to other things. */
#define LOOK_MAX 1000
/* A flow with more than this in memory gets no more. */
#define ENOUGH_PART 8
/* So many flows keep their folder open between batches. */
#define OPEN_MAX 32

#define PART_CLASS 3u
#define PART_TOLD 4u
#define PART_BOUNCE 8u /* it has no sender, and a lifetime of its own */

struct part {
	unsigned flags;
	uint64_t minute;
};

static void
part_name(const struct part *part, char name[16])
{
	snprintf(name, 16, "%x%010llx", part->flags,
		(unsigned long long)part->minute & 0xffffffffff);
}

static int
part_scan(const char *name, struct part *part)
{
	const char *digits = "0123456789abcdef", *at = strchr(digits, name[0]);

	if (name[0] == 0 || at == NULL ||
		layout_minute_scan(name + 1, &part->minute) < 0)
		return -1;
	part->flags = (unsigned)(at - digits);
	return 0;
}

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

/* --- putting --- */

/* True if the time to tell the sender of the delay is over, and nothing is owed. */
static bool
is_told(const struct runner *runner, const struct message *message)
{
	uint64_t after_ms = (uint64_t)runner->settings.delaywarning_s * 1000;
	uint64_t arrival_ms = message->file.header.arrival_us / 1000;

	return after_ms > 0 && runner_now_ms() >= arrival_ms + after_ms &&
	       !bounce_owes_delay(runner, message);
}

int
waiting_put(struct runner *runner, struct message *message, struct flow *flow)
{
	uint64_t arrival_ms = message->file.header.arrival_us / 1000;
	struct part part = {
		.flags = message_class(message),
		.minute = arrival_ms / 60000,
	};
	char name[16], path[LAYOUT_PATH_MAX];

	if (is_told(runner, message))
		part.flags |= PART_TOLD;
	if (message->file.envelope.reverse_path[0] == 0)
		part.flags |= PART_BOUNCE;
	part_name(&part, name);
	layout_waiting_folder(flow->key, path);
	if (mkdirat(runner->queue, path, 0755) < 0 && errno != EEXIST)
		goto fail;
	layout_waiting_part(flow->key, name, path);
	if (mkdirat(runner->queue, path, 0755) < 0 && errno != EEXIST)
		goto fail;
	layout_waiting(flow->key, name, message->id, path);
	if (message_move(runner, message, path) < 0)
		return -1;
	flow_set_waiting(&runner->flows, flow, true);
	message_forget(runner, message);
	return 0;
fail:
	log_line("cannot make %s: %s", path, strerror(errno));
	return -1;
}

void
waiting_start(struct runner *runner)
{
	DIR *folder = open_folder(runner, QUEUE_WAITING);
	struct dirent *entry;

	if (folder == NULL) {
		log_line("cannot read " QUEUE_WAITING ": %s", strerror(errno));
		return;
	}
	while ((entry = readdir(folder)) != NULL) {
		if (!layout_dest_is_valid(entry->d_name, strlen(entry->d_name)))
			continue;
		struct flow *flow =
			flows_get(&runner->flows, entry->d_name, FLOW_UNKNOWN);
		if (flow == NULL)
			break; /* the next sweep sees it when there is room */
		if (flow->kind == FLOW_UNKNOWN && !flow->has_waiting)
			flow->state = FLOW_DOWN; /* as far as we know */
		flow_set_waiting(&runner->flows, flow, true);
	}
	closedir(folder);
}

/* --- taking back --- */

/* What a flow is reading: the first part, by class and age. */
struct reading {
	DIR *folder;
	char path[LAYOUT_PATH_MAX];
	unsigned taken; /* since it was opened or rewound */
};

static void
end_reading(struct runner *runner, struct flow *flow)
{
	struct reading *reading = flow->folder;

	if (reading == NULL)
		return;
	closedir(reading->folder);
	free(reading);
	flow->folder = NULL;
	runner->waiting_open--;
}

static bool
part_is_before(const struct part *a, const struct part *b)
{
	unsigned left = a->flags & PART_CLASS, right = b->flags & PART_CLASS;

	return left != right ? left < right : a->minute < b->minute;
}

/* Opens the first part. NULL: there is none, and the flow waits no more. */
static struct reading *
begin_reading(struct runner *runner, struct flow *flow)
{
	char path[LAYOUT_PATH_MAX], name[16];
	struct part first = {0}, part;
	struct dirent *entry;
	bool found = false;

	layout_waiting_folder(flow->key, path);
	DIR *folder = open_folder(runner, path);
	while (folder != NULL && (entry = readdir(folder)) != NULL)
		if (part_scan(entry->d_name, &part) == 0 &&
			(!found || part_is_before(&part, &first))) {
			first = part;
			found = true;
		}
	if (folder != NULL)
		closedir(folder);
	if (!found) {
		flow_set_waiting(&runner->flows, flow, false);
		(void)unlinkat(runner->queue, path, AT_REMOVEDIR);
		return NULL;
	}
	struct reading *reading = calloc(1, sizeof *reading);
	if (reading == NULL)
		return NULL;
	part_name(&first, name);
	layout_waiting_part(flow->key, name, reading->path);
	reading->folder = open_folder(runner, reading->path);
	if (reading->folder == NULL) {
		log_line("cannot read %s: %s", reading->path, strerror(errno));
		free(reading);
		return NULL;
	}
	flow->folder = reading;
	runner->waiting_open++;
	return reading;
}

/* Takes one file into memory and admits it. False: there was nothing in it. */
static bool
take_back(struct runner *runner, const char *folder, const char *id)
{
	char path[LAYOUT_PATH_MAX];

	snprintf(path, sizeof path, "%.80s/%.20s", folder, id);
	if (message_find(runner, id) != NULL)
		return false;
	int fd = openat(runner->queue, path,
		O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		log_line("cannot open %s: %s", path, strerror(errno));
		return false;
	}
	struct message *message = message_load(runner, id, path, fd, false);
	if (message == NULL)
		return false;
	/* its turn has come, whatever its last attempt was put off to */
	message->due_before_ms = runner_now_ms();
	admit(runner, message, true);
	return true;
}

/* The part is at its end: gone, or something came meanwhile, or lies there that
 * cannot be taken. True if the flow may have more. */
static bool
end_of_part(struct runner *runner, struct flow *flow)
{
	struct reading *reading = flow->folder;

	if (unlinkat(runner->queue, reading->path, AT_REMOVEDIR) < 0 &&
		errno != ENOENT) {
		if (reading->taken > 0) {
			rewinddir(reading->folder);
			reading->taken = 0;
			return true;
		}
		log_line("%s holds what cannot be taken up", reading->path);
		flow_set_waiting(&runner->flows, flow, false);
	}
	end_reading(runner, flow);
	return flow->has_waiting;
}

/* How many the flow may have more in memory. */
static unsigned
room_for(const struct runner *runner, const struct flow *flow)
{
	unsigned enough = runner->active_max / ENOUGH_PART;

	if (flow->kind != FLOW_SENDER) {
		if (flow_is_down(flow, deadline_now_ms()))
			return 0;
		/* one, as a probe, or to see whose it is */
		if (flow->kind == FLOW_UNKNOWN || flow->state == FLOW_DOWN)
			return flow->ready.count == 0 && flow->out == 0;
	}
	if (!admit_channel_has_room(runner, flow->channel))
		return 0;
	return flow->users < enough ? BATCH : 0;
}

/* Takes a batch. True if it could go on. */
static bool
take_batch(struct runner *runner, struct flow *flow)
{
	unsigned room = room_for(runner, flow);
	struct reading *reading = flow->folder;
	struct dirent *entry;

	if (room == 0)
		return false;
	if (reading == NULL)
		reading = begin_reading(runner, flow);
	if (reading == NULL)
		return false;
	while (room > 0) {
		entry = readdir(reading->folder);
		if (entry == NULL)
			return end_of_part(runner, flow);
		if (!ident_valid(entry->d_name, strlen(entry->d_name)))
			continue;
		if (take_back(runner, reading->path, entry->d_name)) {
			reading->taken++;
			room--;
		}
		if (flow_is_down(flow, deadline_now_ms()))
			break;
	}
	return room_for(runner, flow) > 0;
}

bool
waiting_step(struct runner *runner)
{
	struct flow *flow = runner->flows.waiting;
	unsigned looked = 0, batches = 0;
	bool more = false;

	while (flow != NULL && batches < BATCH && looked++ < LOOK_MAX) {
		if (!admit_has_room(runner))
			return false;
		if (room_for(runner, flow) == 0) {
			end_reading(runner, flow);
			flow = runner->flows.waiting = flow->next_waiting;
			continue;
		}
		batches++;
		flow->is_pinned = true;
		bool goes_on = take_batch(runner, flow);
		flow->is_pinned = false;
		more |= goes_on;
		if (!goes_on || runner->waiting_open > OPEN_MAX)
			end_reading(runner, flow);
		if (runner->flows.waiting == flow)
			runner->flows.waiting = flow->next_waiting;
		if (!flow->has_waiting)
			flow_release(&runner->flows, flow, deadline_now_ms());
		flow = runner->flows.waiting;
	}
	return more;
}

/* --- what has waited for too long --- */

/* Takes up everything in a part, for as much as there is room. */
static void
take_part(struct runner *runner, const char *path)
{
	DIR *folder = open_folder(runner, path);
	struct dirent *entry;

	while (folder != NULL && (entry = readdir(folder)) != NULL &&
		admit_has_room(runner))
		if (ident_valid(entry->d_name, strlen(entry->d_name)))
			(void)take_back(runner, path, entry->d_name);
	if (folder != NULL)
		closedir(folder);
	(void)unlinkat(runner->queue, path, AT_REMOVEDIR);
}

/* True if the sender of mail in this part is to be told something by now. */
static bool
is_overdue(const struct runner *runner, const struct part *part, uint64_t now)
{
	const struct runner_settings *settings = &runner->settings;
	int64_t lifetime_s = settings->queuelifetime_s;

	if ((part->flags & PART_BOUNCE) && settings->bouncelifetime_s > 0)
		lifetime_s = settings->bouncelifetime_s;
	if (now > part->minute + (uint64_t)lifetime_s / 60)
		return true;
	return settings->delaywarning_s > 0 &&
	       !(part->flags & (PART_TOLD | PART_BOUNCE)) &&
	       now > part->minute + (uint64_t)settings->delaywarning_s / 60;
}

static void
sweep_flow(struct runner *runner, struct flow *flow)
{
	uint64_t now = runner_now_ms() / 60000;
	char path[LAYOUT_PATH_MAX];
	struct dirent *entry;
	struct part part;

	layout_waiting_folder(flow->key, path);
	DIR *folder = open_folder(runner, path);
	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		if (part_scan(entry->d_name, &part) < 0 ||
			!is_overdue(runner, &part, now))
			continue;
		layout_waiting_part(flow->key, entry->d_name, path);
		take_part(runner, path);
	}
	if (folder != NULL)
		closedir(folder);
}

void
waiting_sweep(struct runner *runner)
{
	struct flow *flow = runner->flows.waiting;

	/* a few at a time: each costs one reading of a small folder */
	for (unsigned i = 0; i < BATCH && flow != NULL; i++) {
		flow->is_pinned = true;
		sweep_flow(runner, flow);
		flow->is_pinned = false;
		flow = flow->next_waiting;
		if (flow == runner->flows.waiting)
			break;
	}
}
