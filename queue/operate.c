#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "queue/runner.h"

/*
 * Operations of administrators, one message at a time, wherever it is. What it
 * has in hand at a channel comes to its end first: nobody can call back a message
 * that another host may have taken already.
 */

struct operating {
	struct runner *runner;
	const struct request *request;
	uid_t uid;
	const char *id;
	const char **why;
};

static enum operated
refuse(const struct operating *op, const char *why)
{
	*op->why = why;
	return OPERATE_REFUSED;
}

static enum operated
done(const struct operating *op, const char *what)
{
	*op->why = what;
	return OPERATE_DONE;
}

/* --- where it is --- */

static bool
is_there(const struct runner *runner, const char *path)
{
	struct stat st;

	return fstatat(runner->queue, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

/* Where the message is that is not in memory, as far as that is quick to say. */
static bool
look_up(const struct runner *runner, const struct request_id *asked,
	char place[LAYOUT_PATH_MAX])
{
	static const char *const FOLDER[] = {
		QUEUE_HELD, QUEUE_INCOMING, QUEUE_ACTIVE, QUEUE_DOUBTFUL};

	for (size_t i = 0; i < sizeof FOLDER / sizeof FOLDER[0]; i++) {
		layout_message(FOLDER[i], asked->id, place);
		if (is_there(runner, place))
			return true;
	}
	snprintf(place, LAYOUT_PATH_MAX, "%s", asked->place);
	return place[0] != 0 && is_there(runner, place);
}

static bool
is_in(const char *place, const char *folder)
{
	size_t length = strlen(folder);

	return strncmp(place, folder, length) == 0 && place[length] == '/';
}

/* --- what is done to a message in memory --- */

static bool
is_final(const struct message_recipient_state *state)
{
	return state->outcome != 0 && outcome_is_final(state->outcome);
}

static bool
is_at_end(const struct message *message)
{
	for (uint32_t i = 0; i < message->file.envelope.recipients; i++)
		if (!is_final(&message->file.state[i]))
			return false;
	return true;
}

/* Gives every recipient that has none a final outcome. 0, or -1. */
static int
end_all(const struct operating *op, struct message *message,
	enum outcome outcome, const char *text)
{
	uint32_t recipients = message->file.envelope.recipients, count = 0;
	uint32_t *recipient = calloc(recipients, sizeof *recipient);
	int result = recipient == NULL ? -1 : 0;

	for (uint32_t i = 0; result == 0 && i < recipients; i++)
		if (!is_final(&message->file.state[i]))
			recipient[count++] = i;
	if (count > 0)
		result = results_record(op->runner, message, recipient, count,
			outcome, 0, text);
	free(recipient);
	return result;
}

/* Its destinations are tried now, whatever they did. */
static void
retry_flows(struct runner *runner, const struct message *message)
{
	const struct envelope *envelope = &message->file.envelope;

	for (uint32_t i = 0; i < envelope->recipients; i++) {
		struct flow *flow = NULL;

		if (!is_final(&message->file.state[i]))
			flow = pick_flow(runner, message,
				envelope->recipient[i].address);
		if (flow != NULL)
			flow_retry_now(flow, deadline_now_ms());
	}
}

static void
make_due(struct runner *runner, struct message *message)
{
	message->due_before_ms = runner_now_ms();
	retry_flows(runner, message);
}

/* Records where its remote recipients go from now on. 0, or -1. */
static int
record_route(const struct operating *op, struct message *message)
{
	const char *text = op->request->text;
	char *copy = text[0] == 0 ? NULL : strdup(text);
	stralloc records = STRALLOC_ZERO;
	int result = text[0] != 0 && copy == NULL ? -1 : 0;

	if (result == 0)
		result = message_pack_route(&records, text);
	if (result == 0)
		result = message_append(message->fd, &message->file, &records);
	stralloc_free(&records);
	if (result < 0) {
		log_line("cannot record the route of msg %s: %s", message->id,
			strerror(errno));
		free(copy);
		return -1;
	}
	free(message->file.route);
	message->file.route = copy;
	return 0;
}

/* Records the end of all recipients; the next step tells the sender what there
 * is to tell, and lets it go. */
static enum operated
end(const struct operating *op, struct message *message)
{
	bool is_bounce = op->request->operation == REQUEST_BOUNCE;
	char text[REQUEST_TEXT_MAX + 20], place[LAYOUT_PATH_MAX];

	if (!is_bounce)
		snprintf(text, sizeof text, "deleted on request of uid %u",
			(unsigned)op->uid);
	else
		snprintf(text, sizeof text, "5.0.0 %s",
			op->request->text[0] != 0
				? op->request->text
				: "returned by the administrator");
	picks_drop(op->runner, message);
	if (end_all(op, message, is_bounce ? OUTCOME_FAILED : OUTCOME_DISCARDED,
		    text) < 0)
		return refuse(op, "it could not be recorded: see the log");
	/* from where it lies it must not come back to work with less */
	layout_message(QUEUE_ACTIVE, message->id, place);
	if (strcmp(message->place, place) != 0 &&
		(fdatasync(message->fd) < 0 ||
			message_move(op->runner, message, place) < 0)) {
		message_forget(op->runner, message);
		return refuse(op, "it could not be moved: see the log");
	}
	message_list(op->runner, message);
	return done(op, is_bounce ? "bounced" : "deleted");
}

/* Its channels have nothing of it. Takes it out of memory. */
static enum operated
hold(const struct operating *op, struct message *message)
{
	struct runner *runner = op->runner;
	char place[LAYOUT_PATH_MAX];

	picks_drop(runner, message);
	if (message->is_dirty || message->jobs > 0) {
		/* what was recorded is made durable, and its job files go */
		message->is_asked = true;
		commit_note(runner, message);
		commit_all(runner);
		message = message_find(runner, op->id);
		if (message == NULL)
			return refuse(op, "it has come to its end");
		message->is_asked = false;
	}
	layout_message(QUEUE_HELD, op->id, place);
	if (message_move(runner, message, place) < 0) {
		message_list(runner, message);
		return refuse(op, "it could not be moved: see the log");
	}
	message_forget(runner, message);
	return done(op, "held");
}

static enum operated
operate_in_memory(const struct operating *op, struct message *message)
{
	switch (op->request->operation) {
	case REQUEST_RELEASE:
		return refuse(op, "it is not held");
	case REQUEST_RETRY:
		make_due(op->runner, message);
		message_list(op->runner, message);
		return done(op, "due now");
	case REQUEST_ROUTE:
		if (record_route(op, message) < 0)
			return refuse(op, "it could not be recorded: see the "
					  "log");
		picks_drop(op->runner, message);
		make_due(op->runner, message);
		commit_note(op->runner, message);
		message_list(op->runner, message);
		return done(op, "routed");
	default:
		break;
	}
	if (message->jobs_out > 0) {
		/* what it has in hand no more comes back here (active.c) */
		picks_drop(op->runner, message);
		message->is_asked = true;
		return OPERATE_LATER;
	}
	message->is_asked = false;
	if (is_at_end(message)) {
		message_list(op->runner, message);
		return refuse(op, "it has come to its end");
	}
	return op->request->operation == REQUEST_HOLD ? hold(op, message)
						      : end(op, message);
}

/* --- what is done to a message that lies in a folder --- */

static enum operated
hold_file(const struct operating *op, const char *place)
{
	char held[LAYOUT_PATH_MAX];

	layout_message(QUEUE_HELD, op->id, held);
	if (renameat(op->runner->queue, place, op->runner->queue, held) == 0)
		return done(op, "held");
	if (errno == ENOENT)
		return OPERATE_LOST;
	log_line("cannot move %s to %s: %s", place, held, strerror(errno));
	return refuse(op, "it could not be moved: see the log");
}

/* Loads it from where it is. NULL: *result says why. */
static struct message *
load(const struct operating *op, const char *place, enum operated *result)
{
	int fd = openat(op->runner->queue, place,
		O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		*result = OPERATE_LATER;
		return NULL;
	}
	if (fd < 0 && errno == ENOENT) {
		*result = OPERATE_LOST;
		return NULL;
	}
	if (fd < 0) {
		log_line("cannot open %s: %s", place, strerror(errno));
		*result = refuse(op, "it cannot be opened: see the log");
		return NULL;
	}
	struct message *message =
		message_load(op->runner, op->id, place, fd, false);
	if (message == NULL)
		*result = refuse(op, "it cannot be read: see the log");
	return message;
}

static enum operated
route_held(const struct operating *op, struct message *message)
{
	bool is_recorded =
		record_route(op, message) == 0 && fdatasync(message->fd) == 0;

	message_forget(op->runner, message);
	return is_recorded
		       ? done(op, "routed; it is held")
		       : refuse(op, "it could not be recorded: see the log");
}

static enum operated
operate_on_file(const struct operating *op, const char *place)
{
	enum request_operation what = op->request->operation;
	bool is_held = is_in(place, QUEUE_HELD);
	enum operated result;

	if (is_held && what == REQUEST_HOLD)
		return done(op, "held already");
	if (is_held && what == REQUEST_RETRY)
		return refuse(op, "it is held: release it first");
	if (!is_held && what == REQUEST_RELEASE)
		return refuse(op, "it is not held");
	if (what == REQUEST_HOLD)
		return hold_file(op, place);
	struct message *message = load(op, place, &result);
	if (message == NULL)
		return result;
	if (what == REQUEST_DELETE || what == REQUEST_BOUNCE)
		return end(op, message);
	if (is_held && what == REQUEST_ROUTE)
		return route_held(op, message);
	if (what == REQUEST_ROUTE && record_route(op, message) < 0) {
		message_forget(op->runner, message);
		return refuse(op, "it could not be recorded: see the log");
	}
	if (what == REQUEST_ROUTE && fdatasync(message->fd) < 0)
		log_line("alarm: %s: sync: %s", place, strerror(errno));
	make_due(op->runner, message);
	admit(op->runner, message, false);
	return done(op, what == REQUEST_ROUTE	  ? "routed"
			: what == REQUEST_RELEASE ? "released"
						  : "due now");
}

enum operated
operate(struct runner *runner, const struct request *request, uid_t uid,
	const struct request_id *asked, const char **why)
{
	struct operating op = {runner, request, uid, asked->id, why};
	struct message *message = message_find(runner, asked->id);
	char place[LAYOUT_PATH_MAX];

	if (message == NULL && !look_up(runner, asked, place))
		return OPERATE_LOST;
	if (message == NULL && is_in(place, QUEUE_INCOMING)) {
		scan_take(runner, asked->id, false);
		message = message_find(runner, asked->id);
		if (message == NULL && is_there(runner, place))
			return refuse(&op, "it is not accepted yet");
		if (message == NULL)
			return OPERATE_LOST; /* it waits now */
	}
	if (message != NULL)
		return operate_in_memory(&op, message);
	if (is_in(place, QUEUE_DOUBTFUL))
		return refuse(&op, "it is doubtful: its file is not sound");
	return operate_on_file(&op, place);
}
