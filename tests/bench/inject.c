/*
 * inject: puts messages into a queue through its submit socket as fast as it
 * takes them, over several connections at one time.
 *
 *   inject SOCKET CONNECTIONS MESSAGES OCTETS FROM TO DOMAINS FIRST
 *
 * TO may hold one %ld, which becomes the running number, from FIRST on, modulo
 * DOMAINS. A refusal that is temporary (a full incoming) is tried again after a
 * while. Prints "accepted N seconds S rate R"; ends with 1 if any was refused for
 * good.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "lib/deadline.h"
#include "queue/submit.h"

#define WAIT_MS 60000

struct work {
	const char *socket, *from, *to;
	char *content;
	size_t octets;
	long domains, messages, first;
	atomic_long next, accepted, refused;
};

static int
submit(const struct work *work, struct submission *submission, long number)
{
	char from[300], to[300];
	struct recipient recipient = {.address = to, .orcpt = (char[]){""}};
	struct envelope envelope = {.reverse_path = from,
		.envid = (char[]){""},
		.origin = {.kind = ORIGIN_LOCAL,
			.client_address = (char[]){""},
			.client_name = (char[]){""},
			.hello = (char[]){""},
			.protocol = (char[]){""},
			.authenticated = (char[]){""},
			.tls = (char[]){""}},
		.recipient = &recipient,
		.recipients = 1};
	const char *place = strstr(work->to, "%ld");

	snprintf(from, sizeof from, "%s", work->from);
	if (place == NULL)
		snprintf(to, sizeof to, "%s", work->to);
	else
		snprintf(to, sizeof to, "%.*s%ld%s", (int)(place - work->to),
			work->to, number % work->domains, place + 3);
	if (submit_open(submission, work->socket, work->octets,
		    deadline_after_ms(WAIT_MS)) < 0 ||
		submit_content(submission, work->content, work->octets) < 0)
		return -1;
	return submit_finish(submission, &envelope);
}

static void *
connection(void *argument)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	struct work *work = argument;
	struct submission *submission = malloc(sizeof *submission);
	long number;

	while (submission != NULL &&
		(number = atomic_fetch_add(&work->next, 1)) < work->messages) {
		int result;

		while ((result = submit(
				work, submission, work->first + number)) < 0 &&
			!submit_code_is_permanent(submission->code))
			nanosleep(&pause, NULL);
		if (result == 0)
			work->accepted++;
		else if (work->refused++ == 0)
			fprintf(stderr, "inject: refused: %s\n",
				submission->text);
	}
	free(submission);
	return NULL;
}

static char *
make_content(size_t octets)
{
	char *content = malloc(octets + 1);

	if (content == NULL)
		return NULL;
	memset(content, 'x', octets);
	for (size_t at = 71; at < octets; at += 72)
		content[at] = '\n';
	snprintf(content, octets + 1, "Subject: load\n");
	if (octets > 16)
		memcpy(content + 14, "\nx", 2);
	return content;
}

int
main(int argc, char **argv)
{
	static struct work work;
	pthread_t thread[500];

	if (argc != 9) {
		fprintf(stderr, "usage: inject SOCKET CONNECTIONS MESSAGES "
				"OCTETS FROM TO DOMAINS FIRST\n");
		return 100;
	}
	long connections = atol(argv[2]);
	work.socket = argv[1];
	work.messages = atol(argv[3]);
	work.octets = (size_t)atol(argv[4]);
	work.from = argv[5];
	work.to = argv[6];
	work.domains = atol(argv[7]);
	work.first = atol(argv[8]);
	work.content = make_content(work.octets);
	if (connections < 1 || connections > 500 || work.domains < 1 ||
		work.octets < 32 || work.content == NULL) {
		fprintf(stderr, "inject: an argument is wrong\n");
		return 100;
	}
	int64_t began = deadline_now_ms();
	for (long n = 0; n < connections; n++)
		if (pthread_create(&thread[n], NULL, connection, &work) != 0)
			return 111;
	for (long n = 0; n < connections; n++)
		pthread_join(thread[n], NULL);
	double took = (double)(deadline_now_ms() - began) / 1e3;
	printf("accepted %ld seconds %.3f rate %.1f\n", (long)work.accepted,
		took, work.accepted / took);
	free(work.content);
	return work.accepted == work.messages ? 0 : 1;
}
