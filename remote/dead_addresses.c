/*
 * dead-addresses asks remote for the addresses that it leaves out because nobody
 * answers there, and has it forget them.
 *
 * Runs as whoever calls it; needs to connect to socket/dead-addresses (root, or a
 * member of its group).
 * Is handed an address to forget, or none.
 * Promises to change nothing unless it is called with --clear.
 */

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/date.h"
#include "lib/deadline.h"
#include "lib/home.h"
#include "lib/outcome.h"
#include "lib/service.h"
#include "remote/dead_ask.h"

#define PROGRAM "dead-addresses"
#define WAIT_MS 10000

static void
print_text(const struct dead_row *row)
{
	char address[64], since[DATE_OCTETS + 1], until[DATE_OCTETS + 1];

	dead_text(&row->key, address, sizeof address);
	date_write(since, row->since_s);
	date_write(until, row->until_s);
	printf("%s port %u: failures %lu, since %s, until %s\n", address,
		(unsigned)row->key.port, (unsigned long)row->failures, since,
		until);
}

static void
print_json(const struct dead_row *row)
{
	char address[64];

	dead_text(&row->key, address, sizeof address);
	printf("{\"address\":\"%s\",\"port\":%u,\"failures\":%lu,\"since\":%"
	       "lld,"
	       "\"until\":%lld}\n",
		address, (unsigned)row->key.port, (unsigned long)row->failures,
		(long long)row->since_s, (long long)row->until_s);
}

/* Sends the question and receives the answer. Its octets, or 0. */
static size_t
converse(int fd, const struct dead_question *question,
	struct dead_answer *answer)
{
	int64_t deadline_ms = deadline_after_ms(WAIT_MS);

	if (send(fd, question, sizeof *question, MSG_NOSIGNAL) !=
			(ssize_t)sizeof *question ||
		deadline_wait(fd, POLLIN, deadline_ms) < 0)
		return 0;
	ssize_t got = recv(fd, answer, sizeof *answer, MSG_TRUNC);
	return got <= 0 || (size_t)got > sizeof *answer ? 0 : (size_t)got;
}

/* Asks remote. An exit status, after a message on stderr unless STATUS_DONE. */
static int
ask(const struct dead_question *question, struct dead_answer *answer)
{
	char path[HOME_NAME_MAX], why[300];
	struct home home;

	if (home_open(&home, why, sizeof why) < 0) {
		fprintf(stderr, PROGRAM ": %s\n", why);
		return STATUS_TEMPORARY;
	}
	home_path(&home, DEAD_ASK_SOCKET, path);
	int fd = service_connect(
		path, SOCK_SEQPACKET, deadline_after_ms(WAIT_MS));
	if (fd < 0) {
		int error = errno;

		fprintf(stderr, PROGRAM ": %s: %s%s\n", path, strerror(error),
			error == EACCES ? "" : "; remote does not run");
		return error == EACCES ? STATUS_MISUSE : STATUS_TEMPORARY;
	}
	size_t got = converse(fd, question, answer);
	close(fd);
	if (dead_answer_is_sound(answer, got, question))
		return STATUS_DONE;
	fputs(PROGRAM ": no answer came from remote\n", stderr);
	return STATUS_TEMPORARY;
}

/* 0, or -1: no such call. */
static int
read_arguments(
	int argc, char **argv, struct dead_question *question, bool *is_json)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			*is_json = true;
		else if (strcmp(argv[i], "--clear") == 0)
			question->operation = DEAD_CLEAR;
		else if (question->operation != DEAD_CLEAR ||
			 question->key.family != 0 ||
			 dead_scan(argv[i], &question->key) < 0)
			return -1;
	}
	return *is_json && question->operation == DEAD_CLEAR ? -1 : 0;
}

int
main(int argc, char **argv)
{
	struct dead_question question = {
		.magic = DEAD_ASK_MAGIC, .operation = DEAD_LIST};
	bool is_json = false;

	if (read_arguments(argc, argv, &question, &is_json) < 0) {
		fputs("usage: " PROGRAM " [--json | --clear [ADDRESS]]\n",
			stderr);
		return STATUS_MISUSE;
	}
	struct dead_answer *answer = calloc(1, sizeof *answer);
	if (answer == NULL)
		return STATUS_TEMPORARY;
	int status = ask(&question, answer);
	if (status == STATUS_DONE && question.operation == DEAD_CLEAR)
		printf("%lu forgotten\n", (unsigned long)answer->count);
	else if (status == STATUS_DONE)
		for (uint32_t i = 0; i < answer->count; i++)
			(is_json ? print_json : print_text)(&answer->row[i]);
	free(answer);
	if (fflush(stdout) != 0 || ferror(stdout))
		status = STATUS_TEMPORARY;
	return status;
}
