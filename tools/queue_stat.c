/*
 * queue-stat prints how many messages are in the queue: the two lines that
 * qmail-qstat prints, which monitors read, then a line a state.
 *
 * Runs as whoever calls it; needs to read the queue folder (root, or a member of
 * the group keep-read).
 * Is handed nothing.
 * Promises to change nothing, and to open no message but for --domains.
 * Never opens a file for writing.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/outcome.h"
#include "tools/queue_domains.h"
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

static void
print_text(const unsigned long *count, unsigned long all)
{
	/* What the runner has not taken yet stands in the first folder. */
	printf("messages in queue: %lu\n", all);
	printf("messages in queue but not yet preprocessed: %lu\n", count[0]);
	for (unsigned i = 0; queue_walk_folder[i] != NULL; i++)
		printf("%s: %lu\n", queue_walk_folder[i], count[i]);
}

static void
print_json(const unsigned long *count, unsigned long all)
{
	printf("{\"messages\":%lu,\"folders\":{", all);
	for (unsigned i = 0; queue_walk_folder[i] != NULL; i++)
		printf("%s\"%s\":%lu", i > 0 ? "," : "", queue_walk_folder[i],
			count[i]);
	puts("}}");
}

static int
show_folders(int queue_folder, bool is_json)
{
	unsigned long count[FOLDERS_MAX] = {0}, all = 0;
	char bad[LAYOUT_PATH_MAX];

	if (queue_walk(queue_folder, count_entry, count, bad) < 0) {
		fprintf(stderr, "queue-stat: queue/%s: %s\n", bad,
			strerror(errno));
		return STATUS_TEMPORARY;
	}
	for (unsigned i = 0; queue_walk_folder[i] != NULL; i++)
		all += count[i];
	if (is_json)
		print_json(count, all);
	else
		print_text(count, all);
	return STATUS_DONE;
}

int
main(int argc, char **argv)
{
	bool is_json = false, of_domains = false;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--json") == 0) {
			is_json = true;
		} else if (strcmp(argv[i], "--domains") == 0) {
			of_domains = true;
		} else {
			fputs("usage: queue-stat [--domains] [--json]\n",
				stderr);
			return STATUS_MISUSE;
		}
	int queue_folder = queue_walk_open("queue-stat");
	if (queue_folder < 0)
		return STATUS_TEMPORARY;
	int status = of_domains ? queue_domains_show(
					  "queue-stat", queue_folder, is_json)
				: show_folders(queue_folder, is_json);
	if (fflush(stdout) != 0 || ferror(stdout))
		status = STATUS_TEMPORARY;
	return status;
}
