/*
 * queue-stat prints how many messages are in the queue: the two lines that
 * qmail-qstat prints, which monitors read, then a line a state.
 *
 * Runs as whoever calls it; needs to read the queue folder (root, or a member of
 * the group keep-read).
 * Is handed nothing.
 * Promises to change nothing, and to open no message.
 * Never opens a file for writing.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/outcome.h"
#include "tools/queue_walk.h"

#define FOLDERS_MAX 8

static void
count_entry(void *context, const struct queue_entry *entry)
{
	unsigned long *count = context;

	for (unsigned i = 0; queue_walk_folder[i] != NULL; i++)
		if (entry->folder == queue_walk_folder[i])
			count[i]++;
}

int
main(int argc, char **argv)
{
	unsigned long count[FOLDERS_MAX] = {0}, all = 0;
	char bad[LAYOUT_PATH_MAX];
	int queue_folder;

	(void)argv;
	if (argc > 1) {
		fputs("usage: queue-stat\n", stderr);
		return STATUS_MISUSE;
	}
	queue_folder = queue_walk_open("queue-stat");
	if (queue_folder < 0)
		return STATUS_TEMPORARY;
	if (queue_walk(queue_folder, count_entry, count, bad) < 0) {
		fprintf(stderr, "queue-stat: queue/%s: %s\n", bad,
			strerror(errno));
		return STATUS_TEMPORARY;
	}
	for (unsigned i = 0; queue_walk_folder[i] != NULL; i++)
		all += count[i];
	/* What the runner has not taken yet stands in the first folder. */
	printf("messages in queue: %lu\n", all);
	printf("messages in queue but not yet preprocessed: %lu\n", count[0]);
	for (unsigned i = 0; queue_walk_folder[i] != NULL; i++)
		printf("%s: %lu\n", queue_walk_folder[i], count[i]);
	return fflush(stdout) == 0 ? STATUS_DONE : STATUS_TEMPORARY;
}
