/*
 * address-why tells what an address means, step by step, and which file and line
 * decide it.
 *
 * Runs as root (in private mode as the owner of the home): resolve explains itself
 * to nobody else.
 * Is handed addresses as arguments.
 * Promises the answer that smtpd and local get: resolve gives it, and sends its
 * steps along.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "lib/deadline.h"
#include "lib/home.h"
#include "lib/log.h"
#include "lib/ours.h"
#include "lib/outcome.h"
#include "local/resolve.h"
#include "tools/json.h"
#include "tools/plain.h"

#define WAIT_MS 40000

enum result {
	RESULT_ACCOUNT = 0,
	RESULT_NOBODY = 1,
	RESULT_NOT_OURS = 2,
};

struct telling {
	bool as_json;
	unsigned steps;
};

/* Texts of tables are the administrator's, of users' files anybody's. */
static void
print_safely(const char *text)
{
	plain_text(stdout, text);
}

static void
tell_step(void *context, const struct resolve_step *step)
{
	struct telling *telling = context;

	if (telling->as_json) {
		printf("%s\n{\"file\":", telling->steps > 0 ? "," : "");
		if (step->file[0] != 0)
			json_text(step->file);
		else
			printf("null");
		if (step->line > 0)
			printf(",\"line\":%u", (unsigned)step->line);
		else
			printf(",\"line\":null");
		printf(",\"text\":");
		json_text(step->text);
		printf("}");
	} else {
		printf("  ");
		if (step->file[0] != 0)
			printf("%s", step->file);
		if (step->line > 0)
			printf(" line %u", (unsigned)step->line);
		if (step->file[0] != 0)
			printf(": ");
		print_safely(step->text);
		putchar('\n');
	}
	telling->steps++;
}

static const char *
word_of(uint32_t meaning)
{
	static const char *const word[] = {
		"", "account", "not ours", "nobody", "temporary"};

	return word[meaning];
}

static void
tell_answer(const struct resolve_answer *answer, bool as_json)
{
	if (as_json) {
		printf("\n],\"result\":\"%s\",\"account\":",
			word_of(answer->meaning));
		json_text(answer->account);
		printf(",\"extension\":");
		json_text(answer->extension);
		printf(",\"text\":");
		json_text(answer->text);
		printf("}\n");
		return;
	}
	printf("%s", word_of(answer->meaning));
	if (answer->account[0] != 0)
		printf(": %s", answer->account);
	if (answer->extension[0] != 0) {
		printf(", extension ");
		print_safely(answer->extension);
	}
	if (answer->text[0] != 0) {
		printf(": ");
		print_safely(answer->text);
	}
	putchar('\n');
}

static int
explain(const struct home *home, const char *address, bool as_json)
{
	struct telling telling = {.as_json = as_json};
	struct resolve_answer answer;
	char path[HOME_NAME_MAX];

	if (as_json) {
		printf("{\"address\":");
		json_text(address);
		printf(",\"steps\":[");
	} else {
		print_safely(address);
		putchar('\n');
	}
	if (resolve_explain(home_path(home, "socket/resolve", path), address,
		    deadline_after_ms(WAIT_MS), tell_step, &telling,
		    &answer) < 0) {
		fflush(stdout);
		log_line("resolve cannot be asked: %s", strerror(errno));
		return STATUS_TEMPORARY;
	}
	tell_answer(&answer, as_json);
	switch ((enum resolve_meaning)answer.meaning) {
	case RESOLVE_ACCOUNT:
		return RESULT_ACCOUNT;
	case RESOLVE_NOBODY:
		return RESULT_NOBODY;
	case RESOLVE_NOT_OURS:
		return RESULT_NOT_OURS;
	default:
		return STATUS_TEMPORARY;
	}
}

int
main(int argc, char **argv)
{
	struct home home;
	char why[300];
	int next = 1, status = 0;

	log_start("address-why");
	bool as_json = next < argc && strcmp(argv[next], "--json") == 0;
	next += as_json;
	if (next < argc && strcmp(argv[next], "--") == 0)
		next++;
	else if (next < argc && argv[next][0] == '-')
		next = argc;
	if (next >= argc) {
		log_line("usage: address-why [--json] address ...");
		return STATUS_MISUSE;
	}
	if (home_open(&home, why, sizeof why) < 0) {
		log_line("%s", why);
		return STATUS_TEMPORARY;
	}
	for (; next < argc; next++) {
		int result = explain(&home, argv[next], as_json);

		if (result > status)
			status = result;
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_line("cannot write: %s", strerror(errno));
		return STATUS_TEMPORARY;
	}
	return status;
}
