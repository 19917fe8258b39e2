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
#include "tools/plain.h"
#include "tools/queue_show.h"

static const char USAGE[] =
	"usage: queue-list [--json] [--sender ADDRESS] [--recipient ADDRESS]\n"
	"       [--domain DOMAIN] [--older AGE] [--younger AGE] [--in FOLDER]\n"
	"       [ID …]\n"
	"AGE: a number and s, m, h or d.\n";

static int
read_arguments(
	int argc, char **argv, struct criteria *criteria, enum show_form *form)
{
	static const struct option OPTION[] = {
		CRITERIA_OPTIONS,
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	int letter, index = 0;

	while ((letter = getopt_long(argc, argv, "", OPTION, &index)) != -1) {
		if (letter == 'j') {
			*form = SHOW_JSON;
		} else if (letter == '?') {
			return -1;
		} else if (criteria_option(criteria, letter, optarg) != 0) {
			fprintf(stderr,
				"queue-list: --%s: that is not possible with ",
				OPTION[index].name);
			plain_text(stderr, optarg);
			fputc('\n', stderr);
			return -1;
		}
	}
	return criteria_ids(
		criteria, "queue-list", argv + optind, (size_t)(argc - optind));
}

int
main(int argc, char **argv)
{
	struct criteria criteria = {0};
	enum show_form form = SHOW_TEXT;

	if (read_arguments(argc, argv, &criteria, &form) < 0) {
		fputs(USAGE, stderr);
		return STATUS_MISUSE;
	}
	return queue_show("queue-list", form, &criteria);
}
