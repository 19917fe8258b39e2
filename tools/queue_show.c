#include "tools/queue_show.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "lib/date.h"
#include "lib/escape.h"
#include "lib/outcome.h"
#include "queue/message_file.h"
#include "tools/json.h"
#include "tools/queue_walk.h"

struct show {
	int queue_folder;
	enum show_form form;
	const struct criteria *criteria; /* NULL: all */
	uint64_t now_us;
	unsigned long messages, recipients;
};

static const char *
outcome_word(enum outcome outcome)
{
	if ((int)outcome == 0)
		return "waiting";
	switch (outcome) {
	case OUTCOME_DEFERRED:
		return "deferred";
	case OUTCOME_DELIVERED:
		return "delivered";
	case OUTCOME_RELAYED:
		return "relayed";
	case OUTCOME_FAILED:
		return "failed";
	case OUTCOME_EXPANDED:
		return "expanded";
	case OUTCOME_RELAYED_DSN:
		return "relayed";
	case OUTCOME_DISCARDED:
		return "discarded";
	}
	return "?";
}

static void
print_escaped(const char *text)
{
	char line[OUTCOME_TEXT_MAX * 4 + 1];

	escape_line(line, sizeof(line), text, strlen(text), ESCAPE_HEX);
	fputs(line, stdout);
}

static void
print_recipient(const struct recipient *recipient,
	const struct message_recipient_state *state)
{
	printf("    %-9s  ", outcome_word(state->outcome));
	print_escaped(recipient->address);
	if (state->attempts > 0)
		printf(", %" PRIu32 " attempt%s", state->attempts,
			state->attempts == 1 ? "" : "s");
	if (state->outcome == OUTCOME_DEFERRED && state->next_due_ms > 0) {
		char date[DATE_OCTETS + 1];

		date_write(date, (int64_t)(state->next_due_ms / 1000));
		printf(", next %s", date);
	}
	if (state->text != NULL && state->text[0] != '\0') {
		fputs("\n        ", stdout);
		print_escaped(state->text);
	}
	putchar('\n');
}

static void
print_message(const struct queue_entry *entry,
	const struct message_file *message, struct show *show)
{
	char date[DATE_OCTETS + 1];

	date_write(date, (int64_t)(message->header.arrival_us / 1000000));
	printf("%s  %" PRIu64 " octets  %s  %s  <", entry->id,
		message->header.content_octets, date, entry->folder);
	print_escaped(message->envelope.reverse_path);
	puts(">");
	if (message->route != NULL) {
		fputs("    routed to ", stdout);
		print_escaped(message->route);
		putchar('\n');
	}
	for (uint32_t i = 0; i < message->envelope.recipients; i++)
		print_recipient(
			&message->envelope.recipient[i], &message->state[i]);
	show->recipients += message->envelope.recipients;
}

static void
print_json_recipient(const struct recipient *recipient,
	const struct message_recipient_state *state)
{
	fputs("{\"address\":", stdout);
	json_text(recipient->address);
	printf(",\"outcome\":\"%s\",\"attempts\":%" PRIu32,
		outcome_word(state->outcome), state->attempts);
	if (state->outcome == OUTCOME_DEFERRED && state->next_due_ms > 0)
		printf(",\"next\":%" PRIu64, state->next_due_ms / 1000);
	if (state->text != NULL && state->text[0] != 0) {
		fputs(",\"text\":", stdout);
		json_text(state->text);
	}
	putchar('}');
}

static void
print_json(const struct queue_entry *entry, const struct message_file *message,
	struct show *show)
{
	printf("{\"id\":\"%s\",\"folder\":\"%s\",\"arrival\":%" PRIu64
	       ",\"octets\":%" PRIu64 ",\"sender\":",
		entry->id, entry->folder, message->header.arrival_us / 1000000,
		message->header.content_octets);
	json_text(message->envelope.reverse_path);
	if (message->route != NULL) {
		fputs(",\"route\":", stdout);
		json_text(message->route);
	}
	fputs(",\"recipients\":[", stdout);
	for (uint32_t i = 0; i < message->envelope.recipients; i++) {
		if (i > 0)
			putchar(',');
		print_json_recipient(
			&message->envelope.recipient[i], &message->state[i]);
	}
	puts("]}");
	show->recipients += message->envelope.recipients;
}

/* A file that is no message, or none yet: nobody can say whether it is meant by
 * what is asked of its content. */
static void
print_odd(struct show *show, const struct queue_entry *entry, const char *what,
	const char *why)
{
	if (show->criteria != NULL && criteria_of_content(show->criteria))
		return;
	show->messages++;
	if (show->form == SHOW_TEXT) {
		printf("%s  in %s %s%s%s\n", entry->id, entry->folder, what,
			why[0] != 0 ? ": " : "", why);
		return;
	}
	printf("{\"id\":\"%s\",\"folder\":\"%s\",\"error\":", entry->id,
		entry->folder);
	json_text(what);
	puts("}");
}

static void
print_if_so(struct show *show, const struct queue_entry *entry,
	const struct message_file *message)
{
	if (show->criteria != NULL &&
		!criteria_match_message(show->criteria, message, show->now_us))
		return;
	show->messages++;
	if (show->form == SHOW_JSON)
		print_json(entry, message, show);
	else
		print_message(entry, message, show);
}

static void
show_entry(void *context, const struct queue_entry *entry)
{
	struct show *show = context;
	struct message_header header;
	struct message_file message;

	if (show->criteria != NULL &&
		!criteria_match_place(show->criteria, entry->id, entry->folder))
		return;
	int fd = openat(show->queue_folder, entry->path,
		O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		/* It has moved on since the folder was read. */
		if (errno != ENOENT)
			print_odd(
				show, entry, "cannot be read", strerror(errno));
		return;
	}
	if (strcmp(entry->folder, QUEUE_INCOMING) == 0 &&
		(message_read_header(fd, &header) != MESSAGE_OK ||
			!header.marked)) {
		print_odd(show, entry, "is being written", "");
		close(fd);
		return;
	}
	switch (message_read(fd, 0, &message)) {
	case MESSAGE_OK:
		print_if_so(show, entry, &message);
		message_free(&message);
		break;
	case MESSAGE_BAD:
		print_odd(show, entry, "is not a sound message file", "");
		break;
	case MESSAGE_ERROR:
		print_odd(show, entry, "cannot be read", strerror(errno));
		break;
	}
	close(fd);
}

int
queue_show(const char *program, enum show_form form,
	const struct criteria *criteria)
{
	struct show show = {.queue_folder = queue_walk_open(program),
		.form = form,
		.criteria = criteria,
		.now_us = criteria_now_us()};
	char bad[LAYOUT_PATH_MAX];
	int status = STATUS_DONE;

	if (show.queue_folder < 0)
		return STATUS_TEMPORARY;
	if (queue_walk(show.queue_folder, show_entry, &show, bad) < 0) {
		fprintf(stderr, "%s: queue/%s: %s\n", program, bad,
			strerror(errno));
		status = STATUS_TEMPORARY;
	} else if (form == SHOW_JSON) {
		/* nothing but objects */
	} else if (show.messages == 0) {
		puts(criteria != NULL && criteria_any(criteria)
				? "No message is so."
				: "The queue is empty.");
	} else {
		printf("%lu message%s, %lu recipient%s.\n", show.messages,
			show.messages == 1 ? "" : "s", show.recipients,
			show.recipients == 1 ? "" : "s");
	}
	close(show.queue_folder);
	if (fflush(stdout) != 0 || ferror(stdout))
		status = STATUS_TEMPORARY;
	return status;
}
