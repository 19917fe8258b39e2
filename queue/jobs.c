#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/durable.h"
#include "lib/log.h"
#include "lib/verp.h"
#include "queue/job_file.h"
#include "queue/runner.h"

/* A channel gets so many jobs for each that it does at one time, so that it has
 * the next at hand. */
#define AHEAD 2
/* Jobs that may be out to stalled destinations, for each that may be to others:
 * remote bears ten such destinations for each of its workers, and one that is new
 * has four jobs, another up to twenty. */
#define STALLED_EACH 40

struct job_slot *
jobs_add_slot(struct message *message)
{
	if (message->jobs == message->jobs_room) {
		unsigned room = message->jobs_room ? message->jobs_room * 2 : 4;
		struct job_slot *more =
			reallocarray(message->job, room, sizeof *message->job);

		if (more == NULL)
			return NULL;
		message->job = more;
		message->jobs_room = room;
	}
	struct job_slot *slot = &message->job[message->jobs++];
	memset(slot, 0, sizeof *slot);
	return slot;
}

/* Writes jobs/CHANNEL/DEST/ID.N under another name and renames it. */
static int
write_job(const struct runner *runner, const struct job_slot *slot,
	const char *id, const stralloc *octets)
{
	char folder[LAYOUT_PATH_MAX], path[LAYOUT_PATH_MAX],
		temporary[LAYOUT_PATH_MAX];

	layout_job_folder(slot->channel, slot->dest, folder);
	layout_job(slot->channel, slot->dest, id, slot->number, path);
	snprintf(temporary, sizeof temporary, "%.*s/.%s", (int)strlen(folder),
		path, path + strlen(folder) + 1);
	int fd = durable_create(runner->queue, temporary, 0660);
	if (fd < 0 && errno == ENOENT &&
		(mkdirat(runner->queue, folder, 0770) == 0 || errno == EEXIST))
		fd = durable_create(runner->queue, temporary, 0660);
	/* what an earlier run did not come to rename */
	if (fd < 0 && errno == EEXIST &&
		unlinkat(runner->queue, temporary, 0) == 0)
		fd = durable_create(runner->queue, temporary, 0660);
	if (fd < 0)
		return -1;
	int written = durable_write_all(fd, octets->s, octets->len);
	close(fd);
	if (written < 0 ||
		renameat(runner->queue, temporary, runner->queue, path) < 0) {
		int saved = errno;

		(void)unlinkat(runner->queue, temporary, 0);
		errno = saved;
		return -1;
	}
	return 0;
}

/* Packs the job of this pick. */
static int
pack_job(const struct pick *pick, stralloc *octets)
{
	const struct message *message = pick->message;
	const struct envelope *envelope = &message->file.envelope;
	char reverse_path[ENVELOPE_ADDRESS_MAX + 1];
	struct job job = {
		.attempt = message->file.state[pick->recipient[0]].attempts + 1,
		.arrival_us = message->file.header.arrival_us,
		.content_octets = message->file.header.content_octets,
		.body = envelope->body,
		.smtputf8 = envelope->smtputf8,
		.requiretls = envelope->requiretls,
		.ret = envelope->ret,
		.destination = pick->destination,
		.reverse_path = reverse_path,
		.envid = envelope->envid,
		.recipients = pick->recipients,
		.recipient = calloc(pick->recipients, sizeof *job.recipient),
	};

	if (job.recipient == NULL)
		return -1;
	memcpy(job.id, message->id, sizeof job.id);
	/* where that differs, a job has one recipient (picks_make) */
	(void)verp_expand(envelope->reverse_path,
		envelope->recipient[pick->recipient[0]].address, reverse_path,
		sizeof reverse_path);
	for (uint32_t i = 0; i < pick->recipients; i++) {
		const struct recipient *from =
			&envelope->recipient[pick->recipient[i]];

		job.recipient[i] = (struct job_recipient){
			.number = pick->recipient[i],
			.address = from->address,
			.notify = from->notify,
			.orcpt = from->orcpt,
		};
	}
	int result = job_pack(&job, octets);
	free(job.recipient);
	return result;
}

/* Writes the job file of a pick and fills in its slot. */
static int
make_job(struct runner *runner, const struct pick *pick, struct job_slot *slot)
{
	struct message *message = pick->message;
	stralloc octets = STRALLOC_ZERO;
	int result = pack_job(pick, &octets);

	slot->flow = pick->flow;
	slot->channel = pick->flow->channel;
	layout_dest(pick->destination, slot->dest);
	slot->number = message->next_number++;
	slot->octets = octets.len;
	slot->delivery = runner->deliveries + 1;
	if (result == 0)
		result = write_job(runner, slot, message->id, &octets);
	stralloc_free(&octets);
	return result;
}

/* 0; or -1: its recipients are in nobody's hand again, and it is tried later. */
static int
hand_out(struct runner *runner, struct pick *pick)
{
	struct message *message = pick->message;
	char line[WAKEUP_LINE_MAX + 1];
	struct flow *flow = pick->flow;
	struct job_slot *slot = jobs_add_slot(message);

	if (slot == NULL || make_job(runner, pick, slot) < 0) {
		log_line("cannot hand out msg %s: %s", message->id,
			strerror(errno));
		message->jobs -= slot != NULL;
		picks_drop(runner, message);
		message->retry_ms = deadline_after_ms(SWEEP_S * 1000);
		return -1;
	}
	for (uint32_t i = 0; i < pick->recipients; i++) {
		message->in_hand[pick->recipient[i]] = slot->number + 1;
		history_start(message, ++runner->deliveries, flow->channel,
			message->file.envelope.recipient[pick->recipient[i]]
				.address);
	}
	runner->flows.served = pick->item.minor;
	flow->out++;
	message->jobs_out++;
	runner->jobs_out[flow->channel]++;
	history_status(runner);
	snprintf(line, sizeof line, "%s/%s.%x", slot->dest, message->id,
		slot->number);
	pick_free(runner, pick);
	wakeup_ring(&runner->channel[flow->channel], runner->queue, line);
	return 0;
}

void
jobs_stall(struct runner *runner, const char *dest)
{
	const int64_t most =
		runner->settings.concurrencyremote * AHEAD * STALLED_EACH;
	struct flow *flow = layout_dest_is_valid(dest, strlen(dest))
				    ? flows_find(&runner->flows, dest)
				    : NULL;

	if (flow == NULL || flow->channel != CHANNEL_REMOTE ||
		flow->is_stalled || flow->out == 0 ||
		runner->jobs_stalled + flow->out > most)
		return;
	flow->is_stalled = true;
	runner->jobs_stalled += flow->out;
	picks_drop_flow(runner, flow); /* it waits elsewhere */
	(void)flow_turn(&runner->flows, flow);
}

void
jobs_hand_out(struct runner *runner)
{
	const struct runner_settings *settings = &runner->settings;
	const int64_t most[] = {
		[CHANNEL_LOCAL] = settings->concurrencylocal * AHEAD,
		[CHANNEL_REMOTE] = settings->concurrencyremote * AHEAD +
				   runner->jobs_stalled,
	};

	for (int channel = CHANNEL_LOCAL; channel <= CHANNEL_REMOTE;
		channel++) {
		struct flow *flow;

		while (runner->jobs_out[channel] < most[channel] &&
			(flow = flows_first(&runner->flows,
				 (enum channel)channel)) != NULL)
			if (hand_out(runner, (struct pick *)heap_first(
						     &flow->ready)) < 0)
				return;
	}
}
