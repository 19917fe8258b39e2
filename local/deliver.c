#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/envelope.h"
#include "lib/escape.h"
#include "lib/ident.h"
#include "local/deliver.h"
#include "local/environment.h"
#include "local/forward.h"
#include "local/instructions.h"
#include "local/loop.h"
#include "local/maildir.h"
#include "local/program.h"

#define WHY_SIZE (OUTCOME_TEXT_MAX + 1)

/* One delivery. Nothing but forward.envelope is owned. */
struct work {
	const struct home *home;
	const struct account *account;
	const struct warden_request *request;
	const char *host;
	int folder; /* the account's home */
	struct path recipient;
	struct maildir_message message;
	struct environment_words words;
	struct forward forward;
	unsigned folders, programs, forwards; /* what was done so far */
	const char *last_folder;
	struct warden_report *report;
};

/* Sets the report. Returns -1, so that "return report(…)" ends the work. */
static int __attribute__((format(printf, 3, 4)))
report(struct warden_report *into, enum outcome outcome, const char *format,
	...)
{
	va_list arguments;
	char text[OUTCOME_TEXT_MAX + 1];

	into->magic = WARDEN_MAGIC;
	into->outcome = outcome;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	/* folders and programs have their own ideas of a text */
	escape_line(into->text, sizeof text, text, strlen(text), ESCAPE_MASK);
	return -1;
}

static bool
text_is_sound(const char *text, size_t size)
{
	const char *end = memchr(text, 0, size);

	if (end == NULL)
		return false;
	for (; text < end; text++)
		if ((unsigned char)*text < 32 || *text == 127)
			return false;
	return true;
}

#define IS_SOUND(array) text_is_sound(array, sizeof(array))

/* The part that look-ups have too. */
static bool
names_are_sound(const struct warden_request *request)
{
	return IS_SOUND(request->account) && IS_SOUND(request->dash) &&
	       IS_SOUND(request->extension) &&
	       strchr(request->dash, '/') == NULL;
}

/* Checks the request, and that the content stands in the file. */
static int
check_request(struct work *work)
{
	const struct warden_request *request = work->request;
	struct stat st;

	if (!names_are_sound(request) || !IS_SOUND(request->id) ||
		!IS_SOUND(request->address) ||
		!IS_SOUND(request->reverse_path) ||
		!ident_valid(request->id, strlen(request->id)) ||
		address_mailbox_scan(request->address, strlen(request->address),
			ADDRESS_UTF8, &work->recipient) < 0 ||
		!envelope_reverse_path_is_sound(
			request->reverse_path, strlen(request->reverse_path)))
		return report(work->report, OUTCOME_DEFERRED,
			"4.3.5 the delivery request is malformed");
	if (fstat(work->message.fd, &st) < 0)
		return report(work->report, OUTCOME_DEFERRED,
			"4.3.0 the message file: %s", strerror(errno));
	if (!S_ISREG(st.st_mode) ||
		request->content_offset > (uint64_t)st.st_size ||
		request->content_octets >
			(uint64_t)st.st_size - request->content_offset)
		return report(work->report, OUTCOME_DEFERRED,
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
		return report(work->report, OUTCOME_FAILED,
			"5.4.6 mail loop: it was delivered to this address "
			"before");
	case LOOP_RECEIVED:
		return report(work->report, OUTCOME_FAILED,
			"5.4.6 mail loop: more than %d Received fields",
			LOOP_RECEIVED_MAX);
	default:
		return report(work->report, OUTCOME_DEFERRED,
			"4.3.0 the message cannot be read: %s",
			strerror(errno));
	}
}

static int
open_home(const struct account *account, struct warden_report *into)
{
	int folder = open(account->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0)
		(void)report(into, OUTCOME_DEFERRED,
			"4.3.0 the home folder cannot be opened: %s",
			strerror(errno));
	return folder;
}

static int
into_maildir(struct work *work, const char *path, bool create)
{
	char text[OUTCOME_TEXT_MAX + 1];

	if (maildir_deliver(work->folder, path, create, &work->message,
		    work->folders, text) != OUTCOME_DELIVERED)
		return report(work->report, OUTCOME_DEFERRED, "%s", text);
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

	if (environment_make(&environment, &work->words) < 0)
		return report(
			work->report, OUTCOME_DEFERRED, "4.3.0 out of memory");
	struct program_call call = {.command = command,
		.environment = environment.variable,
		.home = work->folder,
		.content = work->message.fd,
		.offset = work->message.offset,
		.octets = work->message.octets,
		.limit_ms = PROGRAM_LIMIT_MS};
	enum program_result result =
		program_run(&call, why, sizeof why, output);
	environment_free(&environment);
	const char *colon = *output != 0 ? ": " : "";
	if (result == PROGRAM_FAILED)
		return report(work->report, OUTCOME_FAILED, "5.3.0 %s%s%s", why,
			colon, output);
	if (result == PROGRAM_TEMPORARY)
		return report(work->report, OUTCOME_DEFERRED, "4.3.0 %s%s%s",
			why, colon, output);
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
	case INSTRUCTION_FORWARD:
		if (forward_add(&work->forward, line->text, why, sizeof why) <
			0)
			return report(
				work->report, OUTCOME_DEFERRED, "%s", why);
		work->forwards++;
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

	if (work->forwards > 0) {
		enum outcome outcome = forward_submit(&work->forward, text);

		if (outcome != OUTCOME_EXPANDED || kept == 0) {
			(void)report(work->report, outcome, "%s", text);
			return;
		}
	}
	if (kept == 0)
		(void)report(work->report, OUTCOME_DISCARDED,
			"2.0.0 discarded: the instructions ask for nothing");
	else if (kept == 1 && work->folders == 1 && work->forwards == 0)
		(void)report(work->report, OUTCOME_DELIVERED,
			"2.0.0 delivered to %s", work->last_folder);
	else
		(void)report(work->report, OUTCOME_DELIVERED,
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
		return report(work->report, OUTCOME_DEFERRED, "%s", why);
	work->words.matched = file->has_matched ? file->matched : NULL;
	for (unsigned i = 0; i < instructions.lines && more > 0; i++)
		more = follow_line(work, &instructions.line[i]);
	if (more >= 0)
		conclude(work);
	instructions_free(&instructions);
	return more < 0 ? -1 : 0;
}

/* True for an address that the account has without any instructions. */
static bool
is_own_address(const struct warden_request *request)
{
	return *request->dash == 0 && *request->extension == 0;
}

static void
find_and_follow(struct work *work)
{
	char why[WHY_SIZE];
	struct instructions_file file;
	const struct warden_request *request = work->request;

	switch (instructions_find(work->folder, request->dash,
		request->extension, &file, why, sizeof why)) {
	case INSTRUCTIONS_TROUBLE:
		(void)report(work->report, OUTCOME_DEFERRED, "%s", why);
		return;
	case INSTRUCTIONS_NONE:
		if (!is_own_address(request)) {
			(void)report(work->report, OUTCOME_FAILED,
				"5.1.1 there is no mailbox of that name");
			return;
		}
		break;
	case INSTRUCTIONS_EMPTY:
		break;
	case INSTRUCTIONS_FOUND:
		(void)follow(work, &file);
		close(file.fd);
		return;
	}
	if (instructions_home(work->folder, why, sizeof why) < 0)
		(void)report(work->report, OUTCOME_DEFERRED, "%s", why);
	else if (into_maildir(work, work->account->maildir, true) == 0)
		conclude(work);
}

static void
prepare(struct work *work, const char *socket_path)
{
	const struct warden_request *request = work->request;

	work->words = (struct environment_words){
		.keepmail = work->home->path,
		.user = work->account->name,
		.home = work->account->home,
		.sender = request->reverse_path,
		.recipient = request->address,
		.local = work->recipient.local,
		.host = work->recipient.domain,
		.extension = request->extension,
	};
	work->forward = (struct forward){
		.socket_path = socket_path,
		.address = request->address,
		.host = work->host,
		.reverse_path = request->reverse_path,
		.content = work->message.fd,
		.offset = request->content_offset,
		.octets = request->content_octets,
		.envelope = ENVELOPE_ZERO,
	};
}

bool
deliver(const struct home *home, const struct account *account,
	const struct warden_request *request, int content_fd, const char *host,
	struct warden_report *into)
{
	char socket_path[HOME_NAME_MAX];
	char trace[2 * RESOLVE_TEXT_MAX + 64];
	struct work work = {.home = home,
		.account = account,
		.request = request,
		.host = host,
		.message = {.fd = content_fd,
			.offset = request->content_offset,
			.octets = request->content_octets,
			.trace = trace,
			.host = host},
		.report = into};

	*into = (struct warden_report){0};
	umask(077);
	signal(SIGPIPE, SIG_IGN); /* a queue that goes away is an answer */
	if (check_request(&work) < 0 || check_loop(&work) < 0)
		return false;
	prepare(&work, home_path(home, "socket/submit", socket_path));
	snprintf(trace, sizeof trace, "Return-Path: <%s>\nDelivered-To: %s\n",
		request->reverse_path, request->address);
	work.folder = open_home(account, into);
	if (work.folder < 0)
		return false;
	find_and_follow(&work);
	forward_free(&work.forward);
	close(work.folder);
	return into->outcome == OUTCOME_DELIVERED && work.programs == 0 &&
	       work.forwards == 0;
}

int
deliver_lookup(const struct account *account,
	const struct warden_request *request, struct warden_report *into)
{
	char why[WHY_SIZE];
	struct instructions_file file;

	*into = (struct warden_report){0};
	if (!names_are_sound(request)) {
		(void)report(into, OUTCOME_DEFERRED,
			"4.3.5 the look-up request is malformed");
		return (int)into->outcome;
	}
	int folder = open_home(account, into);
	if (folder < 0)
		return (int)into->outcome;
	switch (instructions_find(folder, request->dash, request->extension,
		&file, why, sizeof why)) {
	case INSTRUCTIONS_FOUND:
		close(file.fd);
		(void)report(into, OUTCOME_DELIVERED, "2.1.5 %s", file.name);
		break;
	case INSTRUCTIONS_EMPTY:
		(void)report(into, OUTCOME_DELIVERED, "2.1.5 %s", file.name);
		break;
	case INSTRUCTIONS_NONE:
		if (is_own_address(request))
			(void)report(into, OUTCOME_DELIVERED, "2.1.5 default");
		else
			(void)report(into, OUTCOME_FAILED,
				"5.1.1 there is no mailbox of that name");
		break;
	case INSTRUCTIONS_TROUBLE:
		(void)report(into, OUTCOME_DEFERRED, "%s", why);
		break;
	}
	close(folder);
	return (int)into->outcome;
}
