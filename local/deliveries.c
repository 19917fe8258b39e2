#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "local/local.h"
#include "local/resolve.h"
#include "local/warden.h"
#include "queue/message_file.h"

/* How long resolve may take for one answer, in milliseconds. */
#define RESOLVE_MS 15000
/* How long a busy service may take to be connected to: nothing else goes on. */
#define CONNECT_MS 1000
/*
 * A service that cannot be reached, or whose child died, is asked again after
 * RETRY_MS, for up to PATIENCE_MS: it is being started again, and nothing is won
 * by deferring the mail. A delivery that ended without a report is tried so often.
 */
#define RETRY_MS 250
#define PATIENCE_MS 60000
#define TRIES_MAX 3
/* So long a child of the warden is given further messages: it knows the account
 * as it was when it started. */
#define STAY_MS 10000

static void
end_delivery(struct local *local, struct delivery *delivery,
	enum outcome outcome, const char *text)
{
	struct work *work = delivery->work;

	if (delivery->report >= 0)
		close(delivery->report);
	/* without memory it has no result, which counts as deferred */
	(void)job_set_result(
		&work->job.recipient[delivery->recipient], outcome, text);
	*delivery = local->delivery[--local->deliveries];
	work->under_way--;
	if (work->under_way == 0 && work->started == work->job.recipients)
		local_finish(local, work);
}

/* Later, or never if patience is over. */
static void
ask_again(struct local *local, struct delivery *delivery, const char *text)
{
	if (deadline_left_ms(delivery->patience_ms) == 0)
		end_delivery(local, delivery, OUTCOME_DEFERRED, text);
	else
		delivery->again_ms = deadline_after_ms(RETRY_MS);
}

/* What the sender asked for, lest a forward lose it. */
static void
fill_parameters(
	struct warden_request *request, const struct job *job, uint32_t number)
{
	const struct job_recipient *recipient = &job->recipient[number];

	snprintf(request->envid, sizeof request->envid, "%s", job->envid);
	snprintf(request->orcpt, sizeof request->orcpt, "%s", recipient->orcpt);
	request->notify = recipient->notify;
	request->ret = job->ret;
	request->requiretls = job->requiretls;
}

static void
ask_warden(struct local *local, struct delivery *delivery,
	const struct resolve_answer *means)
{
	const struct work *work = delivery->work;
	struct warden_request request = {.magic = WARDEN_MAGIC,
		.kind = WARDEN_DELIVER,
		.content_offset = MESSAGE_HEADER_OCTETS,
		.content_octets = work->job.content_octets};
	int ends[2];

	memcpy(delivery->account, means->account, sizeof delivery->account);
	snprintf(request.account, sizeof request.account, "%s", means->account);
	snprintf(request.id, sizeof request.id, "%s", work->job.id);
	snprintf(request.address, sizeof request.address, "%s",
		work->job.recipient[delivery->recipient].address);
	snprintf(request.reverse_path, sizeof request.reverse_path, "%s",
		work->job.reverse_path);
	snprintf(request.dash, sizeof request.dash, "%s", means->dash);
	snprintf(request.extension, sizeof request.extension, "%s",
		means->extension);
	fill_parameters(&request, &work->job, delivery->recipient);
	delivery->report =
		stayers_ask(local, &request, work->content, &delivery->stay_ms);
	if (delivery->report >= 0)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0, ends) < 0) {
		ask_again(local, delivery, "4.3.0 no descriptors");
		return;
	}
	const int descriptor[] = {work->content, ends[1]};
	int sent = warden_ask(&local->warden, local->warden_path, &request,
		descriptor, 2, deadline_after_ms(CONNECT_MS));
	close(ends[1]);
	if (sent < 0) {
		close(ends[0]);
		ask_again(
			local, delivery, "4.3.0 the warden cannot be reached");
		return;
	}
	delivery->report = ends[0];
	delivery->stay_ms = deadline_after_ms(STAY_MS);
}

/*
 * Asks what the address means. The answer is not waited for here: it may depend
 * on a user's home folder, and nobody else's mail waits for that.
 */
static void
ask(struct local *local, struct delivery *delivery)
{
	const char *address =
		delivery->work->job.recipient[delivery->recipient].address;
	int fd = local->idles > 0 ? local->idle[--local->idles] : -1;

	if (resolve_send(&fd, local->resolve_path, address, 0,
		    deadline_after_ms(CONNECT_MS)) < 0) {
		ask_again(local, delivery, "4.3.0 resolve cannot be reached");
		return;
	}
	delivery->question = fd;
	delivery->question_ms = deadline_after_ms(RESOLVE_MS);
}

static void
take_answer(struct local *local, struct delivery *delivery,
	const struct resolve_answer *means)
{
	char text[300];

	switch ((enum resolve_meaning)means->meaning) {
	case RESOLVE_ACCOUNT:
		if (means->version != local->version)
			stayers_let_go(local);
		delivery->version = local->version = means->version;
		ask_warden(local, delivery, means);
		break;
	case RESOLVE_NOT_OURS:
		/* control/locals has changed since the runner chose */
		end_delivery(local, delivery, OUTCOME_DEFERRED,
			"4.3.5 the domain is not local any more");
		break;
	case RESOLVE_NOBODY:
		snprintf(text, sizeof text, "5.1.1 %s", means->text);
		end_delivery(local, delivery, OUTCOME_FAILED, text);
		break;
	case RESOLVE_TEMPORARY:
		snprintf(text, sizeof text, "4.3.0 %s", means->text);
		ask_again(local, delivery, text);
		break;
	}
}

/* The question has an answer, or its time is over. */
static void
read_answer(struct local *local, struct delivery *delivery)
{
	struct resolve_answer means;
	int result = resolve_receive(delivery->question, &means);

	if (result < 0 && deadline_left_ms(delivery->question_ms) > 0)
		return;
	int fd = delivery->question;
	delivery->question = -1;
	if (result == 1) {
		local->idle[local->idles++] = fd;
		take_answer(local, delivery, &means);
		return;
	}
	close(fd);
	ask_again(local, delivery, "4.3.0 resolve cannot be reached");
}

static void
read_report(struct local *local, struct delivery *delivery)
{
	struct warden_report report;

	switch (warden_report_read(delivery->report, &report)) {
	case 1:
		if (report.stays && delivery->version == local->version) {
			stayers_add(local, delivery->account, delivery->report,
				delivery->stay_ms);
			delivery->report = -1;
		}
		end_delivery(local, delivery, (enum outcome)report.outcome,
			report.text);
		break;
	case 0:
		close(delivery->report);
		delivery->report = -1;
		if (++delivery->tries == TRIES_MAX ||
			deadline_left_ms(delivery->patience_ms) == 0)
			end_delivery(local, delivery, OUTCOME_DEFERRED,
				"4.3.0 the delivery ended without a report");
		else
			delivery->again_ms = deadline_after_ms(RETRY_MS);
		break;
	}
}

/* How many places of all one account may have. */
static unsigned
share(const struct local *local)
{
	return local->settings.deliveries < 2
		       ? 1
		       : (unsigned)local->settings.deliveries / 2;
}

static unsigned
under_way_for(const struct local *local, uint32_t owner)
{
	unsigned count = 0;

	for (unsigned i = 0; i < local->deliveries; i++)
		count += local->delivery[i].owner == owner;
	return count;
}

static void
start_delivery(struct local *local, struct work *work, uint32_t recipient)
{
	struct delivery *new = &local->delivery[local->deliveries++];

	*new = (struct delivery){.work = work,
		.recipient = recipient,
		.owner = work->owner[recipient],
		.question = -1,
		.report = -1,
		.patience_ms = deadline_after_ms(PATIENCE_MS)};
	work->is_taken[recipient] = true;
	work->started++;
	work->under_way++;
	ask(local, new);
}

void
deliveries_start(struct local *local)
{
	struct work *work = local->first, *next;

	for (; work != NULL; work = next) {
		uint32_t left = work->job.recipients - work->started;

		next = work->next;
		/* with the last recipient the job may be over and gone */
		for (uint32_t i = 0; left > 0; i++) {
			if (local->deliveries >=
				(unsigned)local->settings.deliveries)
				return;
			if (work->is_taken[i])
				continue;
			left--;
			if (under_way_for(local, work->owner[i]) < share(local))
				start_delivery(local, work, i);
		}
	}
}

int
delivery_descriptor(const struct delivery *delivery)
{
	return delivery->question >= 0 ? delivery->question : delivery->report;
}

void
delivery_hear(struct local *local, struct delivery *delivery)
{
	if (delivery->question >= 0)
		read_answer(local, delivery);
	else
		read_report(local, delivery);
}

bool
deliveries_are_out(const struct local *local)
{
	for (unsigned i = 0; i < local->deliveries; i++)
		if (local->delivery[i].report >= 0)
			return true;
	return false;
}

/* When the delivery has something to do by the clock. */
static int64_t
due_ms(const struct delivery *delivery)
{
	if (delivery->question >= 0)
		return delivery->question_ms;
	return delivery->report >= 0 ? DEADLINE_NEVER : delivery->again_ms;
}

int64_t
deliveries_do_due(struct local *local, int64_t next_ms)
{
	int64_t now_ms = deadline_now_ms();
	struct work *next;

	/* from the last on, because ending one moves the last */
	for (unsigned i = local->deliveries; i-- > 0;) {
		struct delivery *delivery = &local->delivery[i];

		if (due_ms(delivery) > now_ms)
			continue;
		if (delivery->question >= 0)
			read_answer(local, delivery);
		else
			ask(local, delivery);
	}
	for (struct work *work = local->first; work; work = next) {
		next = work->next;
		if (work->finish_ms != 0 && work->finish_ms <= now_ms)
			local_finish(local, work);
	}
	for (unsigned i = 0; i < local->deliveries; i++)
		if (due_ms(&local->delivery[i]) < next_ms)
			next_ms = due_ms(&local->delivery[i]);
	for (struct work *work = local->first; work; work = work->next)
		if (work->finish_ms != 0 && work->finish_ms < next_ms)
			next_ms = work->finish_ms;
	return next_ms;
}
