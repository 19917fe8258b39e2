/*
 * queue-hold, queue-release, queue-delete, queue-bounce, queue-retry and
 * queue-route ask the runner to do so with messages that they choose. One program:
 * its name says which; as queue-request it takes that from its first argument.
 *
 * Runs as whoever calls it; needs to write into queue/requests (root, or a member
 * of its group).
 * Is handed nothing.
 * Promises to change nothing itself: it looks, writes a request, and prints what
 * the runner answers.
 */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/outcome.h"
#include "remote/route.h"
#include "tools/plain.h"
#include "tools/queue_ask.h"
#include "tools/queue_choose.h"
#include "tools/queue_walk.h"

#define WAIT_S 30

struct options {
	struct request request; /* operation and text */
	struct criteria criteria;
	bool is_all, is_dry;
	long wait_s;
};

static int
usage(const char *program, enum request_operation operation)
{
	fprintf(stderr,
		"usage: %s%s [--sender ADDRESS] [--recipient ADDRESS]\n"
		"       [--domain DOMAIN] [--older AGE] [--younger AGE] "
		"[--in FOLDER] [--all]\n"
		"       [--dry-run] [--wait SECONDS]%s [ID …]\n"
		"AGE: a number and s, m, h or d.%s\n",
		program,
		(int)operation == 0	     ? " OPERATION [DESTINATION]"
		: operation == REQUEST_ROUTE ? " DESTINATION"
					     : "",
		operation == REQUEST_BOUNCE || (int)operation == 0
			? " [--text WORDS]"
			: "",
		operation == REQUEST_ROUTE
			? " DESTINATION: HOST, HOST:PORT, mx:DOMAIN, or - for "
			  "what the\nrecipients' domains say."
			: "");
	return STATUS_MISUSE;
}

/* --- arguments --- */

/* Turns what people write into a destination (remote/route.h). 0, or -1. */
static int
read_destination(const char *text, struct request *request)
{
	struct route_target target;
	const char *end = text[0] == '[' ? strchr(text, ']') : text;
	/* words may follow */
	size_t len = strcspn(text, " \t");

	if (strcmp(text, "-") == 0) {
		request->text[0] = 0;
		return 0;
	}
	if (end == NULL)
		return -1;
	char all[REQUEST_TEXT_MAX + 1];
	if (strlen(text) + 12 > sizeof all)
		return -1;
	if (strncmp(text, "mx:", 3) == 0 || strncmp(text, "host:", 5) == 0)
		snprintf(all, sizeof all, "%s", text);
	else if (end < text + len &&
		 memchr(end, ':', (size_t)(text + len - end)) != NULL)
		snprintf(all, sizeof all, "host:%s", text);
	else
		snprintf(all, sizeof all, "host:%.*s:%d%s", (int)len, text,
			ROUTE_PORT, text + len);
	if (route_parse(all, &target) < 0)
		return -1;
	memcpy(request->text, all, sizeof all);
	return 0;
}

static int
read_text(const char *text, struct request *request)
{
	size_t length = strlen(text);

	if (length == 0 || length > REQUEST_TEXT_MAX)
		return -1;
	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			return -1;
	memcpy(request->text, text, length + 1);
	return 0;
}

/* One option. 0, or -1: its value is none. */
static int
read_option(int option, struct options *options)
{
	int result = criteria_option(&options->criteria, option, optarg);
	char *end;

	if (result <= 0)
		return result;
	switch (option) {
	case 'a':
		options->is_all = true;
		return 0;
	case 'n':
		options->is_dry = true;
		return 0;
	case 't':
		return options->request.operation == REQUEST_BOUNCE
			       ? read_text(optarg, &options->request)
			       : -1;
	case 'w':
		options->wait_s = strtol(optarg, &end, 10);
		return *end == 0 && end != optarg && options->wait_s >= 0 &&
				       options->wait_s <= 86400
			       ? 0
			       : -1;
	}
	return -1;
}

/* Reads options, destination and ids. 0, or -1 after a message. */
static int
read_arguments(
	const char *program, int argc, char **argv, struct options *options)
{
	static const struct option OPTION[] = {
		CRITERIA_OPTIONS,
		{"all", no_argument, NULL, 'a'},
		{"dry-run", no_argument, NULL, 'n'},
		{"text", required_argument, NULL, 't'},
		{"wait", required_argument, NULL, 'w'},
		{0},
	};
	int option, index = 0;

	while ((option = getopt_long(argc, argv, "", OPTION, &index)) != -1) {
		if (option == '?')
			return -1;
		if (read_option(option, options) < 0) {
			fprintf(stderr, "%s: --%s: that is not possible%s",
				program, OPTION[index].name,
				optarg == NULL ? "" : " with ");
			plain_text(stderr, optarg == NULL ? "" : optarg);
			fputc('\n', stderr);
			return -1;
		}
	}
	if (options->request.operation == REQUEST_ROUTE &&
		(optind == argc || read_destination(argv[optind++],
					   &options->request) < 0)) {
		fprintf(stderr, "%s: the first argument is a destination\n",
			program);
		return -1;
	}
	if (criteria_ids(&options->criteria, program, argv + optind,
		    (size_t)(argc - optind)) < 0)
		return -1;
	if (options->is_all || criteria_any(&options->criteria))
		return 0;
	fprintf(stderr, "%s: which messages? --all means all\n", program);
	return -1;
}

/* --- asking --- */

/* One request for the messages from `from` on; *count is how many it took. */
static int
put(struct ask *ask, const struct options *options, const struct chosen *chosen,
	size_t from, size_t *count, char name[IDENT_LENGTH + 1])
{
	struct request request = options->request;
	int result = 0;

	request.id = NULL;
	for (*count = 0; result == 0 && from + *count < chosen->count &&
			 *count < REQUEST_IDS_MAX;
		++*count) {
		const struct request_id *one = &chosen->message[from + *count];

		result = request_add(&request, one->id, one->place);
	}
	if (result < 0)
		fprintf(stderr, "%s: %s\n", ask->program, strerror(errno));
	else
		result = queue_ask_put(ask, &request, name);
	request_free(&request);
	return result;
}

static int
tell_unheard(const struct ask *ask, const char *name, long wait_s)
{
	fflush(stdout);
	if (queue_ask_is_heard(ask))
		fprintf(stderr,
			"%s: the runner has not finished in %ld s; it goes on "
			"with request %s\n",
			ask->program, wait_s, name);
	else
		fprintf(stderr,
			"%s: queue-runner does not run; request %s is carried "
			"out when it starts\n",
			ask->program, name);
	return STATUS_TEMPORARY;
}

/* Asks for one thousand after the other, so that what cannot be done stops the
 * rest. */
static int
ask_all(struct ask *ask, const struct options *options,
	const struct chosen *chosen)
{
	char name[IDENT_LENGTH + 1];
	size_t count = 0;

	for (size_t from = 0; from < chosen->count; from += count) {
		if (put(ask, options, chosen, from, &count, name) < 0)
			return STATUS_TEMPORARY;
		int64_t deadline_ms =
			queue_ask_is_heard(ask)
				? deadline_after_ms(options->wait_s * 1000)
				: deadline_now_ms();
		if (queue_ask_fetch(ask, name, deadline_ms) < 0) {
			int status = tell_unheard(ask, name, options->wait_s);

			if (from + count < chosen->count)
				fprintf(stderr,
					"%s: %zu messages were not asked for\n",
					ask->program,
					chosen->count - from - count);
			return status;
		}
	}
	return ask->refused > 0 ? STATUS_MISUSE : STATUS_DONE;
}

static int
run(const char *program, int queue_folder, const struct options *options)
{
	struct chosen chosen;
	struct ask ask;
	int status = queue_ask_open(&ask, program, queue_folder);

	if (status != 0)
		return status;
	if (queue_choose(program, queue_folder, &options->criteria, &chosen) <
		0)
		return STATUS_TEMPORARY;
	if (chosen.count == 0)
		puts("No message is so.");
	else if (options->is_dry)
		for (size_t i = 0; i < chosen.count; i++)
			printf("%s: %s\n", chosen.message[i].id,
				chosen.message[i].place[0] != 0
					? chosen.message[i].place
					: "not seen");
	else
		status = ask_all(&ask, options, &chosen);
	queue_chosen_free(&chosen);
	close(ask.requests_folder);
	if (fflush(stdout) != 0 || ferror(stdout))
		status = STATUS_TEMPORARY;
	return status;
}

int
main(int argc, char **argv)
{
	struct options options = {.wait_s = WAIT_S};
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *program = slash != NULL ? slash + 1
			      : argc > 0    ? argv[0]
					    : "queue-request";
	enum request_operation *operation = &options.request.operation;

	if (strncmp(program, "queue-", 6) != 0 ||
		request_operation(program + 6, operation) < 0) {
		if (argc < 2 || request_operation(argv[1], operation) < 0)
			return usage(program, (enum request_operation)0);
		argv++;
		argc--;
	}
	if (read_arguments(program, argc, argv, &options) < 0)
		return usage(program, *operation);
	int queue_folder = queue_walk_open(program);
	if (queue_folder < 0)
		return errno == EACCES ? STATUS_MISUSE : STATUS_TEMPORARY;
	return run(program, queue_folder, &options);
}
