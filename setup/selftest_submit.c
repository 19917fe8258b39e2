/* The message's way in, and through the queue. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/ident.h"
#include "queue/layout.h"
#include "remote/mx.h"
#include "setup/selftest.h"
#include "tools/queue_walk.h"

#define CONNECT_MS 10000
#define ANSWER_MS 30000
#define LOOK_MS 20
#define WALK_MS 300

/* --- submission --- */

static bool
connect_submission(struct selftest *selftest, char text[64])
{
	static const struct client_timeouts timeouts = {CONNECT_MS, ANSWER_MS,
		ANSWER_MS, ANSWER_MS, ANSWER_MS, ANSWER_MS, ANSWER_MS};
	struct client *client = &selftest->client;

	mx_address_text(&selftest->submission, text, 64);
	int fd = client_connect(&selftest->submission, NULL, CONNECT_MS);
	if (fd < 0) {
		selftest_step(selftest, FINDING_FAIL, "submission",
			"svstat HOME/service/submission, and its log",
			"no connection to %s: %s", text, strerror(errno));
		return false;
	}
	client_start(client, fd, selftest->me, text, &timeouts);
	if (client_greet(client, selftest->me) != CLIENT_OK) {
		selftest_step(selftest, FINDING_FAIL, "submission",
			"log/submission/current in the home", "%s",
			client->text);
		return false;
	}
	selftest_step(selftest, FINDING_OK, "submission", NULL, "answers on %s",
		text);
	return true;
}

void
selftest_tell_tls(struct selftest *selftest, const char *subject,
	const struct tls_facts *facts)
{
	bool is_verified = facts->verified == TLS_VERIFIED_NAME;

	selftest_step(selftest, is_verified ? FINDING_OK : FINDING_WARN,
		subject,
		is_verified ? NULL
			    : "keepmail setup DOMAIN says what the certificate "
			      "lacks",
		"%s, %s, the certificate is %s%s%s", facts->protocol,
		facts->cipher,
		is_verified ? "verified" : "not one that others trust",
		is_verified || facts->text[0] == '\0' ? "" : ": ",
		is_verified ? "" : facts->text);
}

static bool
encrypt(struct selftest *selftest, const char *peer)
{
	struct client *client = &selftest->client;
	struct tls_facts facts = {0};
	struct tls_request request = {.magic = TLS_MAGIC,
		.service = TLS_CONNECT,
		.check = TLS_CHECK_NONE};

	if ((client->capabilities & CLIENT_STARTTLS) == 0) {
		selftest_step(selftest, FINDING_FAIL, "TLS",
			"keepmail setup DOMAIN makes a certificate; "
			"log/tlsd/current in the home says what tlsd lacks",
			"STARTTLS is not offered");
		return false;
	}
	snprintf(request.name, sizeof request.name, "%s", selftest->me);
	snprintf(request.peer, sizeof request.peer, "%s", peer);
	if (client_start_tls(client, selftest->socket, &request, selftest->me,
		    &facts) != CLIENT_TLS_ON) {
		selftest_step(selftest, FINDING_FAIL, "TLS",
			"svstat HOME/service/tls-client HOME/service/tlsd, and "
			"their logs",
			"%s", client->text);
		return false;
	}
	selftest_tell_tls(selftest, "TLS", &facts);
	return true;
}

static bool
log_in(struct selftest *selftest)
{
	struct client *client = &selftest->client;
	char mend[FINDINGS_TEXT_MAX];

	if (client_log_in(client, &selftest->login, 0) != CLIENT_OK) {
		selftest_step(selftest, FINDING_FAIL, "login",
			findings_mend(mend,
				"keepmail user-passwd %s, and the "
				"same to selftest",
				selftest->login.user),
			"%s", client->text);
		return false;
	}
	selftest_step(selftest, FINDING_OK, "login", NULL, "as %s",
		selftest->login.user);
	return true;
}

struct verdict {
	enum outcome outcome;
	char text[OUTCOME_TEXT_MAX + 1];
};

static void
take_result(void *context, size_t index, enum outcome outcome, const char *text)
{
	struct verdict *verdict = context;

	(void)index;
	verdict->outcome = outcome;
	snprintf(verdict->text, sizeof verdict->text, "%s", text);
}

/* Takes the id out of "… queued as ID". */
static void
take_id(struct selftest *selftest, const char *text)
{
	static const char before[] = "queued as ";
	const char *id = strstr(text, before);

	selftest->id[0] = '\0';
	if (id == NULL)
		return;
	id += sizeof before - 1;
	if (strlen(id) >= IDENT_LENGTH && ident_valid(id, IDENT_LENGTH))
		snprintf(selftest->id, sizeof selftest->id, "%.*s",
			IDENT_LENGTH, id);
}

static bool
send_message(struct selftest *selftest)
{
	struct client *client = &selftest->client;
	struct verdict verdict = {.outcome = OUTCOME_DEFERRED};
	struct client_recipient recipient = {
		.address = selftest->login.user, .state = CLIENT_UNSENT};
	struct client_message message = {.reverse_path = selftest->login.user,
		.recipient = &recipient,
		.recipients = 1,
		.content_fd = selftest->content_fd,
		.octets = selftest->octets,
		.result = take_result,
		.context = &verdict};
	enum client_result result = client_send_message(client, &message);

	if (result == CLIENT_NEXT_HOST)
		snprintf(verdict.text, sizeof verdict.text, "%s", client->text);
	client_quit(client);
	if (verdict.outcome != OUTCOME_RELAYED &&
		verdict.outcome != OUTCOME_RELAYED_DSN) {
		selftest_step(selftest, FINDING_FAIL, "submitted",
			"log/submission/current and log/queue-inject/current "
			"in the home",
			"%s", verdict.text);
		return false;
	}
	take_id(selftest, verdict.text);
	selftest_step(selftest, FINDING_OK, "submitted", NULL, "queued as %s",
		selftest->id);
	return true;
}

bool
selftest_submit(struct selftest *selftest)
{
	char peer[64];
	bool is_done = connect_submission(selftest, peer) &&
		       encrypt(selftest, peer) && log_in(selftest) &&
		       send_message(selftest);

	if (selftest->client.fd >= 0)
		close(selftest->client.fd);
	return is_done;
}

/* --- the queue --- */

struct place {
	const char *id;
	char folder[32];
};

static void
compare(void *context, const struct queue_entry *entry)
{
	struct place *place = context;

	if (strcmp(entry->id, place->id) == 0)
		snprintf(place->folder, sizeof place->folder, "%s",
			entry->folder);
}

static bool
is_in(const struct selftest *selftest, const char *folder)
{
	char path[LAYOUT_PATH_MAX];

	layout_message(folder, selftest->id, path);
	return faccessat(selftest->queue, path, F_OK, 0) == 0;
}

bool
selftest_follow(struct selftest *selftest)
{
	struct place place = {.id = selftest->id};
	char bad[LAYOUT_PATH_MAX], mend[FINDINGS_TEXT_MAX];

	if (selftest->id[0] == '\0')
		return true;
	do {
		/* in the order in which it goes from one to the other */
		while (deadline_left_ms(selftest->deadline_ms) > 0 &&
			(is_in(selftest, QUEUE_INCOMING) ||
				is_in(selftest, QUEUE_ACTIVE)))
			(void)poll(NULL, 0, LOOK_MS);
		place.folder[0] = '\0';
		if (queue_walk(selftest->queue, compare, &place, bad) < 0) {
			selftest_step(selftest, FINDING_FAIL, "queue",
				"keepmail queue-check", "%s: %s", bad,
				strerror(errno));
			return false;
		}
		if (place.folder[0] == '\0') {
			selftest_step(selftest, FINDING_OK, "queue", NULL,
				"has handed it on");
			return true;
		}
		(void)poll(NULL, 0, WALK_MS);
	} while (deadline_left_ms(selftest->deadline_ms) > 0);
	selftest_step(selftest, FINDING_FAIL, "queue",
		findings_mend(mend,
			"keepmail queue-list says why; keepmail queue-delete "
			"%s takes it out",
			selftest->id),
		"%s is still in %s", selftest->id, place.folder);
	return false;
}
