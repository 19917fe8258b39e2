#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "queue/job_file.h"
#include "queue/message_file.h"
#include "remote/route.h"
#include "remote/worker.h"

/* How long finding the hosts may take, and how long what was found is good. */
#define FIND_MS 90000
#define FOUND_GOOD_MS (5 * 60 * 1000)
/* After no host could be reached, mail that waits is not tried again for this
 * time, but gets the same answer: one probe is enough. */
#define DOWN_MS 60000
/* Connections that one message may cost, beyond one for each address. */
#define EXTRA_CONNECTIONS 3

struct worker {
	const struct worker_options *options;
	struct wakeup_writer *runner;
	int parent;
	struct client client; /* client.fd -1: not connected */
	bool is_used;	      /* a message has gone over this connection */
	struct mx_list hosts;
	bool has_hosts;
	int64_t found_ms;
	unsigned at;   /* the address in use, or to be tried next */
	bool is_short; /* no connection, but that is not the hosts' fault */
	int64_t down_until_ms;
	enum outcome down_outcome; /* what that means for recipients */
	char down_text[OUTCOME_TEXT_MAX + 1];
};

/* A job in hand. */
struct sending {
	struct job job;
	struct client_recipient *recipient; /* one for each of the job's */
	struct client_message message;
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

/* --- the connection --- */

static void
disconnect(struct worker *worker)
{
	if (worker->client.fd < 0)
		return;
	client_quit(&worker->client);
	close(worker->client.fd);
	worker->client.fd = -1;
}

/* Finds the hosts, unless that was done lately. False: down_* says why. */
static bool
find_hosts(struct worker *worker, const char *destination)
{
	struct route_target target;
	int64_t now_ms = deadline_now_ms();

	if (worker->has_hosts && now_ms - worker->found_ms < FOUND_GOOD_MS)
		return true;
	worker->has_hosts = false;
	worker->at = 0;
	worker->down_outcome = OUTCOME_DEFERRED;
	if (route_parse(destination, &target) < 0) {
		snprintf(worker->down_text, sizeof worker->down_text,
			"4.3.5 not a destination: %.300s", destination);
		return false;
	}
	enum mx_result result = mx_find(&worker->options->mx, &target,
		deadline_after_ms(FIND_MS), &worker->hosts);
	if (result != MX_OK) {
		worker->down_outcome = mx_outcome(result);
		snprintf(worker->down_text, sizeof worker->down_text, "%s",
			worker->hosts.text);
		return false;
	}
	worker->has_hosts = true;
	worker->found_ms = now_ms;
	return true;
}

/* Connects to one address and greets. False: down_text says why not. */
static bool
connect_one(struct worker *worker, const struct mx_address *address)
{
	struct client *client = &worker->client;
	char text[64];

	mx_address_text(&address->address, text, sizeof text);
	int fd = client_connect(
		&address->address, worker->options->timeouts.connect_ms);
	if (fd < 0) {
		worker->is_short = errno == EMFILE || errno == ENFILE ||
				   errno == ENOMEM || errno == ENOBUFS;
		snprintf(worker->down_text, sizeof worker->down_text,
			"4.4.1 no connection: %s (host %s [%s])",
			strerror(errno), address->host, text);
		return false;
	}
	client_start(
		client, fd, address->host, text, &worker->options->timeouts);
	if (client_greet(client, worker->options->helo) == CLIENT_OK) {
		worker->is_used = false;
		return true;
	}
	/* A 5xx greeting speaks of that host, not of the recipients: another
	 * host, or another day, may do. */
	snprintf(worker->down_text, sizeof worker->down_text, "%s",
		client->text);
	disconnect(worker);
	return false;
}

/* Goes on from the current address until one greets. */
static bool
connect_any(struct worker *worker)
{
	worker->down_outcome = OUTCOME_DEFERRED;
	for (; worker->at < worker->hosts.count && !worker->is_short;
		worker->at++)
		if (connect_one(worker, &worker->hosts.entry[worker->at]))
			return true;
	return false;
}

/* True if a connection stands. Otherwise nobody can be reached for now. */
static bool
have_connection(struct worker *worker, const char *destination)
{
	worker->is_short = false;
	if (worker->client.fd >= 0)
		return true;
	if (deadline_left_ms(worker->down_until_ms) > 0)
		return false;
	if (find_hosts(worker, destination) && connect_any(worker))
		return true;
	worker->has_hosts = false;
	if (!worker->is_short)
		worker->down_until_ms = deadline_after_ms(DOWN_MS);
	return false;
}

/* --- one message --- */

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

static void
send_message(struct worker *worker, struct sending *sending)
{
	unsigned tries = MX_ADDRESSES_MAX + EXTRA_CONNECTIONS;

	while (anybody_is_left(sending)) {
		if (tries-- == 0) {
			result_for_rest(sending, OUTCOME_DEFERRED,
				"4.4.2 too many connections were lost");
			return;
		}
		if (!have_connection(worker, sending->job.destination)) {
			if (worker->down_outcome == OUTCOME_DEFERRED)
				sending->job.reach = worker->is_short
							     ? JOB_BROKE
							     : JOB_UNREACHABLE;
			result_for_rest(sending, worker->down_outcome,
				worker->down_text);
			return;
		}
		bool was_used = worker->is_used;
		switch (client_send_message(
			&worker->client, &sending->message)) {
		case CLIENT_OK:
			worker->is_used = true;
			break;
		case CLIENT_CLOSE:
			sending->job.reach = JOB_BROKE;
			if (sending->message.possible_duplicate)
				log_line("msg %s may arrive twice: no answer "
					 "after its end%s",
					sending->job.id, worker->client.where);
			disconnect(worker);
			start_again(sending);
			break;
		case CLIENT_NEXT_HOST:
			/* a connection that lay idle may just have ended */
			snprintf(worker->down_text, sizeof worker->down_text,
				"%s", worker->client.text);
			disconnect(worker);
			if (!was_used)
				worker->at++;
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

int
worker_run(const struct worker_options *options, int parent,
	struct wakeup_writer *runner)
{
	struct worker *worker = calloc(1, sizeof *worker);
	char line[WAKEUP_LINE_MAX + 1];
	struct task task;
	int descriptor[2];

	if (worker == NULL)
		return STATUS_TEMPORARY;
	worker->options = options;
	worker->runner = runner;
	worker->parent = parent;
	worker->client.fd = -1;
	while (next_task(worker, &task, descriptor)) {
		do_job(worker, &task, descriptor[0], descriptor[1]);
		close(descriptor[0]);
		close(descriptor[1]);
		snprintf(line, sizeof line, "remote/%s/%s", task.dest,
			task.name);
		wakeup_write(runner, line);
		if (send(parent, &task, sizeof task, MSG_NOSIGNAL) < 0)
			break;
	}
	disconnect(worker);
	free(worker);
	return STATUS_DONE;
}
