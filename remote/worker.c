#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/descriptors.h"
#include "lib/log.h"
#include "queue/job_file.h"
#include "queue/message_file.h"
#include "remote/kept.h"
#include "remote/worker.h"

/* Connections that one message may cost, beyond one for each address. */
#define EXTRA_CONNECTIONS 3

struct worker {
	struct reach *way;
	struct wakeup_writer *runner;
	int parent;
	bool has_reached; /* a host; the parent knows */
};

/* A job in hand. */
struct sending {
	struct job job;
	struct client_recipient *recipient; /* one for each of the job's */
	struct client_message message;
	/* What a host said that is not for the message: "" for none. */
	char refusal[OUTCOME_TEXT_MAX + 1];
	bool is_disliked; /* and it counts if no other host can be reached */
};

/* --- results --- */

static void
take_result(void *context, size_t index, enum outcome outcome, const char *text)
{
	struct sending *sending = context;

	/* without memory it has no result, which counts as deferred */
	(void)job_set_result(&sending->job.recipient[index], outcome, text);
}

/* The same result for everybody who has none yet. */
static void
result_for_rest(struct sending *sending, enum outcome outcome, const char *text)
{
	for (uint32_t i = 0; i < sending->job.recipients; i++)
		if (sending->job.recipient[i].outcome == 0)
			take_result(sending, i, outcome, text);
}

/* --- one message --- */

/* Tells the parent that there is a connection: it counts from now on. */
static void
tell_reached(struct worker *worker)
{
	const uint32_t reached = WORKER_REACHED;

	if (!worker->has_reached)
		worker->has_reached =
			send(worker->parent, &reached, sizeof reached,
				MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

static bool
anybody_is_left(const struct sending *sending)
{
	for (uint32_t i = 0; i < sending->job.recipients; i++)
		if (sending->job.recipient[i].outcome == 0)
			return true;
	return false;
}

/* Those left are to be sent anew over the next connection. */
static void
start_again(struct sending *sending)
{
	for (uint32_t i = 0; i < sending->job.recipients; i++)
		if (sending->job.recipient[i].outcome == 0)
			sending->recipient[i].state = CLIENT_UNSENT;
}

/* The host is not for this message, but another may be. */
static void
put_aside(struct reach *way, struct sending *sending)
{
	snprintf(sending->refusal, sizeof sending->refusal, "%s",
		way->client.text);
	sending->is_disliked |= way->client.aside == CLIENT_ASIDE_POLICY;
	reach_put_aside(way);
	if (!reach_all_aside(way))
		log_line("msg %s: %s; asks another host", sending->job.id,
			sending->refusal);
}

/* There is no connection for the message. */
static void
give_up(const struct reach *way, struct sending *sending)
{
	if (sending->refusal[0] != 0 &&
		(sending->is_disliked || reach_all_aside(way))) {
		result_for_rest(sending, OUTCOME_FAILED, sending->refusal);
		return;
	}
	if (way->down_outcome == OUTCOME_DEFERRED)
		sending->job.reach =
			way->is_short ? JOB_BROKE : JOB_UNREACHABLE;
	result_for_rest(sending, way->down_outcome, way->down_text);
}

static void
send_message(struct worker *worker, struct sending *sending)
{
	unsigned tries = MX_ADDRESSES_MAX + EXTRA_CONNECTIONS;
	struct reach *way = worker->way;

	while (anybody_is_left(sending)) {
		if (tries-- == 0) {
			result_for_rest(sending, OUTCOME_DEFERRED,
				"4.4.2 too many connections were lost");
			return;
		}
		if (!reach_open(way, sending->job.destination,
			    sending->message.requiretls)) {
			give_up(way, sending);
			return;
		}
		tell_reached(worker);
		switch (client_send_message(&way->client, &sending->message)) {
		case CLIENT_OK:
			way->is_used = true;
			tries++; /* nothing was lost; the rest gets fewer */
			break;
		case CLIENT_CLOSE:
			sending->job.reach = JOB_BROKE;
			if (sending->message.possible_duplicate)
				log_line("msg %s may arrive twice: no answer "
					 "after its end%s",
					sending->job.id, way->client.where);
			reach_close(way);
			start_again(sending);
			break;
		case CLIENT_NEXT_HOST:
			if (way->client.aside != CLIENT_ASIDE_NONE)
				put_aside(way, sending);
			else
				reach_pass(way);
			start_again(sending);
			break;
		}
	}
}

/* Makes the message of the job. 0, or -1: it cannot be sent. */
static int
prepare(struct sending *sending, int content,
	const struct message_header *header)
{
	const struct job *job = &sending->job;

	sending->recipient =
		calloc(job->recipients, sizeof *sending->recipient);
	if (sending->recipient == NULL)
		return -1;
	for (uint32_t i = 0; i < job->recipients; i++) {
		sending->recipient[i].address = job->recipient[i].address;
		sending->recipient[i].notify = job->recipient[i].notify;
		sending->recipient[i].orcpt = job->recipient[i].orcpt;
		sending->recipient[i].state = CLIENT_UNSENT;
	}
	sending->message = (struct client_message){
		.reverse_path = job->reverse_path,
		.recipient = sending->recipient,
		.recipients = job->recipients,
		.content_fd = content,
		.offset = MESSAGE_HEADER_OCTETS,
		.octets = header->content_octets,
		.body_8bit = job->body == BODY_8BITMIME,
		.smtputf8 = job->smtputf8,
		.requiretls = job->requiretls,
		.ret = job->ret,
		.envid = job->envid,
		.result = take_result,
		.context = sending,
	};
	return 0;
}

/* Does the job and appends its results. */
static void
do_job(struct worker *worker, const struct task *task, int job, int content)
{
	struct sending sending = {0};
	struct message_header header;
	char dest[LAYOUT_DEST_LENGTH + 1];

	if (job_read(job, &sending.job) != JOB_OK || sending.job.ended)
		return;
	layout_dest(sending.job.destination, dest);
	if (strcmp(dest, task->dest) != 0)
		result_for_rest(&sending, OUTCOME_DEFERRED,
			"4.3.5 the job lies in another destination's folder");
	else if (message_read_header(content, &header) != MESSAGE_OK ||
		 prepare(&sending, content, &header) < 0)
		result_for_rest(&sending, OUTCOME_DEFERRED,
			"4.3.0 the message cannot be read");
	else
		send_message(worker, &sending);
	while (job_finish(job, &sending.job) < 0) {
		/* What was sent must be recorded: a full disk is waited for. */
		log_line("cannot record the results of job %s: %s", task->name,
			strerror(errno));
		poll(NULL, 0, 5000);
	}
	free(sending.recipient);
	job_free(&sending.job);
}

/* --- tasks --- */

/* Receives the next task. False: there is none. */
static bool
next_task(struct worker *worker, struct task *task, int descriptor[2])
{
	struct pollfd wait = {.fd = worker->parent, .events = POLLIN};
	unsigned count = 0;

	if (poll(&wait, 1, WORKER_IDLE_MS) <= 0)
		return false;
	ssize_t got = descriptors_receive(
		worker->parent, task, sizeof *task, descriptor, 2, &count);
	if (got == (ssize_t)sizeof *task && count == 2 &&
		task->magic == WORKER_MAGIC &&
		layout_dest_is_valid(
			task->dest, strnlen(task->dest, sizeof task->dest)) &&
		memchr(task->name, 0, sizeof task->name) != NULL)
		return true;
	for (unsigned i = 0; got > 0 && i < count; i++)
		close(descriptor[i]);
	return false;
}

/* Tells the parent of hosts for the next worker; it may be without. */
static void
tell_hosts(const struct worker *worker)
{
	struct reach *way = worker->way;
	struct kept_note note;
	struct mx_list read;

	if (!way->is_news)
		return;
	way->is_news = false;
	kept_tell(&way->hosts, &note);
	if (kept_read(&note, sizeof note, &read) == 0)
		(void)send(worker->parent, &note, sizeof note,
			MSG_NOSIGNAL | MSG_DONTWAIT);
}

int
worker_run(struct reach *way, int parent, struct wakeup_writer *runner)
{
	struct worker worker = {.way = way, .runner = runner, .parent = parent};
	char line[WAKEUP_LINE_MAX + 1];
	struct task task;
	int descriptor[2];

	while (next_task(&worker, &task, descriptor)) {
		reach_begin(way, task.taken_ms);
		do_job(&worker, &task, descriptor[0], descriptor[1]);
		tell_hosts(&worker);
		close(descriptor[0]);
		close(descriptor[1]);
		snprintf(line, sizeof line, "remote/%s/%s", task.dest,
			task.name);
		wakeup_write(runner, line);
		if (send(parent, &task, sizeof task, MSG_NOSIGNAL) < 0)
			break;
	}
	reach_end(way);
	return STATUS_DONE;
}
