#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "compat/names.h"
#include "lib/escape.h"
#include "lib/home.h"
#include "lib/ours.h"
#include "lib/outcome.h"
#include "lib/settings.h"
#include "queue/message_file.h"
#include "tools/queue_walk.h"

#define NAME "qmail-qread"

struct values {
	char *me;
	struct setting_list locals, virtualdomains;
};

struct reading {
	int queue_folder;
	struct ours ours;
};

static const struct setting settings[] = {
	{.name = "me",
		.kind = SETTING_HOST,
		.offset = offsetof(struct values, me),
		.meaning = "this host's name"},
	{.name = "locals",
		.kind = SETTING_LIST,
		.offset = offsetof(struct values, locals),
		.meaning = "domains that are delivered here; me if missing"},
	{.name = "virtualdomains",
		.kind = SETTING_LIST,
		.offset = offsetof(struct values, virtualdomains),
		.meaning = "domains and users that others' instructions take"},
};

/* qmail's way with what a terminal must not see. */
static void
print_masked(const char *text)
{
	for (; *text != 0; text++)
		putchar(*text >= ' ' && *text <= '~' ? *text : '_');
}

static void
print_recipient(struct reading *reading, const struct recipient *recipient,
	const struct message_recipient_state *state)
{
	bool is_done =
		(int)state->outcome != 0 && outcome_is_final(state->outcome);
	bool is_local = ours_find_address(&reading->ours, recipient->address) !=
			OURS_NOT;

	printf("%s\t%s\t", is_done ? "  done" : "",
		is_local ? "local" : "remote");
	print_masked(recipient->address);
	putchar('\n');
}

static void
print_message(struct reading *reading, const struct message_file *message,
	uint64_t number)
{
	time_t arrival = (time_t)(message->header.arrival_us / 1000000);
	bool is_bouncing = false;
	char date[40];
	struct tm utc;

	for (uint32_t i = 0; i < message->envelope.recipients; i++)
		is_bouncing |= message->state[i].outcome == OUTCOME_FAILED &&
			       !message->state[i].told;
	if (gmtime_r(&arrival, &utc) == NULL ||
		strftime(date, sizeof date, " %b %Y %H:%M:%S GMT", &utc) == 0)
		date[0] = 0;
	printf("%d%s  #%" PRIu64 "  %" PRIu64 "  <", utc.tm_mday, date, number,
		message->header.content_octets);
	print_masked(message->envelope.reverse_path);
	printf("> %s\n", is_bouncing ? " bouncing" : "");
	for (uint32_t i = 0; i < message->envelope.recipients; i++)
		print_recipient(reading, &message->envelope.recipient[i],
			&message->state[i]);
}

static void
read_entry(void *context, const struct queue_entry *entry)
{
	struct reading *reading = context;
	struct message_header header;
	struct message_file message;
	struct stat status;
	int fd = openat(reading->queue_folder, entry->path,
		O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	/* It has moved on, or is being written: qmail would not show it, too. */
	if (fd < 0 && errno == ENOENT)
		return;
	if (fd >= 0 && strcmp(entry->folder, QUEUE_INCOMING) == 0 &&
		(message_read_header(fd, &header) != MESSAGE_OK ||
			!header.marked)) {
		close(fd);
		return;
	}
	if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
		message_read(fd, 0, &message) == MESSAGE_OK) {
		print_message(reading, &message, status.st_ino);
		message_free(&message);
	} else {
		printf("warning: trouble with #%s: it cannot be read\n",
			entry->id);
	}
	if (fd >= 0)
		close(fd);
}

static int
configure(struct reading *reading)
{
	char folder[HOME_NAME_MAX], why[400];
	struct values values = {0};
	struct home home;
	int result = -1;

	if (home_open(&home, why, sizeof why) == 0 &&
		settings_read(settings, SETTINGS_COUNT(settings),
			home_path(&home, "control", folder), &values, why,
			sizeof why) == 0)
		result = ours_build(&reading->ours, &home, values.me,
			&values.locals, &values.virtualdomains, why,
			sizeof why);
	settings_free(settings, SETTINGS_COUNT(settings), &values);
	return result < 0 ? names_fail(STATUS_TEMPORARY, NAME, why, "") : 0;
}

int
qread_main(int argc, char **argv)
{
	char bad[LAYOUT_PATH_MAX];
	struct reading reading = {0};

	(void)argv;
	if (argc > 1)
		return names_fail(STATUS_MISUSE, NAME, "it has no options", "");
	reading.queue_folder = queue_walk_open(NAME);
	if (reading.queue_folder < 0)
		return STATUS_TEMPORARY;
	int status = configure(&reading);
	if (status == 0) {
		if (queue_walk(reading.queue_folder, read_entry, &reading,
			    bad) < 0)
			status = names_fail(
				STATUS_TEMPORARY, NAME, strerror(errno), bad);
		ours_free(&reading.ours);
	}
	close(reading.queue_folder);
	if (fflush(stdout) != 0)
		status = STATUS_TEMPORARY;
	return status;
}
