/*
 * smtp-why tells what smtpd would answer to a client, step by step, and which
 * rule, file and line decide it; nothing is sent to anybody, and nothing is
 * submitted.
 *
 * Runs as whoever calls it: root, if recipients of our own domains are to be
 * looked up, because resolve and lookup answer nobody else.
 * Is handed the client and its envelope as options.
 * Promises smtpd's own answers: it calls the functions that smtpd calls.
 */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/log.h"
#include "lib/outcome.h"
#include "smtpd/configure.h"
#include "smtpd/judge.h"
#include "lib/networks.h"
#include "smtpd/submission.h"
#include "tools/json.h"
#include "tools/plain.h"

#define RECIPIENTS_MAX 100

enum result {
	RESULT_ACCEPT = 0,
	RESULT_REFUSED = 1,
	RESULT_TEMPORARY = 2,
};

/* What is asked; NULL for what was not given. */
struct question {
	const char *address, *name, *hello, *sender, *login;
	const char *recipient[RECIPIENTS_MAX];
	unsigned recipients;
	uint64_t size;
	bool as_json;
};

/* The answers so far. */
struct telling {
	bool as_json;
	unsigned steps;
	enum result result;
};

static int
usage(void)
{
	log_line("usage: smtp-why --ip address [--name name] [--helo name] "
		 "[--from sender] [--to recipient ...] [--login user] "
		 "[--size octets] [--json]");
	return STATUS_MISUSE;
}

/* --- telling --- */

/* A refusal for good outweighs one for now. */
static enum result
worse(enum result a, enum result b)
{
	return a == RESULT_REFUSED || b == RESULT_ACCEPT ? a : b;
}

static enum result
result_of(const struct reply *reply)
{
	switch (reply_class(reply)) {
	case 5:
		return RESULT_REFUSED;
	case 4:
		return RESULT_TEMPORARY;
	default:
		return RESULT_ACCEPT;
	}
}

static void
tell_json(const struct telling *telling, const char *step, const char *about,
	const struct verdict *verdict)
{
	printf("%s\n{\"step\":", telling->steps > 0 ? "," : "");
	json_text(step);
	printf(",\"about\":");
	json_text(about);
	printf(",\"code\":%d,\"enhanced\":", verdict->reply.code);
	json_text(verdict->reply.enhanced);
	printf(",\"text\":");
	json_text(verdict->reply.text);
	printf(",\"rule\":");
	json_text(verdict->rule);
	printf(",\"file\":");
	if (verdict->file[0] != 0)
		json_text(verdict->file);
	else
		printf("null");
	if (verdict->line > 0)
		printf(",\"line\":%zu", verdict->line);
	else
		printf(",\"line\":null");
	printf(",\"why\":");
	json_text(verdict->why);
	printf("}");
}

static void
tell_text(const char *step, const char *about, const struct verdict *verdict)
{
	char reply[REPLY_TEXT_MAX + 40];

	reply_summary(&verdict->reply, reply, sizeof reply);
	printf("%s ", step);
	plain_text(stdout, about);
	printf(": ");
	plain_text(stdout, reply);
	printf("\n");
	printf("  by %s", verdict->rule);
	if (verdict->file[0] != 0)
		printf(", %s", verdict->file);
	if (verdict->line > 0)
		printf(" line %zu", verdict->line);
	if (strncmp(verdict->why, verdict->rule, strlen(verdict->rule)) != 0) {
		printf(": ");
		plain_text(stdout, verdict->why);
	}
	printf("\n");
}

/* Shows one step. Whether the client can go on. */
static bool
tell(struct telling *telling, const char *step, const char *about,
	const struct verdict *verdict)
{
	enum result result = result_of(&verdict->reply);

	if (telling->as_json)
		tell_json(telling, step, about, verdict);
	else
		tell_text(step, about, verdict);
	telling->steps++;
	telling->result = worse(telling->result, result);
	return result == RESULT_ACCEPT;
}

/* --- the steps --- */

/* Text or path form: "a@b" or "<a@b>". */
static int
scan_address(const char *text, unsigned flags, struct path *path)
{
	size_t len = strlen(text);

	if (*text == '<')
		return address_path_scan(text, len, flags, path) == len ? 0
									: -1;
	return address_mailbox_scan(text, len, flags, path);
}

static struct verdict
malformed(const char *enhanced, const char *text)
{
	struct verdict verdict = {.rule = "syntax",
		.reply = reply_make(501, enhanced, "%s", text)};

	snprintf(verdict.why, sizeof verdict.why, "syntax");
	return verdict;
}

static bool
tell_client(struct session *session, const struct question *question,
	struct telling *telling)
{
	char log[300];
	struct verdict verdict = judge_client(
		session, question->address, question->name, log, sizeof log);

	if (question->login != NULL)
		submission_login(session, question->login);
	if (*log != 0)
		log_line("%s", log);
	return tell(telling, "connect", question->address, &verdict);
}

static bool
tell_sender(struct session *session, const struct question *question,
	struct telling *telling)
{
	struct verdict verdict;
	struct path path;

	if (scan_address(question->sender, ADDRESS_NULL | ADDRESS_UTF8, &path) <
		0)
		verdict = malformed("5.1.7", "malformed sender address");
	else
		verdict = judge_sender(session, &path, question->size);
	return tell(telling, "MAIL", question->sender, &verdict);
}

static void
tell_recipient(
	struct session *session, const char *text, struct telling *telling)
{
	struct verdict verdict;
	struct path path;

	if (scan_address(text, ADDRESS_POSTMASTER | ADDRESS_UTF8, &path) < 0)
		verdict = malformed("5.1.3", "malformed recipient address");
	else
		verdict = judge_recipient(session, &path);
	(void)tell(telling, "RCPT", text, &verdict);
}

static void
tell_all(struct session *session, const struct question *question,
	struct telling *telling)
{
	if (!tell_client(session, question, telling))
		return;
	if (question->hello != NULL) {
		struct verdict verdict = judge_hello(
			session, question->hello, strlen(question->hello));

		if (!tell(telling, "EHLO", question->hello, &verdict))
			return;
	}
	if (question->sender != NULL &&
		!tell_sender(session, question, telling))
		return;
	for (unsigned i = 0; i < question->recipients; i++)
		tell_recipient(session, question->recipient[i], telling);
}

static const char *
word_of(enum result result)
{
	switch (result) {
	case RESULT_ACCEPT:
		return "accept";
	case RESULT_REFUSED:
		return "refused";
	default:
		return "temporary";
	}
}

static int
answer(struct session *session, const struct question *question)
{
	struct telling telling = {.as_json = question->as_json};

	if (telling.as_json)
		printf("{\"steps\":[");
	tell_all(session, question, &telling);
	if (telling.as_json)
		printf("\n],\"result\":\"%s\"}\n", word_of(telling.result));
	else
		printf("%s\n", word_of(telling.result));
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_line("cannot write: %s", strerror(errno));
		return STATUS_TEMPORARY;
	}
	return (int)telling.result;
}

/* --- the start --- */

static int
scan_size(const char *text, uint64_t *size)
{
	char *end;

	errno = 0;
	*size = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == 0 && errno == 0 ? 0 : -1;
}

static int
take_option(struct question *question, int option)
{
	switch (option) {
	case 'i':
		question->address = optarg;
		return 0;
	case 'n':
		question->name = optarg;
		return 0;
	case 'h':
		question->hello = optarg;
		return 0;
	case 'f':
		question->sender = optarg;
		return 0;
	case 'l':
		question->login = optarg;
		return 0;
	case 'j':
		question->as_json = true;
		return 0;
	case 's':
		return scan_size(optarg, &question->size);
	case 't':
		if (question->recipients == RECIPIENTS_MAX)
			return -1;
		question->recipient[question->recipients++] = optarg;
		return 0;
	default:
		return -1;
	}
}

static int
read_options(int argc, char **argv, struct question *question)
{
	static const struct option options[] = {
		{"ip", required_argument, NULL, 'i'},
		{"name", required_argument, NULL, 'n'},
		{"helo", required_argument, NULL, 'h'},
		{"from", required_argument, NULL, 'f'},
		{"to", required_argument, NULL, 't'},
		{"login", required_argument, NULL, 'l'},
		{"size", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (take_option(question, option) < 0)
			return -1;
	return optind == argc && question->address != NULL ? 0 : -1;
}

/* The session as smtpd would have it after the greeting. 0, or -1 with why. */
static int
prepare(struct session *session, struct question *question,
	char address[NETWORK_TEXT_MAX], char *why, size_t size)
{
	struct network_address ip;

	if (network_address_scan(
		    question->address, strlen(question->address), &ip) < 0) {
		snprintf(why, size,
			"--ip: expected an IP address, found \"%.60s\"",
			question->address);
		return -1;
	}
	network_address_write(&ip, address);
	question->address = address;
	if (question->name == NULL)
		question->name = "";
	session->state = SESSION_CONNECTED;
	session->resolve_fd = -1;
	SUBMISSION_CLOSED(&session->transaction.submission);
	session_name(session->peer.address, address, strlen(address));
	session_name(
		session->peer.name, question->name, strlen(question->name));
	/* What the caller's own environment says is about the caller. */
	unsetenv("RELAYCLIENT");
	unsetenv("DATABYTES");
	if (home_open(&session->home, why, size) < 0)
		return -1;
	return configure(session, true, why, size);
}

int
main(int argc, char **argv)
{
	struct question question = {.recipients = 0};
	struct session *session;
	char address[NETWORK_TEXT_MAX], why[600];

	log_start("smtp-why");
	if (read_options(argc, argv, &question) < 0)
		return usage();
	session = calloc(1, sizeof *session);
	if (session == NULL) {
		log_line("out of memory");
		return STATUS_TEMPORARY;
	}
	int status = STATUS_TEMPORARY;
	if (prepare(session, &question, address, why, sizeof why) < 0)
		log_line("%s", why);
	else
		status = answer(session, &question);
	if (session->resolve_fd >= 0)
		close(session->resolve_fd);
	configure_free(session);
	free(session);
	return status;
}
