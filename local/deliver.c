#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/envelope.h"
#include "lib/ident.h"
#include "local/deliver.h"
#include "local/delivery.h"
#include "local/environment.h"
#include "local/forward.h"
#include "local/instructions.h"
#include "local/loop.h"
#include "local/maildir.h"
#include "local/mbox.h"
#include "local/newsender.h"
#include "local/program.h"
#include "local/quota.h"
#include "local/way.h"

#define WHY_SIZE (OUTCOME_TEXT_MAX + 1)

/* One delivery. Nothing but forward.envelope is owned. */
struct work {
	struct deliver_settings *settings;
	const struct account *account;
	const struct warden_request *request;
	int folder; /* the account's home */
	struct path recipient;
	struct maildir_message message;
	struct newsender newsender;
	struct environment_words words;
	struct forward forward;
	unsigned folders, programs; /* what was done so far */
	bool is_forwarded;
	const char *last_folder;
	struct warden_report *report;
};

#define IS_SOUND(array) delivery_text_is_sound(array, sizeof(array))

/* Checks the request, and that the content stands in the file. */
static int
check_request(struct work *work)
{
	const struct warden_request *request = work->request;
	struct stat st;

	if (!delivery_names_are_sound(request) || !IS_SOUND(request->id) ||
		!IS_SOUND(request->reverse_path) || !IS_SOUND(request->envid) ||
		!IS_SOUND(request->orcpt) || request->notify > NOTIFY_ALL ||
		request->ret > RET_HDRS || request->requiretls > 1 ||
		!ident_valid(request->id, strlen(request->id)) ||
		address_mailbox_scan(request->address, strlen(request->address),
			ADDRESS_UTF8, &work->recipient) < 0 ||
		!envelope_reverse_path_is_sound(
			request->reverse_path, strlen(request->reverse_path)))
		return delivery_report(work->report, OUTCOME_DEFERRED,
			"4.3.5 the delivery request is malformed");
	if (fstat(work->message.fd, &st) < 0)
		return delivery_report(work->report, OUTCOME_DEFERRED,
			"4.3.0 the message file: %s", strerror(errno));
	if (!S_ISREG(st.st_mode) ||
		request->content_offset > (uint64_t)st.st_size ||
		request->content_octets >
			(uint64_t)st.st_size - request->content_offset)
		return delivery_report(work->report, OUTCOME_DEFERRED,
			"4.3.0 the message file is shorter than it should be");
	return 0;
}

static int
check_loop(struct work *work)
{
	const struct warden_request *request = work->request;

	switch (loop_check(work->message.fd, request->content_offset,
		request->content_octets, request->address)) {
	case LOOP_NONE:
		return 0;
	case LOOP_DELIVERED_TO:
		return delivery_report(work->report, OUTCOME_FAILED,
			"5.4.6 mail loop: it was delivered to this address "
			"before");
	case LOOP_FORWARDS:
		return delivery_report(work->report, OUTCOME_FAILED,
			"5.4.6 it was forwarded more than %d times",
			LOOP_FORWARDS_MAX);
	case LOOP_RECEIVED:
		return delivery_report(work->report, OUTCOME_FAILED,
			"5.4.6 mail loop: more than %d Received fields",
			LOOP_RECEIVED_MAX);
	default:
		return delivery_report(work->report, OUTCOME_DEFERRED,
			"4.3.0 the message cannot be read: %s",
			strerror(errno));
	}
}

static int
into_maildir(struct work *work, const char *path, bool create)
{
	char text[OUTCOME_TEXT_MAX + 1];
	uint64_t octets = work->message.octets + strlen(work->message.trace);
	int counted, result = 0;

	if (delivery_take_room(work->settings, work->folder, work->account,
		    path, octets, &counted, work->report) < 0)
		return -1;
	if (maildir_deliver(work->folder, path, create, &work->message,
		    work->folders, text) != OUTCOME_DELIVERED) {
		result = delivery_report(
			work->report, OUTCOME_DEFERRED, "%s", text);
		if (counted >= 0)
			quota_give_back(counted, octets);
	} else {
		work->folders++;
		work->last_folder = path;
	}
	way_close(counted);
	return result;
}

static int
into_mbox(struct work *work, const char *path)
{
	char line[ENVIRONMENT_LINE_MAX], text[OUTCOME_TEXT_MAX + 1];

	(void)environment_mbox_line(line, work->request->reverse_path);
	if (mbox_deliver(work->folder, path, line, &work->message, MBOX_LOCK_MS,
		    text) != OUTCOME_DELIVERED)
		return delivery_report(
			work->report, OUTCOME_DEFERRED, "%s", text);
	work->folders++;
	work->last_folder = path;
	return 0;
}

/* Returns 1 to go on, 0 to stop with what was done, -1 with a report. */
static int
run_command(struct work *work, const char *command)
{
	char why[200], output[PROGRAM_OUTPUT_MAX + 1];
	struct environment environment;

	/* the command is another's, who should find them nowhere */
	srs_forget(&work->settings->srs);
	if (environment_make(&environment, &work->words) < 0)
		return delivery_report(
			work->report, OUTCOME_DEFERRED, "4.3.0 out of memory");
	struct program_call call = {.command = command,
		.environment = environment.variable,
		.home = work->folder,
		.content = work->message.fd,
		.offset = work->message.offset,
		.octets = work->message.octets,
		.limit_ms = work->settings->program_ms,
		.memory = work->settings->program_memory,
		.processes = work->settings->program_processes};
	enum program_result result =
		program_run(&call, why, sizeof why, output);
	environment_free(&environment);
	const char *colon = *output != 0 ? ": " : "";
	if (result == PROGRAM_FAILED)
		return delivery_report(work->report, OUTCOME_FAILED,
			"5.3.0 %s%s%s", why, colon, output);
	if (result == PROGRAM_TEMPORARY)
		return delivery_report(work->report, OUTCOME_DEFERRED,
			"4.3.0 %s%s%s", why, colon, output);
	work->programs++;
	return result == PROGRAM_STOP ? 0 : 1;
}

/* As run_command. */
static int
follow_line(struct work *work, const struct instruction *line)
{
	char why[WHY_SIZE];

	switch (line->kind) {
	case INSTRUCTION_PROGRAM:
		return run_command(work, line->text);
	case INSTRUCTION_MAILDIR:
		return into_maildir(work, line->text, false) < 0 ? -1 : 1;
	case INSTRUCTION_MBOX:
		return into_mbox(work, line->text) < 0 ? -1 : 1;
	case INSTRUCTION_FORWARD:
		if (forward_add(&work->forward, line->text, why, sizeof why) <
			0)
			return delivery_report(
				work->report, OUTCOME_DEFERRED, "%s", why);
		return 1;
	}
	return 1;
}

/* The report of a delivery in which nothing failed. */
static void
conclude(struct work *work)
{
	char text[OUTCOME_TEXT_MAX + 1] = "";
	unsigned kept = work->folders + work->programs;

	work->is_forwarded = work->forward.envelope.recipients > 0;
	if (work->is_forwarded) {
		enum outcome outcome =
			forward_submit(&work->forward, kept > 0, text);
		bool is_done = outcome != OUTCOME_FAILED &&
			       outcome != OUTCOME_DEFERRED;

		if (!is_done || kept == 0) {
			(void)delivery_report(
				work->report, outcome, "%s", text);
			return;
		}
	}
	if (kept == 0)
		(void)delivery_report(work->report, OUTCOME_DISCARDED,
			"2.0.0 discarded: the instructions ask for nothing");
	else if (kept == 1 && work->folders == 1 && !work->is_forwarded)
		(void)delivery_report(work->report, OUTCOME_DELIVERED,
			"2.0.0 delivered to %s", work->last_folder);
	else
		(void)delivery_report(work->report, OUTCOME_DELIVERED,
			"2.0.0 delivered to %u folders, %u programs%s%s",
			work->folders, work->programs, *text != 0 ? ", " : "",
			*text != 0 ? text + strlen("2.0.0 ") : "");
}

static int
follow(struct work *work, const struct instructions_file *file)
{
	char why[WHY_SIZE];
	struct instructions instructions;
	int more = 1;

	if (instructions_home(work->folder, why, sizeof why) < 0 ||
		instructions_read(file, &instructions, why, sizeof why) < 0)
		return delivery_report(
			work->report, OUTCOME_DEFERRED, "%s", why);
	work->words.matched = file->has_matched ? file->matched : NULL;
	for (unsigned i = 0; i < instructions.lines && more > 0; i++)
		more = follow_line(work, &instructions.line[i]);
	if (more >= 0)
		conclude(work);
	instructions_free(&instructions);
	return more < 0 ? -1 : 0;
}

/* For an address without instructions. */
static void
follow_none(struct work *work)
{
	char why[WHY_SIZE], path[2 * ACCOUNT_HOME_MAX];
	const struct warden_request *request = work->request;
	bool is_own = delivery_is_own_address(request);

	if (!is_own && !delivery_find_folder(work->settings, work->folder,
			       work->account, request, path)) {
		(void)delivery_report(work->report, OUTCOME_FAILED,
			"5.1.1 there is no mailbox of that name");
		return;
	}
	if (instructions_home(work->folder, why, sizeof why) < 0)
		(void)delivery_report(
			work->report, OUTCOME_DEFERRED, "%s", why);
	else if (into_maildir(work, is_own ? work->account->maildir : path,
			 is_own) == 0)
		conclude(work);
}

static void
follow_empty(struct work *work)
{
	char why[WHY_SIZE];

	if (instructions_home(work->folder, why, sizeof why) < 0)
		(void)delivery_report(
			work->report, OUTCOME_DEFERRED, "%s", why);
	else if (into_maildir(work, work->account->maildir, true) == 0)
		conclude(work);
}

static void
find_and_follow(struct work *work)
{
	char why[WHY_SIZE];
	struct instructions_file file;
	const struct warden_request *request = work->request;

	switch (instructions_find(work->folder, request->dash,
		work->words.extension, &file, why, sizeof why)) {
	case INSTRUCTIONS_TROUBLE:
		(void)delivery_report(
			work->report, OUTCOME_DEFERRED, "%s", why);
		return;
	case INSTRUCTIONS_NONE:
		follow_none(work);
		return;
	case INSTRUCTIONS_EMPTY:
		follow_empty(work);
		return;
	case INSTRUCTIONS_FOUND:
		(void)follow(work, &file);
		close(file.fd);
		return;
	}
}

/* A report has come back for a message that was forwarded from here. */
static void
send_back(struct work *work, const char *to)
{
	char why[WHY_SIZE];

	if (forward_add(&work->forward, to, why, sizeof why) < 0)
		(void)delivery_report(
			work->report, OUTCOME_DEFERRED, "%s", why);
	else
		conclude(work);
}

/* The extension as it stands in the address: who chose the account compared in
 * lower case, and programs may care. */
static const char *
extension_as_written(const struct work *work)
{
	const char *extension = work->request->extension;
	size_t length = strlen(extension), all = work->recipient.local_len;

	if (length > all)
		return extension;
	const char *tail = work->recipient.local + all - length;
	return strcasecmp(tail, extension) == 0 ? tail : extension;
}

static void
prepare(struct work *work, const char *socket_path)
{
	const struct warden_request *request = work->request;

	work->words = (struct environment_words){
		.keepmail = work->settings->home->path,
		.programs = work->settings->programs,
		.user = work->account->name,
		.home = work->account->home,
		.sender = request->reverse_path,
		.new_sender = work->newsender.far,
		.recipient = request->address,
		.local = work->recipient.local,
		.host = work->recipient.domain,
		.extension = extension_as_written(work),
		.requiretls = request->requiretls,
	};
	if (!work->newsender.is_list) { /* which takes them over itself */
		work->words.envid = request->envid;
		work->words.orcpt = request->orcpt;
		work->words.notify = request->notify;
		work->words.ret = request->ret;
	}
	work->forward = (struct forward){
		.socket_path = socket_path,
		.address = request->address,
		.host = work->settings->host,
		.ours = &work->settings->ours,
		.sender = &work->newsender,
		.envid = request->envid,
		.orcpt = request->orcpt,
		.notify = request->notify,
		.ret = request->ret,
		.requiretls = request->requiretls,
		.content = work->message.fd,
		.offset = request->content_offset,
		.octets = request->content_octets,
		.envelope = ENVELOPE_ZERO,
	};
}

/* Returns as delivery_undo_srs. */
static int
find_sender(struct work *work, char to[ADDRESS_TEXT_MAX + 1])
{
	const struct deliver_settings *settings = work->settings;
	char why[WHY_SIZE];
	int result =
		delivery_undo_srs(settings, work->request, to, work->report);

	if (result >= 0 &&
		newsender_find(&work->newsender, work->folder, work->request,
			&work->recipient, &settings->srs, &settings->ours,
			time(NULL), why, sizeof why) < 0)
		result = delivery_report(
			work->report, OUTCOME_DEFERRED, "%s", why);
	return result;
}

bool
deliver(struct deliver_settings *settings, const struct account *account,
	const struct warden_request *request, int content_fd,
	struct warden_report *into)
{
	char socket_path[HOME_NAME_MAX], to[ADDRESS_TEXT_MAX + 1];
	char trace[2 * RESOLVE_TEXT_MAX + 64];
	struct work work = {.settings = settings,
		.account = account,
		.request = request,
		.message = {.fd = content_fd,
			.offset = request->content_offset,
			.octets = request->content_octets,
			.trace = trace,
			.host = settings->host},
		.report = into};

	*into = (struct warden_report){0};
	umask(077);
	signal(SIGPIPE, SIG_IGN); /* a queue that goes away is an answer */
	if (check_request(&work) < 0 || check_loop(&work) < 0)
		return false;
	snprintf(trace, sizeof trace, "Return-Path: <%s>\nDelivered-To: %s\n",
		request->reverse_path, request->address);
	work.folder = delivery_open_home(account, into);
	if (work.folder < 0)
		return false;
	int is_rewritten = find_sender(&work, to);
	prepare(&work, home_path(settings->home, "socket/submit", socket_path));
	if (is_rewritten > 0)
		send_back(&work, to);
	else if (is_rewritten == 0)
		find_and_follow(&work);
	forward_free(&work.forward);
	close(work.folder);
	return into->outcome == OUTCOME_DELIVERED && work.programs == 0 &&
	       !work.is_forwarded;
}
