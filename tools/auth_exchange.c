#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include "lib/deadline.h"
#include "lib/descriptors.h"
#include "lib/log.h"
#include "lib/outcome.h"
#include "local/warden.h"
#include "tools/auth_exchange.h"
#include "tools/sasl.h"

#define BEGIN_WAIT_MS 10000
#define SLOT_WAIT_MS 10000
#define WARDEN_WAIT_MS 10000
#define START_WAIT_MS 10000
/* A refusal leaves at a multiple of this since the last response came. */
#define REFUSAL_STEP_MS 200

struct exchange {
	const struct auth_place *place;
	const struct auth_limits *limits;
	int fd;
	int64_t deadline_ms;
	struct auth_begin begin;
	struct auth_message message; /* what was received, or is sent */
	struct sasl sasl;
};

/* --- records --- */

/* Returns the octets received, 0 if the asker has gone, or -1. */
static ssize_t
receive(const struct exchange *exchange, int64_t deadline_ms, void *record,
	size_t size, int descriptor[3], unsigned *descriptors)
{
	struct pollfd one = {exchange->fd, POLLIN, 0};
	ssize_t got;

	do {
		if (poll(&one, 1, deadline_left_ms(deadline_ms)) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		got = descriptors_receive(exchange->fd, record, size,
			descriptor, descriptor != NULL ? 3 : 0, descriptors);
	} while (got < 0 && (errno == EAGAIN || errno == EINTR));
	return got;
}

static bool
is_text(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static bool
is_begin(const struct auth_begin *begin, size_t got)
{
	const struct auth_channel *channel = &begin->channel;

	return got >= AUTH_BEGIN_SIZE(0) && begin->magic == AUTH_MAGIC &&
	       begin->service >= AUTH_SERVICE_POP3 &&
	       begin->service <= AUTH_SERVICE_CHECK && begin->mechanism >= 1 &&
	       begin->mechanism <= AUTH_MECHANISMS && begin->has_initial <= 1 &&
	       begin->length <= AUTH_OCTETS_MAX &&
	       (begin->has_initial == 1 || begin->length == 0) &&
	       got == AUTH_BEGIN_SIZE(begin->length) &&
	       channel->exporter_len <= sizeof channel->exporter &&
	       channel->end_point_len <= sizeof channel->end_point &&
	       is_text(channel->identity, sizeof channel->identity) &&
	       is_text(begin->client, sizeof begin->client) &&
	       is_text(begin->timestamp, sizeof begin->timestamp);
}

static int
receive_begin(struct exchange *exchange)
{
	unsigned descriptors;
	ssize_t got = receive(exchange, deadline_after_ms(BEGIN_WAIT_MS),
		&exchange->begin, sizeof exchange->begin, NULL, &descriptors);

	if (got > 0 && is_begin(&exchange->begin, (size_t)got))
		return 0;
	if (got != 0)
		log_line("not a question: %s",
			got < 0 ? strerror(errno) : "malformed");
	return -1;
}

/* The next record of a kind, in exchange->message. 0, or -1: it is over. */
static int
receive_message(struct exchange *exchange, enum auth_kind kind,
	int64_t deadline_ms, int descriptor[3])
{
	struct auth_message *message = &exchange->message;
	unsigned descriptors = 0, wanted = descriptor != NULL ? 3 : 0;
	ssize_t got = receive(exchange, deadline_ms, message, sizeof *message,
		descriptor, &descriptors);

	if (got == 0 ||
		(got < 0 && (errno == ETIMEDOUT || errno == ECONNRESET)))
		return -1;
	if (got >= (ssize_t)AUTH_MESSAGE_SIZE(0) &&
		message->magic == AUTH_MAGIC && message->kind == kind &&
		message->verdict == 0 && message->length <= AUTH_OCTETS_MAX &&
		(size_t)got == AUTH_MESSAGE_SIZE(message->length) &&
		descriptors == wanted)
		return 0;
	log_line("not an answer: %s", got < 0 ? strerror(errno) : "malformed");
	return -1;
}

static int
send_message(const struct exchange *exchange)
{
	const struct auth_message *message = &exchange->message;

	if (descriptors_send(exchange->fd, message,
		    AUTH_MESSAGE_SIZE(message->length), NULL, 0) == 0)
		return 0;
	if (errno != EPIPE && errno != ECONNRESET)
		log_line("cannot answer: %s", strerror(errno));
	return -1;
}

static void
make_verdict(struct auth_message *message, enum auth_verdict verdict,
	const char *account)
{
	message->magic = AUTH_MAGIC;
	message->kind = AUTH_VERDICT;
	message->verdict = verdict;
	message->length = 0;
	if (verdict != AUTH_YES)
		return;
	message->length = (uint32_t)strlen(account);
	memcpy(message->octets, account, message->length);
}

void
exchange_turn_away(int fd)
{
	struct auth_message message;

	make_verdict(&message, AUTH_TEMPORARY, NULL);
	(void)descriptors_send(fd, &message, AUTH_MESSAGE_SIZE(0), NULL, 0);
}

/* --- the exchange --- */

/* The client's address stands in the log before the name, so that whatever the
 * name holds, nobody can put another address there. */
static void
clean_client(char *client)
{
	if (*client == 0 ||
		strspn(client, "0123456789abcdefABCDEF.:") != strlen(client))
		snprintf(client, AUTH_CLIENT_MAX, "unknown");
}

/* The name without blanks, so that nothing in it looks like another field. */
static void
write_name(char *into, size_t size, const char *name)
{
	size_t used = 0;

	for (; *name != 0 && used + 5 < size; name++) {
		if (*name == ' ' || *name == '\\') {
			snprintf(into + used, size - used, "\\x%02x",
				(unsigned)*name);
			used += 4;
		} else {
			into[used++] = *name;
		}
	}
	into[used] = 0;
}

static void
tell(const struct exchange *exchange, enum auth_verdict verdict)
{
	static const char *const meaning[] = {[AUTH_YES] = "login",
		[AUTH_NO] = "login failed",
		[AUTH_TEMPORARY] = "login deferred",
		[AUTH_MALFORMED] = "login malformed"};
	static const char *const service[] = {[AUTH_SERVICE_POP3] = "pop3",
		[AUTH_SERVICE_SMTP] = "smtp",
		[AUTH_SERVICE_CHECK] = "check"};
	const struct auth_begin *begin = &exchange->begin;
	const char *reason = exchange->sasl.reason;
	char name[4 * AUTH_NAME_MAX + 6];

	write_name(name, sizeof name, exchange->sasl.name);
	log_line("%s: service=%s client=%s mechanism=%s%s%s%s name=%s",
		meaning[verdict], service[begin->service], begin->client,
		begin->mechanism == AUTH_APOP
			? "APOP"
			: auth_mechanism_name(begin->mechanism),
		reason != NULL ? " (" : "", reason != NULL ? reason : "",
		reason != NULL ? ")" : "", name);
}

/* Waits as the limits ask for, decides, and takes note. */
static enum auth_verdict
decide(struct exchange *exchange)
{
	const char *client = exchange->begin.client;
	struct sasl *sasl = &exchange->sasl;
	int wait_ms = auth_limits_delay(
		exchange->limits, client, sasl->name, deadline_now_ms());

	if (wait_ms < 0) {
		sasl->reason = "too many failures";
		return AUTH_TEMPORARY;
	}
	if (wait_ms > 0)
		poll(NULL, 0, wait_ms);
	int slot = auth_limits_take_slot(
		exchange->limits, deadline_after_ms(SLOT_WAIT_MS));
	if (slot < 0) {
		sasl->reason = "too many logins at the same time";
		return AUTH_TEMPORARY;
	}
	enum auth_verdict verdict = sasl_check(sasl);
	auth_limits_give_slot(exchange->limits, slot);
	if (verdict == AUTH_YES || verdict == AUTH_NO)
		auth_limits_note(exchange->limits, client, sasl->name,
			verdict == AUTH_YES, deadline_now_ms());
	return verdict;
}

/* Carries the exchange to its verdict. -1: the asker has gone. */
static int
converse(struct exchange *exchange, enum auth_verdict *verdict)
{
	const struct auth_begin *begin = &exchange->begin;
	struct auth_message *message = &exchange->message;
	struct sasl *sasl = &exchange->sasl;
	enum sasl_next next =
		sasl_take(sasl, begin->has_initial == 1 ? begin->octets : NULL,
			begin->length, message);

	while (next == SASL_CHALLENGE) {
		if (send_message(exchange) < 0 ||
			receive_message(exchange, AUTH_RESPONSE,
				exchange->deadline_ms, NULL) < 0)
			return -1;
		next = sasl_take(
			sasl, message->octets, message->length, message);
	}
	*verdict = next == SASL_MALFORMED ? AUTH_MALFORMED : AUTH_TEMPORARY;
	if (next != SASL_READY)
		return 0;
	int64_t came_ms = deadline_now_ms();
	*verdict = decide(exchange);
	if (*verdict == AUTH_NO)
		poll(NULL, 0,
			REFUSAL_STEP_MS - (int)((deadline_now_ms() - came_ms) %
						  REFUSAL_STEP_MS));
	if (*verdict != AUTH_YES || !sasl_farewell(sasl, message))
		return 0;
	if (send_message(exchange) < 0 ||
		receive_message(exchange, AUTH_RESPONSE, exchange->deadline_ms,
			NULL) < 0)
		return -1;
	if (message->length > 0)
		*verdict = AUTH_MALFORMED;
	return 0;
}

/* --- POP3: the session --- */

static enum auth_verdict
ask_warden(const struct exchange *exchange, const int descriptor[3])
{
	struct warden_request request = {
		.magic = WARDEN_MAGIC, .kind = WARDEN_POP3};
	char path[HOME_NAME_MAX];
	int fd = -1;

	snprintf(request.account, sizeof request.account, "%s",
		exchange->sasl.key);
	snprintf(request.client, sizeof request.client, "%s",
		exchange->begin.client);
	if (warden_ask(&fd,
		    home_path(exchange->place->home, "socket/warden", path),
		    &request, descriptor, 3,
		    deadline_after_ms(WARDEN_WAIT_MS)) == 0)
		return AUTH_YES;
	log_line("%s: %s", path, strerror(errno));
	return AUTH_TEMPORARY;
}

/* After AUTH_YES was sent. -1: the asker wants no session. */
static int
start_session(struct exchange *exchange, enum auth_verdict *verdict)
{
	int descriptor[3];

	if (receive_message(exchange, AUTH_START,
		    deadline_after_ms(START_WAIT_MS), descriptor) < 0)
		return -1;
	*verdict = ask_warden(exchange, descriptor);
	return 0;
}

static int
run(struct exchange *exchange)
{
	const char *account = exchange->sasl.key + 2;
	enum auth_verdict verdict;

	if (converse(exchange, &verdict) < 0)
		return STATUS_DONE;
	make_verdict(&exchange->message, verdict, account);
	if (verdict == AUTH_YES &&
		exchange->begin.service == AUTH_SERVICE_POP3) {
		if (send_message(exchange) < 0 ||
			start_session(exchange, &verdict) < 0)
			return STATUS_DONE;
		make_verdict(&exchange->message, verdict, account);
	}
	tell(exchange, verdict);
	return send_message(exchange) < 0 ? STATUS_TEMPORARY : STATUS_DONE;
}

int
exchange_run(const struct auth_place *place, const struct auth_limits *limits,
	int fd)
{
	struct exchange exchange = {.place = place,
		.limits = limits,
		.fd = fd,
		.deadline_ms = deadline_after_ms(EXCHANGE_MS)};
	int status = STATUS_MISUSE;

	if (receive_begin(&exchange) == 0) {
		clean_client(exchange.begin.client);
		sasl_start(&exchange.sasl, place, &exchange.begin);
		status = run(&exchange);
	}
	sasl_end(&exchange.sasl);
	explicit_bzero(&exchange, sizeof exchange);
	return status;
}
