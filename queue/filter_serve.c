#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/ident.h"
#include "lib/log.h"
#include "lib/service.h"
#include "queue/filter_environment.h"
#include "queue/filter_intake.h"
#include "queue/filter_run.h"
#include "queue/filter_serve.h"
#include "queue/limits.h"
#include "queue/local_trace.h"
#include "queue/submit.h"

/* How long queue-inject may take for one answer, in milliseconds. */
#define INJECT_WAIT_MS (60 * 1000)
/* It hears of us so often while nothing goes to it. */
#define STILL_THERE_MS (INJECT_IDLE_S * 1000 / 10)
/* The longest message taken before queue-inject has a say, in octets. */
#define OCTETS_MAX (INT64_C(1) << 40)

struct serving {
	const struct filter_work *work;
	int64_t end_ms; /* of the whole submission */
	struct intake intake;
	struct filter_message message; /* as the last filter left it */
	struct submission *submission; /* owned; to queue-inject */
	int64_t spoke_ms;	       /* when queue-inject last heard of us */
	char number[16];	       /* names our files: the process id */
	int listener;		       /* where filters hand on; -1: none */
	char next[HOME_NAME_MAX];      /* its path */
	struct filter_environment environment;
};

/* Always -1. */
static int
refuse(const struct serving *serving, enum submit_code code, const char *text)
{
	return submit_refuse(serving->work->connection, code, text,
		deadline_after_ms(INJECT_IDLE_S * 1000));
}

/* What queue-inject refuses, the submitter is refused. Always -1. */
static int
pass_refusal(const struct serving *serving)
{
	return refuse(
		serving, serving->submission->code, serving->submission->text);
}

static void
still_there(void *context)
{
	struct serving *serving = context;
	struct submission *submission = serving->submission;

	if (deadline_now_ms() - serving->spoke_ms < STILL_THERE_MS ||
		submission->fd < 0)
		return;
	serving->spoke_ms = deadline_now_ms();
	submission->deadline_ms = deadline_after_ms(INJECT_WAIT_MS);
	(void)submit_still_there(submission);
}

/* --- in --- */

/* Takes from the submitter until something other than waiting. 0 with ASKED or
 * WHOLE; or -1 after an answer, if one makes sense. */
static int
take(struct serving *serving, enum intake_result wanted)
{
	int64_t silent_ms = deadline_after_ms(INJECT_IDLE_S * 1000);
	uint64_t octets = serving->intake.message.octets;

	for (;;) {
		enum intake_result result = intake_step(&serving->intake,
			deadline_after_ms(STILL_THERE_MS / 3));

		if (result == wanted)
			return 0;
		if (result == INTAKE_GONE)
			return -1;
		if (result == INTAKE_BAD)
			return refuse(serving, serving->intake.code,
				serving->intake.why);
		still_there(serving);
		if (serving->intake.message.octets != octets)
			silent_ms = deadline_after_ms(INJECT_IDLE_S * 1000);
		octets = serving->intake.message.octets;
		if (deadline_left_ms(silent_ms) == 0 ||
			deadline_left_ms(serving->end_ms) == 0)
			return refuse(serving, SUBMIT_TIMEOUT,
				"the submitter is too slow");
	}
}

/* Asks queue-inject what we were asked, and answers with its id. */
static int
answer_question(struct serving *serving)
{
	const struct filter_work *work = serving->work;
	struct submission *submission = serving->submission;
	int64_t deadline_ms = deadline_after_ms(INJECT_WAIT_MS);
	char path[HOME_NAME_MAX], field[LOCAL_TRACE_MAX];

	home_path(work->home, "socket/submit", path);
	if (submit_open_traced(
		    submission, path, serving->intake.size, deadline_ms) < 0)
		return pass_refusal(serving);
	serving->spoke_ms = deadline_now_ms();
	if (!work->may_claim || !(serving->intake.flags & SUBMIT_IS_TRACED)) {
		size_t length = local_trace_write(field, work->peer_uid,
			work->host, submission->id, time(NULL));

		if (intake_write(&serving->intake, field, length) < 0)
			return refuse(serving, serving->intake.code,
				serving->intake.why);
	}
	return frame_send(work->connection, 'G', submission->id, IDENT_LENGTH,
		deadline_ms);
}

/* What we know of the submitter goes before what it says. */
static int
set_origin(struct serving *serving)
{
	const struct filter_work *work = serving->work;
	struct origin *origin = &serving->message.envelope.origin;
	char **text[] = {&origin->client_address, &origin->client_name,
		&origin->hello, &origin->protocol, &origin->authenticated,
		&origin->tls};
	bool is_local = !work->may_claim || origin->kind == 0;

	origin->uid = (uint32_t)work->peer_uid;
	if (is_local)
		origin->kind = ORIGIN_LOCAL;
	for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
		if (!is_local && *text[i] != NULL)
			continue;
		free(*text[i]);
		*text[i] = strdup("");
		if (*text[i] == NULL)
			return refuse(serving, SUBMIT_MEMORY, "out of memory");
	}
	return 0;
}

/* --- through --- */

static int
listen_for_next(struct serving *serving)
{
	char relative[64];

	snprintf(relative, sizeof relative, "filter/%s", serving->number);
	home_path(serving->work->home, relative, serving->next);
	serving->listener =
		service_listen(serving->next, SOCK_STREAM, 0600, (gid_t)-1, 8);
	if (serving->listener >= 0)
		return 0;
	log_line("cannot listen on %s: %s", serving->next, strerror(errno));
	return refuse(serving, SUBMIT_CONFIG, "the filters cannot be run now");
}

static void
log_result(const struct serving *serving, const struct filter_program *program,
	const struct filter_result *result)
{
	log_line("%s %s: %s: %s from=<%s> client=%s", serving->submission->id,
		submit_code_is_permanent(result->code) ? "refused" : "deferred",
		program->words[0], result->why,
		serving->message.envelope.reverse_path,
		serving->message.envelope.origin.client_address);
}

/* The message is now what the filter handed on. */
static int
take_over(struct serving *serving, const struct filter_program *program,
	struct filter_result *result)
{
	struct filter_message *message = &serving->message;
	uint32_t before = message->envelope.recipients;

	if (filter_envelope_inherit(
		    &result->next.envelope, &message->envelope) < 0) {
		filter_message_free(&result->next);
		return refuse(serving, SUBMIT_MEMORY, "out of memory");
	}
	filter_message_free(message);
	*message = result->next;
	if (message->envelope.recipients != before)
		log_line("%s: %s changes %u recipients to %u",
			serving->submission->id, program->words[0],
			(unsigned)before,
			(unsigned)message->envelope.recipients);
	return 0;
}

static int
run_filters(struct serving *serving)
{
	const struct filter_work *work = serving->work;
	int64_t deadline_ms = deadline_after_ms(work->timeout_s * 1000);
	struct filter_result result;

	if (work->programs > 0 && listen_for_next(serving) < 0)
		return -1;
	filter_environment_make(&serving->environment, work->home,
		work->queue_submit, serving->next, serving->submission->id,
		&serving->message.envelope.origin);
	for (size_t i = 0; i < work->programs; i++) {
		const struct filter_program *program = &work->program[i];
		const struct filter_call call = {
			.words = program->words,
			.environment = serving->environment.list,
			.message = &serving->message,
			.id = serving->submission->id,
			.number = serving->number,
			.folder = work->folder,
			.listener = serving->listener,
			.deadline_ms = deadline_ms,
			.still_there = still_there,
			.context = serving,
		};

		filter_run(&call, &result);
		if (result.code != SUBMIT_ACCEPTED) {
			log_result(serving, program, &result);
			return refuse(serving, result.code, result.text);
		}
		if (result.has_next && take_over(serving, program, &result) < 0)
			return -1;
	}
	return 0;
}

/* --- out --- */

/* True if the submitter has closed: nobody waits for the answer. */
static bool
is_gone(int connection)
{
	struct pollfd wait = {.fd = connection, .events = POLLIN | POLLRDHUP};

	return poll(&wait, 1, 0) > 0 &&
	       (wait.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

static int
send_content(struct serving *serving)
{
	struct submission *submission = serving->submission;
	const struct filter_message *message = &serving->message;
	char buffer[65536];

	for (uint64_t at = 0; at < message->octets;) {
		ssize_t got =
			pread(message->file, buffer, sizeof buffer, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			log_line("%s: cannot read the message: %s",
				submission->id,
				got < 0 ? strerror(errno) : "it was cut");
			return refuse(serving, SUBMIT_READ,
				"the message cannot be read again");
		}
		at += (uint64_t)got;
		submission->deadline_ms = deadline_after_ms(INJECT_WAIT_MS);
		if (submit_content(submission, buffer, (size_t)got) < 0)
			return pass_refusal(serving);
	}
	return 0;
}

static int
hand_over(struct serving *serving)
{
	struct submission *submission = serving->submission;

	/* Accepted now, it would come a second time when it is tried again. */
	if (is_gone(serving->work->connection)) {
		log_line("%s: the submitter has gone", submission->id);
		return -1;
	}
	if (send_content(serving) < 0)
		return -1;
	submission->deadline_ms = deadline_after_ms(INJECT_WAIT_MS);
	if (submit_finish(submission, &serving->message.envelope) < 0)
		return pass_refusal(serving);
	(void)frame_send(serving->work->connection, 'A', submission->id,
		IDENT_LENGTH, deadline_after_ms(INJECT_WAIT_MS));
	return 0;
}

static int
serve(struct serving *serving)
{
	const struct filter_work *work = serving->work;
	char name[32];

	snprintf(name, sizeof name, "%s.first", serving->number);
	if (intake_start(&serving->intake, work->connection, work->folder, name,
		    OCTETS_MAX) < 0) {
		log_line("cannot make filter/%s: %s", name, strerror(errno));
		return refuse(serving, SUBMIT_WRITE, "no room for a message");
	}
	serving->intake.still_there = still_there;
	serving->intake.context = serving;
	if (take(serving, INTAKE_ASKED) < 0 || answer_question(serving) < 0 ||
		take(serving, INTAKE_WHOLE) < 0)
		return -1;
	serving->message = serving->intake.message;
	serving->intake.message = FILTER_MESSAGE_EMPTY;
	intake_end(&serving->intake);
	if (set_origin(serving) < 0 || run_filters(serving) < 0)
		return -1;
	return hand_over(serving);
}

int
filter_serve(const struct filter_work *work)
{
	struct serving *serving = calloc(1, sizeof *serving);
	struct submission *submission = calloc(1, sizeof *submission);
	int result = -1;

	if (serving != NULL && submission != NULL) {
		SUBMISSION_CLOSED(submission);
		serving->work = work;
		serving->end_ms = deadline_after_ms(INJECT_DEADLINE_S * 1000);
		serving->intake = INTAKE_EMPTY;
		serving->message = FILTER_MESSAGE_EMPTY;
		serving->submission = submission;
		serving->listener = -1;
		snprintf(serving->number, sizeof serving->number, "%d",
			(int)getpid());
		result = serve(serving);
		submit_abandon(submission);
		intake_end(&serving->intake);
		filter_message_free(&serving->message);
		if (serving->listener >= 0) {
			close(serving->listener);
			(void)unlink(serving->next);
		}
	}
	free(submission);
	free(serving);
	return result;
}
