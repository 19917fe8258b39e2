/*
 * queue-list prints what is in the queue.
 *
 * Runs as whoever calls it; needs to read the queue folder (root, or a member of
 * the group keep-read).
 * Is handed nothing.
 * Promises to change nothing.
 * Never opens a file for writing.
 */

#include <stdio.h>
#include "lib/outcome.h"
#include "tools/queue_show.h"

int
main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		fputs("usage: queue-list\n", stderr);
		return STATUS_MISUSE;
	}
	return queue_show("queue-list");
}
