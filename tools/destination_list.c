/*
 * destination-list asks the runner what it knows of each destination: whether it
 * is up, how much goes to it at once, what mail it has, what it said last.
 *
 * Runs as whoever calls it; needs to write into queue/requests (root, or a member
 * of its group).
 * Is handed nothing.
 * Promises to change nothing: it writes a request, and prints the answer.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/outcome.h"
#include "queue/destination.h"
#include "tools/json.h"
#include "tools/plain.h"
#include "tools/queue_ask.h"
#include "tools/queue_walk.h"

#define PROGRAM "destination-list"
#define WAIT_MS 30000

struct list {
	bool is_json;
	uint32_t shown;
};

static const char *
state_name(enum destination_state state)
{
	return state == DESTINATION_UP	   ? "up"
	       : state == DESTINATION_DOWN ? "down"
					   : "probing";
}

static void
print_text(const struct destination *one)
{
	plain_text(stdout, one->name[0] == 0 ? "(not seen)" : one->name);
	printf(": %s, %s, jobs %lu of %lu, ready %lu, messages %lu%s",
		one->is_local ? "local" : "remote", state_name(one->state),
		(unsigned long)one->out, (unsigned long)one->window,
		(unsigned long)one->ready, (unsigned long)one->messages,
		one->has_waiting ? " and more waiting" : "");
	if (one->state == DESTINATION_DOWN)
		printf(", next probe in %lu s", (unsigned long)one->probe_s);
	putchar('\n');
	if (one->reply[0] != 0) {
		fputs("  ", stdout);
		plain_text(stdout, one->reply);
		putchar('\n');
	}
}

static void
print_json(const struct destination *one)
{
	fputs("{\"destination\":", stdout);
	json_text(one->name);
	printf(",\"channel\":\"%s\",\"state\":\"%s\",\"out\":%lu,"
	       "\"window\":%lu,\"ready\":%lu,\"messages\":%lu,\"waiting\":%s,"
	       "\"failures\":%lu,\"probe_s\":",
		one->is_local ? "local" : "remote", state_name(one->state),
		(unsigned long)one->out, (unsigned long)one->window,
		(unsigned long)one->ready, (unsigned long)one->messages,
		one->has_waiting ? "true" : "false",
		(unsigned long)one->failures);
	if (one->state == DESTINATION_DOWN)
		printf("%lu", (unsigned long)one->probe_s);
	else
		fputs("null", stdout);
	fputs(",\"reply\":", stdout);
	json_text(one->reply);
	puts("}");
}

static void
count(void *context, const struct destination *one)
{
	(void)context;
	(void)one;
}

static void
print(void *context, const struct destination *one)
{
	struct list *list = context;

	list->shown++;
	if (list->is_json)
		print_json(one);
	else
		print_text(one);
}

/* Prints an answer if all of it is sound. */
static int
read_list(void *context, const void *octets, size_t length)
{
	struct list *list = context;
	uint32_t all;

	if (destination_unpack(octets, length, &all, count, NULL) < 0)
		return -1;
	(void)destination_unpack(octets, length, &all, print, list);
	if (all > list->shown)
		fprintf(stderr, PROGRAM ": these %lu of %lu have most mail\n",
			(unsigned long)list->shown, (unsigned long)all);
	return 0;
}

static int
ask_runner(struct ask *ask)
{
	struct request request = {.operation = REQUEST_DESTINATIONS};
	char name[IDENT_LENGTH + 1];

	if (!queue_ask_is_heard(ask)) {
		fputs(PROGRAM ": queue-runner does not run\n", stderr);
		return STATUS_TEMPORARY;
	}
	if (queue_ask_put(ask, &request, name) < 0)
		return STATUS_TEMPORARY;
	if (queue_ask_fetch(ask, name, deadline_after_ms(WAIT_MS)) < 0) {
		fputs(PROGRAM ": no list came from the runner\n", stderr);
		return STATUS_TEMPORARY;
	}
	return ask->refused > 0 ? STATUS_MISUSE : STATUS_DONE;
}

int
main(int argc, char **argv)
{
	struct list list = {0};
	struct ask ask;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--json") == 0) {
			list.is_json = true;
		} else {
			fputs("usage: " PROGRAM " [--json]\n", stderr);
			return STATUS_MISUSE;
		}
	int queue_folder = queue_walk_open(PROGRAM);
	if (queue_folder < 0)
		return errno == EACCES ? STATUS_MISUSE : STATUS_TEMPORARY;
	int status = queue_ask_open(&ask, PROGRAM, queue_folder);
	if (status != 0)
		return status;
	ask.read = read_list;
	ask.context = &list;
	status = ask_runner(&ask);
	close(ask.requests_folder);
	if (fflush(stdout) != 0 || ferror(stdout))
		status = STATUS_TEMPORARY;
	return status;
}
