/*
 * queue-list prints what is in the queue.
 *
 * Runs as whoever calls it; needs to read the queue folder (root, or a member of
 * the group keep-read).
 * Is handed nothing.
 * Promises to change nothing.
 * Never opens a file for writing.
 */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "lib/outcome.h"
#include "tools/queue_show.h"

int
main(int argc, char **argv)
{
	bool is_json = argc == 2 && strcmp(argv[1], "--json") == 0;

	if (argc > 1 && !is_json) {
		fputs("usage: queue-list [--json]\n", stderr);
		return STATUS_MISUSE;
	}
	return queue_show("queue-list", is_json ? SHOW_JSON : SHOW_TEXT);
}
