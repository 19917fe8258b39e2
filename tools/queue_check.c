/*
 * queue-check looks for whatever is in the queue and not in the table of states
 * (doc/queue.md), and mends it if asked to.
 *
 * Runs as root; in private mode, as the home's owner.
 * Is handed nothing.
 * Promises never to delete an accepted message: what is doubtful goes to
 * doubtful/, and what is mended is looked at again just before.
 * Never follows a link, and without --repair never changes a thing.
 */

#include "tools/queue_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include "lib/descriptors.h"
#include "lib/escape.h"
#include "lib/outcome.h"
#include "queue/layout.h"
#include "tools/queue_walk.h"

/* Exit status: something was found, and stands. */
#define STATUS_FOUND 1

/* States change while the queue runs: what is found must still stand after so
 * long. Far more than a move, or the handing out of a job, takes. */
#define SECOND_LOOK_MS 2000

struct options {
	bool repair, json;
};

/* --- output --- */

/* Text in a JSON string; what comes in is printable ASCII. */
static void
print_json(const char *name, const char *text, const char *after)
{
	printf("\"%s\": \"", name);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	printf("\"%s", after);
}

static void
print_finding(const struct options *options,
	const struct check_finding *finding, const char *repair)
{
	char path[CHECK_PATH_MAX * 4], other[CHECK_PATH_MAX * 4];

	escape_line(path, sizeof path, finding->path, strlen(finding->path),
		ESCAPE_HEX);
	escape_line(other, sizeof other, finding->other, strlen(finding->other),
		ESCAPE_HEX);
	if (!options->json) {
		printf("%s: %s%s%s; %s%s\n", path,
			check_sentence(finding->what), other[0] ? ": " : "",
			other, options->repair ? "" : "--repair: ", repair);
		return;
	}
	putchar('{');
	print_json("path", path, ", ");
	print_json("what", check_word(finding->what), ", ");
	if (other[0] != 0)
		print_json("other", other, ", ");
	print_json("repair", repair, "}\n");
}

/* --- the two looks --- */

static bool
is_among(const struct check_finding *list, size_t count,
	const struct check_finding *finding)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].what == finding->what &&
			list[i].device == finding->device &&
			list[i].inode == finding->inode &&
			strcmp(list[i].path, finding->path) == 0 &&
			strcmp(list[i].other, finding->other) == 0)
			return true;
	return false;
}

/* Looks; and if something was found, looks again and keeps what stands. */
static void
look_twice(struct check *check)
{
	struct timespec pause = {
		SECOND_LOOK_MS / 1000, SECOND_LOOK_MS % 1000 * 1000000L};

	(void)check_look(check);
	struct check_finding *first = check->finding;
	size_t firsts = check->findings, kept = 0;
	if (firsts == 0)
		return;
	check->finding = NULL;
	check->findings = check->findings_room = 0;
	while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
		continue;
	(void)check_look(check);
	for (size_t i = 0; i < check->findings; i++)
		if (is_among(first, firsts, &check->finding[i]))
			check->finding[kept++] = check->finding[i];
	check->findings = kept;
	free(first);
}

/* --- the whole --- */

static int
report(struct check *check, const struct options *options, bool is_stopped)
{
	int status = STATUS_DONE;
	char done[300];

	for (size_t i = 0; i < check->findings; i++) {
		const struct check_finding *finding = &check->finding[i];
		const char *repair = check_remedy(finding->what);

		if (options->repair) {
			if (!check_mend(check, finding, is_stopped, done,
				    sizeof done))
				status = STATUS_FOUND;
			repair = done;
		} else {
			status = STATUS_FOUND;
		}
		print_finding(options, finding, repair);
	}
	if (check->is_unread) {
		fprintf(stderr, "queue-check: queue/%s: %s\n", check->unread,
			strerror(check->error));
		status = STATUS_TEMPORARY;
	}
	if (fflush(stdout) != 0 || ferror(stdout))
		status = STATUS_TEMPORARY;
	return status;
}

/* True if no runner has this queue; it cannot start then while we run. */
static bool
lock_runner_out(const struct check *check)
{
	int fd = check_open_folder(check->queue, QUEUE_ACTIVE);

	/* The descriptor stays open to the end, and the lock with it. */
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static int
take_options(int argc, char **argv, struct options *options)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--repair") == 0)
			options->repair = true;
		else if (strcmp(argv[i], "--json") == 0)
			options->json = true;
		else
			return -1;
	return 0;
}

int
main(int argc, char **argv)
{
	struct options options = {0};
	struct check check = {0};
	bool is_stopped = false;
	struct home home;
	char why[400];

	if (take_options(argc, argv, &options) < 0) {
		fputs("usage: queue-check [--repair] [--json]\n", stderr);
		return STATUS_MISUSE;
	}
	if (descriptors_ensure_standard() < 0)
		return STATUS_TEMPORARY;
	if (home_open(&home, why, sizeof why) < 0 ||
		check_owners_known(&home, why, sizeof why) < 0) {
		fprintf(stderr, "queue-check: %s\n", why);
		return STATUS_TEMPORARY;
	}
	check.home = &home;
	check.queue = queue_walk_open("queue-check");
	if (check.queue < 0)
		return STATUS_TEMPORARY;
	if (options.repair) {
		is_stopped = lock_runner_out(&check);
		if (!is_stopped)
			fputs("queue-check: queue-runner runs: only what it "
			      "cannot have in hand is mended\n",
				stderr);
	}
	look_twice(&check);
	int status = report(&check, &options, is_stopped);
	check_free(&check);
	return status;
}
