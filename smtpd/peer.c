#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "smtpd/peer.h"
#include "smtpd/configure.h"
#include "smtpd/decision.h"
#include "smtpd/judge.h"
#include "lib/networks.h"
#include "lib/proxy.h"
#include "smtpd/stop.h"

static void
name_peer(char into[SESSION_NAME_MAX + 1], const char *variable)
{
	const char *text = getenv(variable);

	session_name(into, text, text != NULL ? strlen(text) : 0);
}

void
peer_start(struct session *session)
{
	name_peer(session->peer.address, "TCPREMOTEIP");
	name_peer(session->peer.name, "TCPREMOTEHOST");
}

struct reply
peer_change(struct session *session, const char *address, const char *name)
{
	struct peer *peer = &session->peer;
	char why[300];

	session_end_transaction(session);
	session->state = SESSION_CONNECTED;
	session_name(peer->address, address, strlen(address));
	session_name(peer->name, name, strlen(name));
	peer->hello[0] = peer->login[0] = 0;
	peer->is_extended = false;
	/* TLS is the connection's; its certificate is not this client's. */
	memset(&peer->channel, 0, sizeof peer->channel);
	struct verdict verdict =
		judge_client(session, address, name, why, sizeof why);
	if (*why != 0)
		log_line("%s", why);
	if (verdict.reply.code != 220)
		decision_log(session, &(struct decision){.at = "CONNECT",
					      .code = verdict.reply.code,
					      .rule = verdict.rule,
					      .why = verdict.why});
	return verdict.reply;
}

/* --- the PROXY header --- */

/* Reads it: PROXY_MORE is one that does not come in time. */
static enum proxy_result
read_header(
	struct session *session, bool is_required, struct proxy_header *header)
{
	int64_t deadline_ms = deadline_after_ms(PEER_PROXY_MS);
	int64_t first_ms = is_required ? deadline_ms
				       : deadline_after_ms(PEER_PROXY_FIRST_MS);
	struct line_reader *input = &session->input;

	for (;;) {
		size_t len;
		const char *octets = line_buffered(input, &len);
		enum proxy_result result = proxy_scan(octets, len, header);

		if (result != PROXY_MORE)
			return result;
		if (line_fill(input, len == 0 ? first_ms : deadline_ms) ==
			LINE_OK)
			continue;
		return len == 0 && !is_required &&
				       deadline_left_ms(deadline_ms) > 0
			       ? PROXY_NONE
			       : PROXY_MORE;
	}
}

/* Octets that can be read, left where they are; -1 for none until the deadline. */
static ssize_t
peek(const struct session *session, char *into, size_t size,
	int64_t deadline_ms)
{
	if (stop_wait_input(session, deadline_ms) != STOP_INPUT)
		return -1;
	ssize_t got =
		recv(session->input.fd, into, size, MSG_PEEK | MSG_DONTWAIT);
	return got > 0 ? got : -1;
}

/*
 * The same where a handshake follows: what comes after the header is not ours to
 * read.
 */
static enum proxy_result
read_header_alone(
	struct session *session, bool is_required, struct proxy_header *header)
{
	int64_t deadline_ms = deadline_after_ms(PEER_PROXY_MS);
	int64_t first_ms = is_required ? deadline_ms
				       : deadline_after_ms(PEER_PROXY_FIRST_MS);
	char octets[PROXY_HEADER_MAX + 1];
	size_t taken = 0;

	for (;;) {
		ssize_t got =
			peek(session, octets + taken, sizeof octets - taken,
				taken == 0 ? first_ms : deadline_ms);
		if (got < 0)
			return taken == 0 && !is_required ? PROXY_NONE
							  : PROXY_MORE;
		size_t len = taken + (size_t)got;
		enum proxy_result result = proxy_scan(octets, len, header);
		if (result == PROXY_NONE)
			return taken == 0 ? PROXY_NONE : PROXY_BAD;
		if (result != PROXY_MORE && result != PROXY_BAD)
			len = header->octets;
		(void)recv(session->input.fd, octets + taken, len - taken,
			MSG_DONTWAIT);
		taken = len;
		/* Nothing of it is in the line reader. */
		header->octets = 0;
		if (result != PROXY_MORE)
			return result;
	}
}

/* Nothing is said to a proxy that does not keep to its part. */
static struct reply
refuse_proxy(struct session *session, size_t line, const char *why)
{
	char whole[100];

	snprintf(
		whole, sizeof whole, "%s, control/proxies line %zu", why, line);
	decision_log(session, &(struct decision){.at = "CONNECT",
				      .code = 421,
				      .rule = "proxies",
				      .why = whole});
	session->is_lost = true;
	return (struct reply){.code = 421, .close_after = 1};
}

static struct reply
take_header(struct session *session, const struct proxy_header *header,
	enum proxy_result result)
{
	char address[NETWORK_TEXT_MAX] = "unknown", proxy[SESSION_NAME_MAX + 1];

	memcpy(proxy, session->peer.address, sizeof proxy);
	line_consume(&session->input, header->octets);
	if (result == PROXY_CLIENT)
		network_address_write(&header->source, address);
	struct reply reply = peer_change(session, address, "");
	log_line("client=%s by PROXY from %s", session->peer.address, proxy);
	return reply;
}

/* A reply with code 0 where there is no header. */
static struct reply
receive_header(struct session *session)
{
	struct proxy_header header;
	const char *word;
	size_t line = networks_find(
		&session->settings.proxies, session->peer.address, &word);

	if (line == 0)
		return (struct reply){0};
	bool is_required = strcmp(word, "optional") != 0;
	enum proxy_result result =
		session->tls.is_first
			? read_header_alone(session, is_required, &header)
			: read_header(session, is_required, &header);
	switch (result) {
	case PROXY_CLIENT:
	case PROXY_UNKNOWN:
		return take_header(session, &header, result);
	case PROXY_NONE:
		if (!is_required)
			return (struct reply){0};
		return refuse_proxy(session, line, "no PROXY header");
	case PROXY_MORE:
		return refuse_proxy(
			session, line, "no whole PROXY header in time");
	default:
		return refuse_proxy(session, line, "a malformed PROXY header");
	}
}

struct reply
peer_begin(struct session *session)
{
	struct reply reply = receive_header(session);
	const char *word;

	/* By the client that is now: behind a proxy, not the proxy. */
	session->peer.may_xclient = networks_find(&session->settings.xclients,
					    session->peer.address, &word) != 0;
	if (reply.code != 0)
		return reply;
	return judge_greeting(session);
}
