#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "lib/networks.h"
#include "lib/proxy.h"
#include "pop3d/login.h"

/*
 * Who the client is: the connection's peer, as tcpserver says, or somebody behind
 * it, as a listed proxy says by a PROXY header before anything else.
 */

/* How long countd may take for an answer. */
#define COUNT_MS (2 * 1000)

void
login_peer_start(struct login *login)
{
	const char *address = getenv("TCPREMOTEIP");

	COUNTER_CLOSED(&login->counter);
	if (address == NULL || *address == 0 ||
		strlen(address) >= sizeof login->client ||
		strspn(address, "0123456789abcdefABCDEF.:") != strlen(address))
		address = "unknown";
	snprintf(login->client, sizeof login->client, "%s", address);
}

/* --- the PROXY header --- */

/* What has come of it: taken from the connection octet for octet, so that a
 * handshake behind it is whole. */
struct head {
	size_t taken;
	char octets[PROXY_HEADER_MAX];
};

/* Waits for input. False: it does not come in time. */
static bool
wait_for_input(int64_t deadline_ms)
{
	struct pollfd waiting = {.fd = STDIN_FILENO, .events = POLLIN};

	for (;;) {
		int ready = poll(&waiting, 1, deadline_left_ms(deadline_ms));

		if (ready > 0)
			return true;
		if (ready == 0 || errno != EINTR)
			return false;
	}
}

/* Takes octets that were seen to be there. */
static bool
take(struct head *head, size_t count)
{
	ssize_t got = recv(STDIN_FILENO, head->octets + head->taken, count, 0);

	if (got != (ssize_t)count)
		return false;
	head->taken += count;
	return true;
}

/* PROXY_MORE is one that does not come, or not in time. */
static enum proxy_result
read_header(struct head *head, bool is_required, struct proxy_header *header)
{
	int64_t deadline_ms = deadline_after_ms(LOGIN_PROXY_MS);
	int64_t first_ms = is_required
				   ? deadline_ms
				   : deadline_after_ms(LOGIN_PROXY_FIRST_MS);

	for (;;) {
		if (!wait_for_input(head->taken == 0 ? first_ms : deadline_ms))
			return head->taken == 0 && !is_required ? PROXY_NONE
								: PROXY_MORE;
		ssize_t seen = recv(STDIN_FILENO, head->octets + head->taken,
			sizeof head->octets - head->taken, MSG_PEEK);
		if (seen < 0 && errno == EINTR)
			continue;
		if (seen <= 0)
			return PROXY_MORE;
		enum proxy_result result = proxy_scan(
			head->octets, head->taken + (size_t)seen, header);
		if (result == PROXY_CLIENT || result == PROXY_UNKNOWN)
			return take(head, header->octets - head->taken)
				       ? result
				       : PROXY_MORE;
		if (result != PROXY_MORE)
			return result;
		if (!take(head, (size_t)seen))
			return PROXY_MORE;
	}
}

/* What was taken for a header's beginning is the client's own. */
static void
give_back(struct login *login, const struct head *head)
{
	memcpy(login->in.buffer, head->octets, head->taken);
	login->in.end = head->taken;
}

static int
refuse(const struct login *login, size_t line, const char *why)
{
	log_line("client=%s refused: %s, control/proxies line %zu",
		login->client, why, line);
	return -1;
}

int
login_peer_proxy(struct login *login)
{
	struct proxy_header header;
	struct head head = {0};
	char address[NETWORK_TEXT_MAX] = "unknown";
	const char *word;
	size_t line = networks_find(&login->proxies, login->client, &word);

	if (line == 0)
		return 0;
	bool is_required = strcmp(word, "optional") != 0;
	switch (read_header(&head, is_required, &header)) {
	case PROXY_CLIENT:
		network_address_write(&header.source, address);
		break;
	case PROXY_UNKNOWN:
		break;
	case PROXY_NONE:
		if (is_required)
			return refuse(login, line, "no PROXY header");
		give_back(login, &head);
		return 0;
	case PROXY_MORE:
		return refuse(login, line, "no whole PROXY header in time");
	case PROXY_BAD:
		return refuse(login, line, "a malformed PROXY header");
	}
	log_line("client=%s by PROXY from %s", address, login->client);
	snprintf(login->client, sizeof login->client, "%s", address);
	return 0;
}

/* --- how many connections it has --- */

static bool
is_exempt(const struct login *login)
{
	const char *word;

	if (!login->exempt.present)
		return network_is_loopback(login->client);
	return networks_find(&login->exempt, login->client, &word) != 0;
}

int
login_peer_hold(struct login *login)
{
	struct network_address address;
	char key[COUNTER_KEY_MAX + 1], path[HOME_NAME_MAX];
	char text[NETWORK_TEXT_MAX];
	uint64_t total;

	if (login->connections_max == 0 || is_exempt(login) ||
		network_address_scan(
			login->client, strlen(login->client), &address) < 0)
		return 0;
	network_address_write(&address, text);
	snprintf(key, sizeof key, "pop3 %s", text);
	home_path(&login->home, "socket/count", path);
	if (counter_hold(&login->counter, path, key,
		    deadline_after_ms(COUNT_MS), &total) < 0) {
		/* The limit keeps the server available: without countd it is
		 * no reason to refuse anybody. */
		log_line("client=%s goes on without a limit of connections: "
			 "%s: %s",
			login->client, path, strerror(errno));
		return 0;
	}
	if (total <= (uint64_t)login->connections_max)
		return 0;
	log_line("client=%s refused: more than %lld connections, "
		 "control/connectionspop3",
		login->client, (long long)login->connections_max);
	return -1;
}
