#include "remote/reach.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "remote/client_wire.h"

/* How long finding the hosts may take. */
#define FIND_MS 90000
/* After a login was rejected, none is tried for this time: guesses lock
 * accounts. */
#define REJECTED_MS 60000
/* Transactions over one connection, unless the server wants fewer, and its age:
 * servers behind one name get their turns, and what a server holds for us is given
 * back now and then. */
#define CONNECTION_MAILS_MAX 1000
#define CONNECTION_AGE_MS (10 * 60 * 1000)

/* What came of one address. */
enum attempt {
	ATTEMPT_OK,
	ATTEMPT_NEXT,	/* another address may do */
	ATTEMPT_CLEAR,	/* the same one, without TLS */
	ATTEMPT_HELO,	/* the same one, without EHLO */
	ATTEMPT_NO_USE, /* no address will do */
};

void
reach_start(struct reach *way, const struct reach_options *options, int secrets,
	int error, struct dead_table *dead, int parent)
{
	memset(way, 0, sizeof *way);
	way->dead = dead;
	way->parent = parent;
	way->options = options;
	way->secrets = secrets;
	way->secrets_errno = error;
	way->client.fd = -1;
}

void
reach_close(struct reach *way)
{
	if (way->client.fd < 0)
		return;
	client_quit(&way->client);
	close(way->client.fd);
	way->client.fd = -1;
}

void
reach_recall(struct reach *way, const struct mx_list *hosts, int64_t until_ms)
{
	way->hosts = *hosts;
	way->has_hosts = true;
	way->good_until_ms = until_ms;
}

void
reach_begin(struct reach *way, int64_t asked_ms)
{
	way->asked_ms = asked_ms;
	way->is_begun = true;
	way->aside = 0;
}

static void
forget_secrets(struct reach *way)
{
	if (way->secrets >= 0)
		close(way->secrets);
	way->secrets = -1;
}

void
reach_end(struct reach *way)
{
	reach_close(way);
	forget_secrets(way);
	explicit_bzero(&way->login, sizeof way->login);
}

void
reach_pass(struct reach *way)
{
	snprintf(way->down_text, sizeof way->down_text, "%s", way->client.text);
	reach_close(way);
	if (!way->is_used)
		way->at++;
}

/* --- the route and the hosts --- */

/* Takes the login of the route. False: down_text says why there is none. */
static bool
find_login(struct reach *way)
{
	char why[300];

	errno = way->secrets_errno;
	if (smarthosts_find(way->secrets, way->options->secrets_owner,
		    getegid(), way->target.words.auth, &way->login, why,
		    sizeof why) == 0)
		return true;
	log_line("no login \"%s\": %s", way->target.words.auth, why);
	snprintf(way->down_text, sizeof way->down_text,
		"4.3.5 this host has no login \"%s\" for the relay %.255s",
		way->target.words.auth, way->target.name);
	return false;
}

/* Reads the destination, which is the same for all jobs. False: down_text. */
static bool
take_route(struct reach *way, const char *destination)
{
	if (way->has_route)
		return true;
	way->down_outcome = OUTCOME_DEFERRED;
	if (route_parse(destination, &way->target) < 0) {
		snprintf(way->down_text, sizeof way->down_text,
			"4.3.5 not a destination: %.300s", destination);
		return false;
	}
	if (way->target.words.unusable != 0) {
		snprintf(way->down_text, sizeof way->down_text,
			"4.3.5 this host's control/smtproutes, line %u, is not "
			"understood: see the log of queue-runner",
			(unsigned)way->target.words.unusable);
		return false;
	}
	if (way->target.words.auth[0] != 0 && !find_login(way))
		return false;
	/* from here on strangers are listened to */
	forget_secrets(way);
	way->has_route = true;
	if (way->has_hosts &&
		!mx_recall(&way->options->mx, &way->target, &way->hosts))
		way->has_hosts = false;
	return true;
}

/* Finds the hosts, unless they are known. False: down_* says why. */
static bool
find_hosts(struct reach *way)
{
	if (way->has_hosts &&
		(!way->is_begun || deadline_left_ms(way->good_until_ms) > 0))
		return true;
	way->has_hosts = false;
	way->at = 0;
	way->down_outcome = OUTCOME_DEFERRED;
	enum mx_result result = mx_find(&way->options->mx, &way->target,
		deadline_after_ms(FIND_MS), &way->hosts);
	if (result != MX_OK) {
		way->down_outcome = mx_outcome(result);
		snprintf(way->down_text, sizeof way->down_text, "%s",
			way->hosts.text);
		return false;
	}
	way->has_hosts = true;
	way->is_news = true;
	way->good_until_ms =
		deadline_after_ms((int64_t)way->hosts.ttl_s * 1000);
	return true;
}

/* --- one connection --- */

/* The route's source address for the family; NULL if it names none. */
static const struct sockaddr_storage *
find_source(const struct route_words *words, int family,
	struct sockaddr_storage *source)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)source;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)source;

	memset(source, 0, sizeof *source);
	source->ss_family = (sa_family_t)family;
	if (family == AF_INET && words->has_source_v4)
		v4->sin_addr = words->source_v4;
	else if (family == AF_INET6 && words->has_source_v6)
		v6->sin6_addr = words->source_v6;
	else
		return NULL;
	return source;
}

static void
make_request(const struct reach *way, const struct mx_address *address,
	const char *text, struct tls_request *request)
{
	const struct route_words *words = &way->target.words;

	*request = (struct tls_request){
		.magic = TLS_MAGIC,
		.service = TLS_CONNECT,
		.check = words->tls == ROUTE_TLS_VERIFY ? TLS_CHECK_NAME
							: TLS_CHECK_NONE,
	};
	snprintf(request->name, sizeof request->name, "%s",
		words->name[0] != 0 ? words->name : address->host);
	snprintf(request->certificate, sizeof request->certificate, "%s",
		words->certificate);
	snprintf(request->peer, sizeof request->peer, "%s", text);
}

/*
 * Whether a verified name proves that this is the recipients' server, which
 * REQUIRETLS asks (RFC 8689 section 4.2.1): not if only the DNS has said that
 * name, unsigned. A relay that the administrator names is.
 */
static bool
is_proof(const struct reach *way)
{
	return way->target.routed || way->target.words.name[0] != 0;
}

/* The connection is of no use without TLS, or with one that failed. */
static enum attempt
refuse(struct reach *way, enum attempt attempt)
{
	snprintf(way->down_text, sizeof way->down_text, "%s", way->client.text);
	reach_close(way);
	return attempt;
}

/* Encrypts the connection as far as the route wants it. */
static enum attempt
encrypt(struct reach *way, const struct mx_address *address, const char *text,
	bool in_clear)
{
	enum route_tls policy = way->target.words.tls;
	bool must = policy == ROUTE_TLS_MUST || policy == ROUTE_TLS_VERIFY;
	struct client *client = &way->client;
	enum client_tls_result result = CLIENT_TLS_NOT_HERE;
	struct tls_request request;
	struct tls_facts facts;

	if (policy == ROUTE_TLS_NONE || in_clear)
		return ATTEMPT_OK;
	if (client->capabilities & CLIENT_STARTTLS) {
		make_request(way, address, text, &request);
		result = client_start_tls(client, way->options->tls_socket,
			&request, way->options->helo, &facts);
	} else {
		client_text(client, client->text,
			"4.7.4 the server offers no TLS, which the route "
			"demands");
	}
	switch (result) {
	case CLIENT_TLS_ON:
		client->is_proven =
			facts.verified == TLS_VERIFIED_NAME && is_proof(way);
		return ATTEMPT_OK;
	case CLIENT_TLS_NOT_HERE:
	case CLIENT_TLS_REFUSED:
		/* what is offered may be had another day */
		way->is_for_tls = !must && way->needs_tls &&
				  client->capabilities & CLIENT_STARTTLS;
		return must || way->is_for_tls ? refuse(way, ATTEMPT_NEXT)
					       : ATTEMPT_OK;
	case CLIENT_TLS_FAILED:
		way->is_for_tls = !must && way->needs_tls;
		if (must || way->needs_tls || way->target.words.auth[0] != 0)
			return refuse(way, ATTEMPT_NEXT);
		log_line("%s; once more in clear", client->text);
		return refuse(way, ATTEMPT_CLEAR);
	case CLIENT_TLS_LOST:
		break;
	}
	return refuse(way, ATTEMPT_NEXT);
}

static enum attempt
log_in(struct reach *way)
{
	switch (client_log_in(
		&way->client, &way->login, way->target.words.auth_clear)) {
	case CLIENT_OK:
		return ATTEMPT_OK;
	case CLIENT_NEXT_HOST:
		return refuse(way, ATTEMPT_NEXT);
	case CLIENT_CLOSE:
		break;
	}
	log_line("%s", way->client.text);
	return refuse(way, ATTEMPT_NO_USE);
}

/* Whether a server without extensions is of use at all. */
static bool
may_say_helo(const struct reach *way)
{
	enum route_tls policy = way->target.words.tls;

	return (policy == ROUTE_TLS_NONE || policy == ROUTE_TLS_MAY) &&
	       way->target.words.auth[0] == 0 && !way->needs_tls;
}

/* Connects to one address, and brings the connection to where mail can be
 * sent. Unless ATTEMPT_OK down_text says why not. */
static enum attempt
try_address(struct reach *way, const struct mx_address *address,
	enum attempt before)
{
	struct client *client = &way->client;
	struct sockaddr_storage source;
	enum attempt attempt;
	char text[64];

	way->is_for_tls = false;
	mx_address_text(&address->address, text, sizeof text);
	int fd = reach_connect(way, address,
		find_source(&way->target.words, address->address.ss_family,
			&source));
	if (fd < 0) {
		way->is_short = errno == EMFILE || errno == ENFILE ||
				errno == ENOMEM || errno == ENOBUFS;
		snprintf(way->down_text, sizeof way->down_text,
			"4.4.1 no connection: %s (host %s [%s])",
			strerror(errno), address->host, text);
		return ATTEMPT_NEXT;
	}
	client_start(client, fd, address->host, text, &way->options->timeouts);
	/* A 5xx greeting speaks of that host, not of the recipients: another
	 * host, or another day, may do. */
	client->helo_only = before == ATTEMPT_HELO;
	client->no_bdat = way->target.words.no_bdat;
	if (client_greet(client, way->options->helo) != CLIENT_OK)
		return refuse(way, client->ehlo_lost && may_say_helo(way)
					   ? ATTEMPT_HELO
					   : ATTEMPT_NEXT);
	attempt = encrypt(way, address, text, before == ATTEMPT_CLEAR);
	if (attempt == ATTEMPT_OK && way->target.words.auth[0] != 0)
		attempt = log_in(way);
	if (attempt == ATTEMPT_OK) {
		way->is_used = false;
		way->since_ms = deadline_now_ms();
	}
	return attempt;
}

/* Tries the current address in every way that is left. */
static enum attempt
try_current(struct reach *way)
{
	const struct mx_address *address = &way->hosts.entry[way->at];
	enum attempt attempt = try_address(way, address, ATTEMPT_OK);

	way->is_tried = true;
	if (attempt == ATTEMPT_CLEAR || attempt == ATTEMPT_HELO)
		attempt = try_address(way, address, attempt);
	if (attempt == ATTEMPT_NO_USE)
		way->down_until_ms = deadline_after_ms(REJECTED_MS);
	return attempt;
}

/* Goes on from the current address until one will do. */
static bool
try_all(struct reach *way)
{
	enum attempt attempt = ATTEMPT_NEXT;

	way->down_outcome = OUTCOME_DEFERRED;
	for (; way->at < way->hosts.count && !way->is_short; way->at++) {
		if (reach_is_aside(way, way->at) ||
			reach_is_out(way, &way->hosts.entry[way->at]))
			continue;
		attempt = try_current(way);
		if (attempt == ATTEMPT_OK || attempt == ATTEMPT_NO_USE)
			return attempt == ATTEMPT_OK;
	}
	if (way->is_tried || !way->is_begun)
		return false;
	way->at = reach_find_probe(way);
	if (way->at < way->hosts.count)
		attempt = try_current(way);
	return attempt == ATTEMPT_OK;
}

/* Whether the message at hand may have TLS over another connection than this. */
static bool
is_too_clear(const struct reach *way)
{
	const struct client *client = &way->client;

	return way->needs_tls && !client->is_encrypted &&
	       (client->capabilities & CLIENT_STARTTLS || client->helo_only) &&
	       way->target.words.tls != ROUTE_TLS_NONE;
}

/* Whether the connection has served its time. */
static bool
is_worn_out(const struct reach *way)
{
	const struct client *client = &way->client;

	return client->mails >= CONNECTION_MAILS_MAX ||
	       (client->mail_max > 0 && client->mails >= client->mail_max) ||
	       deadline_now_ms() - way->since_ms > CONNECTION_AGE_MS;
}

/* None of them will do: the DNS is to be asked anew, by whoever is next. */
static void
forget_hosts(struct reach *way)
{
	if (way->has_hosts)
		way->is_news = true;
	way->has_hosts = false;
	way->hosts.ttl_s = 0;
}

static bool
find_way(struct reach *way, const char *destination, bool needs_tls)
{
	way->is_short = false;
	way->is_for_tls = false;
	way->is_tried = false;
	way->needs_tls = needs_tls;
	if (way->client.fd >= 0 && (is_worn_out(way) || is_too_clear(way)))
		reach_close(way);
	if (way->client.fd >= 0)
		return true;
	if (way->asked_ms < way->down_ms ||
		deadline_left_ms(way->down_until_ms) > 0)
		return false;
	bool is_open =
		take_route(way, destination) && find_hosts(way) && try_all(way);
	way->is_begun = false;
	if (is_open)
		return true;
	/* what is wrong with the message, or was not tried, says nothing of them */
	if (way->has_hosts && (way->aside != 0 || !way->is_tried))
		way->at = 0;
	else
		forget_hosts(way);
	/* other messages can be sent there */
	way->is_short |= way->is_for_tls || way->aside != 0;
	if (!way->is_short)
		way->down_ms = deadline_now_ms();
	return false;
}

bool
reach_open(struct reach *way, const char *destination, bool needs_tls)
{
	bool is_open = find_way(way, destination, needs_tls);

	if (is_open)
		way->client.has_v4 = reach_has_v4(way);
	return is_open;
}
