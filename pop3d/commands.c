#include "pop3d/commands.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "pop3d/language.h"
#include "pop3d/number.h"
#include "pop3d/retrieve.h"

/* The longest line of an answer with its CRLF (RFC 1939 section 3). */
#define ANSWER_MAX 512
#define ARGUMENTS_MAX 2
/* For a command that is refused with whatever arguments it has. */
#define ANY_ARGUMENTS 255

struct arguments {
	size_t count; /* may be more than are kept */
	const char *text[ARGUMENTS_MAX];
	size_t length[ARGUMENTS_MAX];
};

struct verb {
	const char *word;
	size_t least, most; /* arguments */
	enum pop3_next (*handle)(
		struct pop3_state *state, const struct arguments *arguments);
};

static enum pop3_next
put(struct pop3_state *state, const char *octets, size_t length)
{
	if (output_put(&state->output, octets, length,
		    deadline_after_ms(POP3_IDLE_MS)) < 0)
		return POP3_LOST;
	return POP3_GO_ON;
}

enum pop3_next
pop3_answer(struct pop3_state *state, const char *format, ...)
{
	char line[ANSWER_MAX];
	va_list values;

	/* vsnprintf's NUL takes the place of the CR. */
	va_start(values, format);
	int length = vsnprintf(line, sizeof line - 1, format, values);
	va_end(values);
	if (length < 0)
		length = 0;
	if (length > ANSWER_MAX - 2)
		length = ANSWER_MAX - 2;
	line[length] = '\r';
	line[length + 1] = '\n';
	return put(state, line, (size_t)length + 2);
}

enum pop3_next
pop3_error(struct pop3_state *state, const char *text)
{
	if (++state->errors < POP3_ERRORS_MAX)
		return pop3_answer(state, "%s", text);
	return pop3_answer(state, "-ERR too many errors") == POP3_GO_ON
		       ? POP3_ENOUGH
		       : POP3_LOST;
}

static size_t
number_of(
	const struct pop3_state *state, const struct maildrop_message *message)
{
	return (size_t)(message - state->drop.message) + 1;
}

/*
 * The message that argument which names; NULL if there is none, and then *next
 * is what the answer -ERR led to.
 */
static struct maildrop_message *
named_message(struct pop3_state *state, const struct arguments *arguments,
	enum pop3_next *next)
{
	uint64_t number;

	if (!pop3_number(arguments->text[0], arguments->length[0], &number)) {
		*next = pop3_answer(state, "-ERR not a message number");
		return NULL;
	}
	if (number == 0 || number > state->drop.messages) {
		*next = pop3_answer(state, "-ERR no such message");
		return NULL;
	}
	struct maildrop_message *message = &state->drop.message[number - 1];
	if (message->deleted) {
		*next = pop3_answer(
			state, "-ERR message %zu is deleted", (size_t)number);
		return NULL;
	}
	return message;
}

/* Messages that are not marked as deleted, and their octets. */
static size_t
count_messages(struct pop3_state *state, uint64_t *octets)
{
	size_t count = 0;

	*octets = 0;
	for (size_t at = 0; at < state->drop.messages; at++) {
		struct maildrop_message *message = &state->drop.message[at];

		if (message->deleted)
			continue;
		count++;
		*octets += maildrop_octets(&state->drop, message);
	}
	return count;
}

static enum pop3_next
answer_stat(struct pop3_state *state, const struct arguments *arguments)
{
	uint64_t octets;
	size_t count = count_messages(state, &octets);

	(void)arguments;
	return pop3_answer(
		state, "+OK %zu %llu", count, (unsigned long long)octets);
}

/* One line of a list: number and size, or number and unique id. */
static enum pop3_next
list_size(struct pop3_state *state, const char *before,
	struct maildrop_message *message)
{
	return pop3_answer(state, "%s%zu %llu", before,
		number_of(state, message),
		(unsigned long long)maildrop_octets(&state->drop, message));
}

static enum pop3_next
list_uidl(struct pop3_state *state, const char *before,
	struct maildrop_message *message)
{
	char uidl[MAILDROP_UIDL_SIZE];

	maildrop_uidl(message, uidl);
	return pop3_answer(
		state, "%s%zu %s", before, number_of(state, message), uidl);
}

/* The lines of all messages that are not deleted, and the final dot. */
static enum pop3_next
list_all(struct pop3_state *state,
	enum pop3_next (*list)(struct pop3_state *state, const char *before,
		struct maildrop_message *message))
{
	for (size_t at = 0; at < state->drop.messages; at++) {
		struct maildrop_message *message = &state->drop.message[at];

		if (!message->deleted && list(state, "", message) != POP3_GO_ON)
			return POP3_LOST;
	}
	return pop3_answer(state, ".");
}

static enum pop3_next
answer_list(struct pop3_state *state, const struct arguments *arguments)
{
	enum pop3_next next;
	uint64_t octets;

	if (arguments->count == 0) {
		size_t count = count_messages(state, &octets);

		if (pop3_answer(state, "+OK %zu messages (%llu octets)", count,
			    (unsigned long long)octets) != POP3_GO_ON)
			return POP3_LOST;
		return list_all(state, list_size);
	}
	struct maildrop_message *message =
		named_message(state, arguments, &next);
	return message != NULL ? list_size(state, "+OK ", message) : next;
}

static enum pop3_next
answer_uidl(struct pop3_state *state, const struct arguments *arguments)
{
	enum pop3_next next;

	if (arguments->count == 0) {
		if (pop3_answer(state, "+OK unique ids follow") != POP3_GO_ON)
			return POP3_LOST;
		return list_all(state, list_uidl);
	}
	struct maildrop_message *message =
		named_message(state, arguments, &next);
	return message != NULL ? list_uidl(state, "+OK ", message) : next;
}

/* Octets that were put so far. */
static uint64_t
octets_put(const struct pop3_state *state)
{
	return state->output.written + state->output.used;
}

static enum pop3_next
send_message(struct pop3_state *state, struct maildrop_message *message,
	uint64_t lines)
{
	uint64_t before = octets_put(state);
	enum retrieve_result result = retrieve_message(&state->drop, message,
		&(struct retrieve_how){.lines = lines,
			.takes_utf8 = state->handover.takes_utf8 != 0,
			.idle_ms = POP3_IDLE_MS},
		&state->output);

	state->retrieved_octets += octets_put(state) - before;
	switch (result) {
	case RETRIEVE_SENT:
		if (lines != RETRIEVE_ALL)
			return POP3_GO_ON;
		message->retrieved = 1;
		state->retrieved++;
		if (state->last < number_of(state, message))
			state->last = number_of(state, message);
		return POP3_GO_ON;
	case RETRIEVE_NONE:
		if (errno == ENOENT)
			return pop3_answer(state,
				"-ERR [SYS/TEMP] message %zu is no longer "
				"there",
				number_of(state, message));
		log_line("cannot open %s: %s", message->name, strerror(errno));
		return pop3_answer(state,
			"-ERR [SYS/TEMP] message %zu cannot be read now",
			number_of(state, message));
	case RETRIEVE_TROUBLE:
		log_line("cannot read %s: %s", message->name, strerror(errno));
		return POP3_TROUBLE;
	case RETRIEVE_LOST:
		break;
	}
	return POP3_LOST;
}

static enum pop3_next
answer_retr(struct pop3_state *state, const struct arguments *arguments)
{
	enum pop3_next next;
	struct maildrop_message *message =
		named_message(state, arguments, &next);

	return message != NULL ? send_message(state, message, RETRIEVE_ALL)
			       : next;
}

static enum pop3_next
answer_top(struct pop3_state *state, const struct arguments *arguments)
{
	enum pop3_next next;
	uint64_t lines;

	if (!pop3_number(arguments->text[1], arguments->length[1], &lines))
		return pop3_answer(state, "-ERR not a number of lines");
	if (lines == RETRIEVE_ALL)
		lines--;
	struct maildrop_message *message =
		named_message(state, arguments, &next);
	return message != NULL ? send_message(state, message, lines) : next;
}

static enum pop3_next
answer_dele(struct pop3_state *state, const struct arguments *arguments)
{
	enum pop3_next next;
	struct maildrop_message *message =
		named_message(state, arguments, &next);

	if (message == NULL)
		return next;
	message->deleted = 1;
	return pop3_answer(
		state, "+OK message %zu deleted", number_of(state, message));
}

static enum pop3_next
answer_rset(struct pop3_state *state, const struct arguments *arguments)
{
	(void)arguments;
	for (size_t at = 0; at < state->drop.messages; at++)
		state->drop.message[at].deleted = 0;
	state->last = 0;
	return pop3_answer(state, "+OK %zu messages", state->drop.messages);
}

static enum pop3_next
answer_noop(struct pop3_state *state, const struct arguments *arguments)
{
	(void)arguments;
	return pop3_answer(state, "+OK");
}

/* RFC 1460: not offered, but some still ask. */
static enum pop3_next
answer_last(struct pop3_state *state, const struct arguments *arguments)
{
	(void)arguments;
	return pop3_answer(state, "+OK %zu", state->last);
}

static enum pop3_next
answer_lang(struct pop3_state *state, const struct arguments *arguments)
{
	return pop3_answer(state, "%s",
		pop3_language(arguments->text[0], arguments->length[0]));
}

/* What can be done before the login alone (USER, SASL, STLS) is left out. */
static enum pop3_next
answer_capa(struct pop3_state *state, const struct arguments *arguments)
{
	static const char TEXT[] =
		"+OK capabilities follow\r\n" POP3_CAPABILITIES "\r\n.\r\n";

	(void)arguments;
	return put(state, TEXT, sizeof TEXT - 1);
}

static enum pop3_next
answer_quit(struct pop3_state *state, const struct arguments *arguments)
{
	struct maildrop_update update;
	int failed = maildrop_update(&state->drop, &update) < 0;
	enum pop3_next next;

	(void)arguments;
	state->deleted = update.deleted;
	state->deleted_octets = update.octets;
	/* A client may come again as soon as it is answered. */
	maildrop_unlock(&state->drop);
	if (update.error != 0)
		log_line("update: %zu messages not deleted, %zu not moved to "
			 "cur: %s",
			update.remaining, update.unmoved,
			strerror(update.error));
	if (update.remaining > 0)
		next = pop3_answer(state,
			"-ERR [SYS/TEMP] %zu deleted messages remain",
			update.remaining);
	else if (failed)
		next = pop3_answer(
			state, "-ERR [SYS/TEMP] the deletions may not last");
	else
		next = pop3_answer(state, "+OK bye");
	return next == POP3_GO_ON ? POP3_QUIT : next;
}

static enum pop3_next
refuse_utf8(struct pop3_state *state, const struct arguments *arguments)
{
	(void)arguments;
	return pop3_answer(state, "-ERR UTF8 comes before the login");
}

static enum pop3_next
refuse_login(struct pop3_state *state, const struct arguments *arguments)
{
	(void)arguments;
	return pop3_answer(state, "-ERR you are logged in already");
}

static const struct verb VERBS[] = {
	{"STAT", 0, 0, answer_stat},
	{"LIST", 0, 1, answer_list},
	{"RETR", 1, 1, answer_retr},
	{"DELE", 1, 1, answer_dele},
	{"UIDL", 0, 1, answer_uidl},
	{"TOP", 2, 2, answer_top},
	{"NOOP", 0, 0, answer_noop},
	{"RSET", 0, 0, answer_rset},
	{"CAPA", 0, 0, answer_capa},
	{"QUIT", 0, 0, answer_quit},
	{"LAST", 0, 0, answer_last},
	{"LANG", 0, 1, answer_lang},
	{"UTF8", 0, ANY_ARGUMENTS, refuse_utf8},
	{"USER", 0, ANY_ARGUMENTS, refuse_login},
	{"PASS", 0, ANY_ARGUMENTS, refuse_login},
	{"APOP", 0, ANY_ARGUMENTS, refuse_login},
	{"AUTH", 0, ANY_ARGUMENTS, refuse_login},
	{"STLS", 0, ANY_ARGUMENTS, refuse_login},
};

/* Takes the next word from *line; 0 if there is none. */
static size_t
take_word(const char **line, const char *end, const char **word)
{
	while (*line < end && **line == ' ')
		(*line)++;
	*word = *line;
	while (*line < end && **line != ' ')
		(*line)++;
	return (size_t)(*line - *word);
}

static const struct verb *
find_verb(const char *word, size_t length)
{
	for (size_t at = 0; at < sizeof VERBS / sizeof VERBS[0]; at++)
		if (strlen(VERBS[at].word) == length &&
			strncasecmp(VERBS[at].word, word, length) == 0)
			return &VERBS[at];
	return NULL;
}

enum pop3_next
pop3_command(struct pop3_state *state, const char *line, size_t length)
{
	const char *end = line + length, *word;
	struct arguments arguments = {0};

	for (size_t at = 0; at < length; at++)
		if (line[at] < 32 || line[at] > 126)
			return pop3_error(
				state, "-ERR the line has odd octets in it");
	size_t octets = take_word(&line, end, &word);
	const struct verb *verb = find_verb(word, octets);
	if (verb == NULL)
		return pop3_error(state, "-ERR unknown command");
	while ((octets = take_word(&line, end, &word)) > 0) {
		if (arguments.count < ARGUMENTS_MAX) {
			arguments.text[arguments.count] = word;
			arguments.length[arguments.count] = octets;
		}
		arguments.count++;
	}
	if (arguments.count < verb->least)
		return pop3_answer(
			state, "-ERR %s needs an argument", verb->word);
	if (arguments.count > verb->most)
		return pop3_answer(
			state, "-ERR %s with too many arguments", verb->word);
	return verb->handle(state, &arguments);
}
