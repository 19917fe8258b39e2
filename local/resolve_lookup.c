#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "local/resolve_server.h"
#include "local/warden.h"

/* How long the warden may take for one look-up, in milliseconds. */
#define LOOKUP_MS 10000
/* How long a busy look-up program may take to be connected to: nothing else goes
 * on meanwhile. */
#define OUTSIDE_CONNECT_MS 500

/* Tells one step of the decision, if the client wants to know. */
void
resolve_tell_step(
	void *context, const char *file, size_t line, const char *text)
{
	const struct resolve_client *client = context;
	struct resolve_step step = {
		.magic = RESOLVE_STEP_MAGIC, .line = (uint32_t)line};

	if (!client->is_traced)
		return;
	snprintf(step.file, sizeof step.file, "%s", file);
	snprintf(step.text, sizeof step.text, "%s", text);
	(void)send(client->fd, &step, sizeof step, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
tell_candidate(struct resolve_client *client, const char *what)
{
	const struct candidate *candidate =
		&client->found.candidate[client->at];
	char text[640];

	snprintf(text, sizeof text, "%s%s%s: %.200s", candidate->account,
		candidate->extension[0] != 0 ? ", extension " : "",
		candidate->extension, what);
	resolve_tell_step(client, "", 0, text);
}

void
resolve_say(const struct resolve_client *client, enum resolve_meaning meaning,
	const char *text)
{
	struct resolve_answer answer = {.magic = RESOLVE_MAGIC,
		.meaning = meaning,
		.domain = client->found.domain,
		.version = client->found.version,
		.room = client->room};

	if (meaning == RESOLVE_ACCOUNT) {
		const struct candidate *found =
			&client->found.candidate[client->at];

		snprintf(answer.account, sizeof answer.account, "%s",
			found->account);
		snprintf(answer.dash, sizeof answer.dash, "%s", found->dash);
		snprintf(answer.extension, sizeof answer.extension, "%s",
			found->extension);
	}
	snprintf(answer.text, sizeof answer.text, "%.255s", text);
	/* whoever does not read its answers loses them */
	(void)send(client->fd, &answer, sizeof answer,
		MSG_NOSIGNAL | MSG_DONTWAIT);
}

void
resolve_cannot_tell(const struct resolve_client *client, const char *text)
{
	log_line("cannot tell about %s: %s", client->address, text);
	resolve_say(client, RESOLVE_TEMPORARY, text);
}

/* --- look-ups --- */

/* Sends the look-up of the current candidate. NULL, or what was wrong. */
static const char *
send_lookup(struct resolve_server *server, struct resolve_client *client,
	enum warden_kind kind)
{
	const struct candidate *candidate =
		&client->found.candidate[client->at];
	struct warden_request request = {.magic = WARDEN_MAGIC, .kind = kind};
	int ends[2];

	snprintf(request.account, sizeof request.account, "%s",
		candidate->account);
	snprintf(request.dash, sizeof request.dash, "%s", candidate->dash);
	snprintf(request.extension, sizeof request.extension, "%s",
		candidate->extension);
	snprintf(
		request.address, sizeof request.address, "%s", client->address);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return "no descriptors";
	client->deadline_ms = deadline_after_ms(LOOKUP_MS);
	int sent = warden_ask(&server->warden, server->warden_path, &request,
		&ends[1], 1, client->deadline_ms);
	close(ends[1]);
	if (sent < 0) {
		close(ends[0]);
		return "the warden cannot be reached";
	}
	client->report = ends[0];
	client->is_room = kind == WARDEN_ROOM;
	return NULL;
}

static void
start_lookup(struct resolve_server *server, struct resolve_client *client)
{
	const char *wrong = send_lookup(server, client, WARDEN_LOOKUP);

	if (wrong != NULL)
		resolve_cannot_tell(client, wrong);
}

/* An account takes it. If its quota matters, the warden is asked first; whatever
 * goes wrong with that, the delivery looks again. */
static void
take(struct resolve_server *server, struct resolve_client *client)
{
	tell_candidate(client, "it takes the mail");
	if (!client->asks_room ||
		!client->found.candidate[client->at].may_be_full ||
		send_lookup(server, client, WARDEN_ROOM) != NULL)
		resolve_say(client, RESOLVE_ACCOUNT, "");
}

/* The same for the look-up program. */
static void
start_outside(struct resolve_server *server, struct resolve_client *client)
{
	/* the candidate's key is "x:" and the address */
	const char *address = client->found.candidate[client->at].account + 2;

	client->deadline_ms = deadline_after_ms(OUTSIDE_MS);
	if (outside_send(&client->outside, server->outside_path, address,
		    deadline_after_ms(OUTSIDE_CONNECT_MS)) < 0) {
		resolve_cannot_tell(
			client, "the look-up program cannot be reached");
		return;
	}
	client->is_outside = true;
	client->report = client->outside.fd;
}

/* Goes on with the current candidate, until there is an answer or a look-up. */
void
resolve_go_on(struct resolve_server *server, struct resolve_client *client)
{
	if (client->at == client->found.count) {
		resolve_say(client, RESOLVE_NOBODY,
			"there is no such mailbox here");
		return;
	}
	switch (client->found.candidate[client->at].proof) {
	case CANDIDATE_CERTAIN:
		take(server, client);
		break;
	case CANDIDATE_LOOKUP:
	case CANDIDATE_FINAL:
		start_lookup(server, client);
		break;
	case CANDIDATE_OUTSIDE:
		start_outside(server, client);
		break;
	}
}

/* Nobody, by this candidate: the next one, unless it is the last word. */
static void
pass(struct resolve_server *server, struct resolve_client *client,
	const char *what)
{
	bool is_final =
		client->found.candidate[client->at].proof == CANDIDATE_FINAL;

	tell_candidate(client, what);
	client->at = is_final ? client->found.count : client->at + 1;
	resolve_go_on(server, client);
}

/* The look-up program has something to say, or its time is over. */
void
resolve_end_outside(
	struct resolve_server *server, struct resolve_client *client)
{
	struct account account;
	char why[200] = "the look-up program gave no whole answer";
	int result = outside_receive(&client->outside);

	if (result < 0 && deadline_left_ms(client->deadline_ms) > 0)
		return;
	close(client->report);
	client->report = -1;
	client->is_outside = false;
	enum account_result meaning = ACCOUNT_TROUBLE;
	if (result == 1)
		meaning = outside_scan(
			client->outside.line, &account, why, sizeof why);
	if (meaning == ACCOUNT_NONE) {
		pass(server, client, "the look-up program does not know it");
	} else if (meaning == ACCOUNT_FOUND) {
		tell_candidate(client, client->outside.line);
		resolve_say(client, RESOLVE_ACCOUNT, "");
	} else {
		resolve_cannot_tell(client, why);
	}
}

/* 1: there is a report; else none comes. */
static void
say_room(struct resolve_client *client, int result,
	const struct warden_report *report)
{
	const char *text = "";

	if (result == 1 && strncmp(report->text + 1, ".2.2 ", 5) == 0) {
		client->room = report->outcome == OUTCOME_FAILED
				       ? RESOLVE_FULL
				       : RESOLVE_FULL_NOW;
		text = report->text;
	}
	resolve_say(client, RESOLVE_ACCOUNT, text);
}

/* The look-up has something to say, or its time is over. */
void
resolve_end_lookup(struct resolve_server *server, struct resolve_client *client)
{
	struct warden_report report;
	int result = warden_report_read(client->report, &report);

	if (result < 0 && deadline_left_ms(client->deadline_ms) > 0)
		return;
	close(client->report);
	client->report = -1;
	if (client->is_room) {
		say_room(client, result, &report);
	} else if (result <= 0) {
		resolve_cannot_tell(
			client, "the look-up ended without a result");
	} else if (report.outcome == OUTCOME_DELIVERED) {
		tell_candidate(client, report.text);
		resolve_say(client, RESOLVE_ACCOUNT, "");
	} else if (report.outcome == OUTCOME_FAILED) {
		pass(server, client, report.text);
	} else {
		resolve_cannot_tell(client, report.text);
	}
}
