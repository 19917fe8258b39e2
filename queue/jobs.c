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
#include "queue/job_file.h"
#include "queue/report.h"
#include "queue/runner.h"

/* A recipient that is due, and where it goes. */
struct pick {
	enum channel channel;
	char dest[LAYOUT_DEST_LENGTH + 1];
	char *destination; /* owned */
	uint32_t recipient;
};

bool
jobs_recipient_is_due(const struct runner *runner,
	const struct message *message, uint32_t recipient)
{
	const struct message_recipient_state *state =
		&message->file.state[recipient];

	if (message->in_hand[recipient])
		return false;
	if (state->outcome == 0)
		return true;
	return state->outcome == OUTCOME_DEFERRED &&
	       (runner->is_forced ||
		       schedule_is_due(state->next_due_ms, runner_now_ms()));
}

/* --- handing out --- */

/* Fills in where the recipient goes. 0; -1 with errno ENOMEM, or EINVAL for a
 * domain that leads nowhere. */
static int
choose(const struct runner *runner, const char *address, struct pick *pick)
{
	const char *at = strrchr(address, '@');
	const char *domain = at == NULL ? "" : at + 1;
	char destination[ROUTE_TEXT_SIZE] = "local";

	pick->channel = CHANNEL_LOCAL;
	if (!domains_has(&runner->locals, domain, strlen(domain))) {
		pick->channel = CHANNEL_REMOTE;
		if (route_destination(&runner->routes, domain, strlen(domain),
			    destination, sizeof destination) < 0)
			return -1;
	}
	layout_dest(destination, pick->dest);
	pick->destination = strdup(destination);
	return pick->destination == NULL ? -1 : 0;
}

static int
compare(const void *left, const void *right)
{
	const struct pick *a = left, *b = right;
	int order = (int)a->channel - (int)b->channel;

	if (order == 0)
		order = strcmp(a->dest, b->dest);
	if (order == 0)
		order = a->recipient < b->recipient ? -1 : 1;
	return order;
}

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
	if (mkdirat(runner->queue, folder, 0770) < 0 && errno != EEXIST)
		return -1;
	(void)unlinkat(runner->queue, temporary, 0);
	int fd = durable_create(runner->queue, temporary, 0660);
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

/* Packs the job of these picks. */
static int
pack_job(const struct message *message, const struct pick *pick, uint32_t count,
	stralloc *octets)
{
	const struct envelope *envelope = &message->file.envelope;
	struct job job = {
		.attempt = message->file.state[pick->recipient].attempts + 1,
		.arrival_us = message->file.header.arrival_us,
		.content_octets = message->file.header.content_octets,
		.body = envelope->body,
		.smtputf8 = envelope->smtputf8,
		.requiretls = envelope->requiretls,
		.ret = envelope->ret,
		.destination = pick->destination,
		.reverse_path = envelope->reverse_path,
		.envid = envelope->envid,
		.recipients = count,
		.recipient = calloc(count, sizeof *job.recipient),
	};

	if (job.recipient == NULL)
		return -1;
	memcpy(job.id, message->id, sizeof job.id);
	for (uint32_t i = 0; i < count; i++) {
		const struct recipient *from =
			&envelope->recipient[pick[i].recipient];

		job.recipient[i] = (struct job_recipient){
			.number = pick[i].recipient,
			.address = from->address,
			.notify = from->notify,
			.orcpt = from->orcpt,
		};
	}
	int result = job_pack(&job, octets);
	free(job.recipient);
	return result;
}

static void
log_status(const struct runner *runner)
{
	log_line("status: local %u/%u remote %u/%u",
		runner->jobs_out[CHANNEL_LOCAL],
		(unsigned)runner->settings.concurrencylocal,
		runner->jobs_out[CHANNEL_REMOTE],
		(unsigned)runner->settings.concurrencyremote);
}

void
jobs_count(struct runner *runner, struct message *message, enum channel channel,
	int difference)
{
	unsigned before = message->channel_jobs[channel];

	message->jobs_out += (unsigned)difference;
	message->channel_jobs[channel] += (unsigned)difference;
	runner->jobs_out[channel] += (unsigned)difference;
	if ((before == 0) != (message->channel_jobs[channel] == 0))
		runner->in_channel[channel] += (unsigned)difference;
}

/* True if the pick must wait: the channel is full, or others wait already and it
 * is not the turn of those that do. */
static bool
must_wait(
	struct runner *runner, struct message *message, const struct pick *pick)
{
	if (runner->in_channel[pick->channel] < CHANNEL_MESSAGES_MAX &&
		(!runner->waits[pick->channel] || runner->turn > 0))
		return false;
	runner->waits[pick->channel] = true;
	message->waits_in = pick->channel;
	memcpy(message->waits_for, pick->dest, sizeof message->waits_for);
	return true;
}

/* Makes one job for count picks of the same destination. */
static int
hand_out(struct runner *runner, struct message *message,
	const struct pick *pick, uint32_t count)
{
	stralloc octets = STRALLOC_ZERO;
	char line[WAKEUP_LINE_MAX + 1];
	struct job_slot *slot = NULL;
	int result = pack_job(message, pick, count, &octets);

	if (result == 0)
		slot = jobs_add_slot(message);
	if (slot == NULL) {
		stralloc_free(&octets);
		return -1;
	}
	slot->channel = pick->channel;
	memcpy(slot->dest, pick->dest, sizeof slot->dest);
	slot->number = message->next_number++;
	slot->octets = octets.len;
	slot->delivery = runner->deliveries + 1;
	result = write_job(runner, slot, message->id, &octets);
	stralloc_free(&octets);
	if (result < 0) {
		log_line("cannot hand out msg %s: %s", message->id,
			strerror(errno));
		message->jobs--;
		return -1;
	}
	for (uint32_t i = 0; i < count; i++) {
		message->in_hand[pick[i].recipient] = slot->number + 1;
		log_line("starting delivery %lu: msg %s to %s %s",
			++runner->deliveries, message->id,
			channel_name(pick->channel),
			message->file.envelope.recipient[pick[i].recipient]
				.address);
	}
	jobs_count(runner, message, pick->channel, 1);
	log_status(runner);
	snprintf(line, sizeof line, "%s/%s.%x", slot->dest, message->id,
		slot->number);
	wakeup_ring(&runner->channel[pick->channel], runner->queue, line);
	return 0;
}

/* Records an outcome that no channel found out. */
static int
fail_at_once(struct runner *runner, struct message *message, uint32_t number,
	const char *text)
{
	struct message_recipient_state *state = &message->file.state[number];
	stralloc records = STRALLOC_ZERO;
	char *copy = strdup(text);
	int result = -1;

	if (copy != NULL &&
		message_pack_outcome(&records, number, OUTCOME_FAILED,
			state->attempts + 1, runner_now_ms(), 0, text) == 0 &&
		message_append(message->fd, &message->file, &records) == 0) {
		free(state->text);
		state->text = copy;
		state->outcome = OUTCOME_FAILED;
		state->attempts++;
		state->attempt_ms = runner_now_ms();
		commit_note(runner, message);
		result = 0;
	} else {
		free(copy);
	}
	stralloc_free(&records);
	return result;
}

int
jobs_hand_out(struct runner *runner, struct message *message)
{
	const struct envelope *envelope = &message->file.envelope;
	struct pick *pick = calloc(envelope->recipients, sizeof *pick);
	uint32_t count = 0;
	int result = pick == NULL ? -1 : 0;

	message->waits_for[0] = 0;

	for (uint32_t i = 0; pick != NULL && i < envelope->recipients; i++) {
		if (!jobs_recipient_is_due(runner, message, i))
			continue;
		pick[count].recipient = i;
		if (choose(runner, envelope->recipient[i].address,
			    &pick[count]) == 0) {
			if (must_wait(runner, message, &pick[count]))
				free(pick[count].destination);
			else
				count++;
		} else if (errno == ENOMEM ||
			   fail_at_once(runner, message, i,
				   "5.1.2 the address leads to no host") < 0)
			result = -1;
	}
	if (count > 0)
		qsort(pick, count, sizeof *pick, compare);
	for (uint32_t i = 0, run; i < count; i += run) {
		for (run = 1; i + run < count && run < JOB_RECIPIENTS_MAX;
			run++)
			if (pick[i].channel != pick[i + run].channel ||
				strcmp(pick[i].dest, pick[i + run].dest) != 0 ||
				message->file.state[pick[i].recipient]
						.attempts !=
					message->file
						.state[pick[i + run].recipient]
						.attempts)
				break;
		if (hand_out(runner, message, pick + i, run) < 0)
			result = -1;
	}
	for (uint32_t i = 0; i < count; i++)
		free(pick[i].destination);
	free(pick);
	return result;
}

/* --- results --- */

static struct job_slot *
find_slot(const struct message *message, enum channel channel, const char *dest,
	uint32_t number)
{
	for (unsigned i = 0; i < message->jobs; i++) {
		struct job_slot *slot = &message->job[i];

		if (slot->number == number && slot->channel == channel &&
			strcmp(slot->dest, dest) == 0)
			return slot;
	}
	return NULL;
}

/* qmail's log has underscores for spaces in reply texts. */
static void
log_outcome(unsigned long delivery, enum outcome outcome, const char *text)
{
	char words[OUTCOME_TEXT_MAX + 1];
	const char *verdict = outcome == OUTCOME_DEFERRED ? "deferral"
			      : outcome == OUTCOME_FAILED ? "failure"
							  : "success";

	snprintf(words, sizeof words, "%s", text);
	for (char *p = words; *p; p++)
		if (*p == ' ')
			*p = '_';
	log_line("delivery %lu: %s: %s", delivery, verdict, words);
}

/* Turns a recipient's result into what is recorded: without a result it counts
 * as deferred, and too old a deferral as a failure. */
static void
judge(const struct runner *runner, const struct message *message,
	const struct job_recipient *result, uint64_t now_ms,
	enum channel channel, struct message_recipient_state *to)
{
	uint64_t arrival_ms = message->file.header.arrival_us / 1000;
	uint64_t age_ms = now_ms > arrival_ms ? now_ms - arrival_ms : 0;
	const char *text = result->outcome == 0
				   ? "4.3.0 the attempt ended without a result"
				   : result->text;
	char words[OUTCOME_TEXT_MAX + 1];

	to->outcome = result->outcome == 0 ? OUTCOME_DEFERRED : result->outcome;
	to->next_due_ms = 0;
	snprintf(words, sizeof words, "%s", text);
	if (to->outcome == OUTCOME_DEFERRED) {
		if (age_ms >=
			(uint64_t)runner_lifetime_s(runner, message) * 1000) {
			to->outcome = OUTCOME_FAILED;
			snprintf(words, sizeof words,
				REPORT_EXPIRED_TEXT "%.800s", text);
		} else {
			to->next_due_ms =
				schedule_next_ms(arrival_ms, now_ms, channel);
		}
	}
	to->text = strdup(words);
}

/*
 * Records the results of one job. All records go in with one append, and only
 * after that memory is changed; so a failure leaves the result where it is, in
 * the job file, for the next sweep.
 */
static int
record_results(struct runner *runner, struct message *message,
	struct job_slot *slot, const struct job *job)
{
	struct message_recipient_state *new =
		calloc(job->recipients, sizeof *new);
	uint64_t now_ms = runner_now_ms();
	stralloc records = STRALLOC_ZERO;
	int result = new == NULL ? -1 : 0;

	for (uint32_t i = 0; result == 0 && i < job->recipients; i++) {
		judge(runner, message, &job->recipient[i], now_ms,
			slot->channel, &new[i]);
		if (new[i].text == NULL ||
			message_pack_outcome(&records, job->recipient[i].number,
				new[i].outcome, job->attempt, now_ms,
				new[i].next_due_ms, new[i].text) < 0)
			result = -1;
	}
	if (result == 0)
		result = message_append(message->fd, &message->file, &records);
	for (uint32_t i = 0; new != NULL &&i < job->recipients; i++) {
		uint32_t number = job->recipient[i].number;
		struct message_recipient_state *state =
			&message->file.state[number];

		if (result < 0) {
			free(new[i].text);
			continue;
		}
		log_outcome(slot->delivery + i, new[i].outcome, new[i].text);
		free(state->text);
		state->text = new[i].text;
		state->outcome = new[i].outcome;
		state->attempt_ms = now_ms;
		state->next_due_ms = new[i].next_due_ms;
		state->attempts = job->attempt;
		message->in_hand[number] = 0;
	}
	if (result < 0)
		log_line("cannot record what became of msg %s: %s", message->id,
			strerror(errno));
	free(new);
	stralloc_free(&records);
	return result;
}

static void
end_slot(struct runner *runner, struct message *message, struct job_slot *slot)
{
	slot->is_over = true;
	jobs_count(runner, message, slot->channel, -1);
	log_status(runner);
	commit_note(runner, message);
	message_settle(runner, message);
}

/* The job file is gone or spoiled: what it had is due again, once the other jobs
 * of the message are over (message_settle). */
static void
lose_slot(struct runner *runner, struct message *message, struct job_slot *slot)
{
	log_line("job %s.%x for msg %s is lost; it will be made again",
		slot->dest, slot->number, message->id);
	end_slot(runner, message, slot);
}

/* True if every recipient in the file is one that was given to this job: a
 * channel can say nothing of the other channel's recipients. */
static bool
job_fits(const struct message *message, const struct job_slot *slot,
	const struct job *job)
{
	const struct envelope *envelope = &message->file.envelope;

	if (strcmp(job->id, message->id) != 0)
		return false;
	for (uint32_t i = 0; i < job->recipients; i++) {
		uint32_t number = job->recipient[i].number;

		if (number >= envelope->recipients ||
			message->in_hand[number] != slot->number + 1 ||
			strcmp(envelope->recipient[number].address,
				job->recipient[i].address) != 0)
			return false;
	}
	return true;
}

static void
read_result(
	struct runner *runner, struct message *message, struct job_slot *slot)
{
	char path[LAYOUT_PATH_MAX];
	struct job job;
	struct stat st;

	layout_job(slot->channel, slot->dest, message->id, slot->number, path);
	int fd = openat(runner->queue, path,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		if (errno == ENOENT)
			lose_slot(runner, message, slot);
		else
			log_line("cannot open %s: %s", path, strerror(errno));
		return;
	}
	enum job_result result = job_read(fd, &job);
	if (fstat(fd, &st) == 0)
		slot->octets = (uint64_t)st.st_size;
	close(fd);
	if (result == JOB_NO_MEMORY) {
		log_line("cannot read %s: %s", path, strerror(errno));
		slot->octets = 0;
		return;
	}
	if (result == JOB_BAD || !job_fits(message, slot, &job)) {
		lose_slot(runner, message, slot);
	} else if (job.ended) {
		if (record_results(runner, message, slot, &job) == 0)
			end_slot(runner, message, slot);
		else
			slot->octets = 0;
	}
	job_free(&job);
}

void
jobs_take_result(struct runner *runner, enum channel channel, const char *dest,
	const char *name)
{
	char id[21];
	uint32_t number;

	if (layout_job_scan(name, id, &number) < 0)
		return;
	struct message *message = message_find(runner, id);
	struct job_slot *slot =
		message == NULL ? NULL
				: find_slot(message, channel, dest, number);
	if (slot != NULL && !slot->is_over)
		read_result(runner, message, slot);
}

void
jobs_sweep(struct runner *runner, struct message *message)
{
	char path[LAYOUT_PATH_MAX];
	struct stat st;

	for (unsigned i = 0; i < message->jobs; i++) {
		struct job_slot *slot = &message->job[i];

		if (slot->is_over)
			continue;
		layout_job(slot->channel, slot->dest, message->id, slot->number,
			path);
		if (fstatat(runner->queue, path, &st, AT_SYMLINK_NOFOLLOW) <
				0 ||
			(uint64_t)st.st_size != slot->octets)
			read_result(runner, message, slot);
	}
}
