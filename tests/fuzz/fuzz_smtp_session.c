/*
 * A session of smtpd from its commands on, with a queue that takes everything.
 * The first octet says how it begins. After every command: BDAT has taken as many
 * octets as it said, or the session has ended; a reply is one; a transaction is
 * open exactly in the states that have one; every message that the queue was given
 * was answered with 250.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/log.h"
#include "smtpd/verbs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 16384
#define ID "0123456789abcdefghjk"

/* In the place of lib/log.c: nobody reads it. */
void
log_start(const char *program)
{
	(void)program;
}

void
log_line(const char *format, ...)
{
	(void)format;
}

/* The connection's other end, and the queue's. */
struct world {
	struct session *session;
	int client, queue;
};

static int
pair(int *ours)
{
	int end[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0)
		abort();
	*ours = end[0];
	return end[1];
}

/* A transaction with one recipient, as MAIL and RCPT leave it; the queue's answer
 * to its end lies ready. */
static void
open_transaction(struct world *world)
{
	static const char ANSWER[] = "A\0\0\0\24" ID;
	struct session *session = world->session;
	struct transaction *transaction = &session->transaction;
	struct origin *origin = &transaction->envelope.origin;

	if (world->queue >= 0)
		close(world->queue);
	transaction->submission.fd = pair(&world->queue);
	transaction->submission.held = 0;
	memcpy(transaction->submission.id, ID, sizeof ID);
	assert(write(world->queue, ANSWER, sizeof ANSWER - 1) ==
		(ssize_t)sizeof ANSWER - 1);
	transaction->envelope.reverse_path = strdup("ann@client.test");
	transaction->envelope.envid = strdup("");
	origin->kind = ORIGIN_NETWORK;
	origin->client_address = strdup("192.0.2.1");
	origin->client_name = strdup("c.test");
	origin->hello = strdup("c.test");
	origin->protocol = strdup("ESMTP");
	origin->authenticated = strdup("");
	origin->tls = strdup("");
	assert(envelope_add_recipient(
		       &transaction->envelope, "u@far.test", 0, "") == 0);
	session->state = SESSION_RECIPIENT;
}

static void
begin(struct world *world, unsigned how, const char *input, size_t len)
{
	struct session *session = calloc(1, sizeof *session);
	char me[] = "host.test", greeting[] = "host.test";

	assert(session != NULL);
	*world = (struct world){.session = session, .queue = -1};
	session->state = SESSION_CONNECTED;
	session->resolve_fd = session->stop_fd = -1;
	session->submit_socket = "socket/submit";
	session->settings.me = strdup(me);
	session->settings.greeting = strdup(greeting);
	session->settings.timeout_s = 60;
	session->settings.recipients_max = 1000;
	session->databytes = how & 2 ? 100 : 0;
	session->policy.may_relay = true;
	session->policy.suffix = "";
	session->limits.settings.command_max = LINE_COMMAND_MAX;
	session->limits.settings.errors_max = 1000000;
	session->limits.settings.errors_free = 1000000;
	session->limits.settings.hops_max = 10;
	session->peer.is_extended = true;
	session->peer.has_tls = (how & 4) != 0;
	memcpy(session->peer.address, "192.0.2.1", sizeof "192.0.2.1");
	memcpy(session->peer.name, "c.test", sizeof "c.test");
	COUNTER_CLOSED(&session->limits.counter);
	SUBMISSION_CLOSED(&session->transaction.submission);
	int fd = pair(&world->client);
	assert(write(world->client, input, len) == (ssize_t)len);
	shutdown(world->client, SHUT_WR);
	line_start(&session->input, fd);
	output_start(&session->output, fd);
}

static void
end(struct world *world)
{
	struct session *session = world->session;

	session_end_transaction(session);
	close(session->input.fd);
	close(world->client);
	if (world->queue >= 0)
		close(world->queue);
	free(session->settings.me);
	free(session->settings.greeting);
	free(session);
}

/* Octets that the server has not taken yet. */
static size_t
left(const struct session *session)
{
	size_t buffered;
	int waiting = 0;

	(void)line_buffered(&session->input, &buffered);
	if (ioctl(session->input.fd, FIONREAD, &waiting) < 0)
		abort();
	return buffered + (size_t)waiting;
}

/* The octets that a line says will follow; SIZE_MAX: it is no BDAT with a size
 * that a test can have. */
static size_t
announced(const char *line, size_t len)
{
	size_t size = 0, at = 5;

	if (len < 6 || strncasecmp(line, "BDAT ", 5) != 0)
		return SIZE_MAX;
	while (at < len && line[at] == ' ')
		at++;
	if (at == len || line[at] < '0' || line[at] > '9')
		return SIZE_MAX;
	for (; at < len && line[at] >= '0' && line[at] <= '9'; at++) {
		size = size * 10 + (size_t)(line[at] - '0');
		if (size > INPUT_MAX)
			return SIZE_MAX;
	}
	return at == len || line[at] == ' ' ? size : SIZE_MAX;
}

static void
check_reply(const struct reply *reply)
{
	assert(reply->code >= 200 && reply->code < 600);
	assert(reply->code / 100 != 3 || reply->code == 354 ||
		reply->code == 334);
	if (reply->enhanced[0] != 0)
		assert(reply->enhanced[0] - '0' == reply->code / 100);
	else
		assert(reply->code == 250 || reply->code == 220 ||
			reply->code / 100 == 3);
}

static void
check_state(const struct world *world)
{
	const struct session *session = world->session;
	const struct transaction *transaction = &session->transaction;

	if ((session->state & SESSION_OPEN) == 0) {
		assert(transaction->submission.fd < 0);
		assert(transaction->envelope.recipients == 0);
		assert(transaction->envelope.reverse_path == NULL);
	} else {
		assert(transaction->envelope.reverse_path != NULL);
		assert(transaction->submission.fd >= 0);
		assert((session->state == SESSION_MAIL) ==
			(transaction->envelope.recipients == 0));
	}
}

/* Reads what is there; whether the message was ended. */
static bool
was_ended(int queue)
{
	char octets[65536];
	ssize_t got;
	bool is_ended = false;

	while ((got = recv(queue, octets, sizeof octets, MSG_DONTWAIT)) > 0)
		for (ssize_t i = 0; i + 15 < got; i++)
			is_ended |=
				memcmp(octets + i, "ann@client.test", 15) == 0;
	return is_ended;
}

/* One line; false when the session has ended. */
static bool
step(struct world *world)
{
	struct session *session = world->session;
	const char *line;
	size_t len, expected = SIZE_MAX;
	bool was_open = (session->state & SESSION_OPEN) != 0;
	struct reply reply;

	switch (line_read(&session->input, LINE_COMMAND_MAX,
		session_deadline_ms(session), &line, &len)) {
	case LINE_OK:
		expected = announced(line, len);
		if (memchr(line, 0, len) != NULL)
			expected = SIZE_MAX;
		size_t before = left(session);
		reply = verbs_run(session, line, len);
		if (!session->is_lost && !reply.close_after &&
			expected != SIZE_MAX && reply.code != 500)
			assert(before - left(session) == expected);
		break;
	case LINE_TOO_LONG:
		reply = verbs_refuse(session, "line too long");
		break;
	case LINE_BARE:
		reply = verbs_refuse_bare(session, line, len);
		break;
	default:
		return false;
	}
	if (session->is_lost)
		return false;
	check_reply(&reply);
	check_state(world);
	if (was_open && (session->state & SESSION_OPEN) == 0 &&
		world->queue >= 0)
		assert(was_ended(world->queue) ==
			(reply.code == 250 &&
				strstr(reply.text, "queued as") != NULL));
	return session_reply(session, &reply) == 0 && !reply.close_after;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world world;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	begin(&world, data[0], (const char *)data + 1, size - 1);
	do {
		if ((data[0] & 1) && (world.session->state & SESSION_OPEN) == 0)
			open_transaction(&world);
	} while (step(&world));
	end(&world);
	return 0;
}
