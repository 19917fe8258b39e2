/*
 * The resolver's servers and its transport. dns_message.c reads and writes what
 * is sent.
 */
#include "remote/dns.h"
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/deadline.h"

#define DNS_PORT 53
/* The longest text of a server, NUL included: "[IPv6]:PORT". */
#define SERVER_TEXT_SIZE (INET6_ADDRSTRLEN + 9)
/* Of /etc/resolv.conf so much is read. */
#define RESOLV_CONF_MAX 16384
#define WAIT_GROWTH 3
/* The least time for the way over TCP, in milliseconds. */
#define TCP_WAIT_MS 10000

/* One question on its way. */
struct ask {
	const struct dns *dns;
	const struct sockaddr_storage *server;
	int type;
	int64_t deadline_ms; /* of this attempt */
	int has_edns;
	unsigned char query[DNS_QUERY_MAX];
	size_t question_len, query_len; /* without EDNS, with it */
	unsigned char *message;		/* 2 + DNS_MESSAGE_MAX octets */
	enum dns_result result;
	struct dns_answer *answer;
};

/* What came of one attempt, beside what dns_parse_answer says. */
#define ASK_MEMORY (-1)

static int
scan_port(const char *text, uint16_t *port)
{
	unsigned long value = 0;
	size_t i;

	for (i = 0; text[i] >= '0' && text[i] <= '9' && i < 5; i++)
		value = value * 10 + (unsigned long)(text[i] - '0');
	if (i == 0 || text[i] != '\0' || value == 0 || value > 65535)
		return -1;
	*port = (uint16_t)value;
	return 0;
}

/* Reads an address without brackets and gives it the port. */
static int
set_server(struct sockaddr_storage *server, const char *ip, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)server;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)server;

	memset(server, 0, sizeof *server);
	if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return 0;
	}
	if (inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		return 0;
	}
	return -1;
}

static int
scan_server(const char *text, struct sockaddr_storage *server)
{
	char copy[SERVER_TEXT_SIZE], *ip = copy, *colon;
	size_t len = strlen(text);
	uint16_t port = DNS_PORT;

	if (len >= sizeof copy)
		return -1;
	memcpy(copy, text, len + 1);
	colon = strchr(copy, ':');
	if (copy[0] == '[') {
		ip = copy + 1;
		colon = strchr(copy, ']');
		if (colon == NULL)
			return -1;
		*colon++ = '\0';
		if (*colon != '\0' && *colon != ':')
			return -1;
		if (strchr(ip, ':') == NULL)
			return -1;
	} else if (colon != NULL && strchr(colon + 1, ':') != NULL) {
		colon = NULL; /* a bare IPv6 address */
	}
	if (colon != NULL && *colon == ':') {
		*colon++ = '\0';
		if (scan_port(colon, &port) == -1)
			return -1;
	}
	return set_server(server, ip, port);
}

static int
is_loopback(const struct sockaddr_storage *server)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)server;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)server;

	return server->ss_family == AF_INET6
		       ? IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)
		       : ntohl(v4->sin_addr.s_addr) >> 24 == 127;
}

void
dns_take_resolv_conf(struct dns *dns, const char *text, size_t len)
{
	static const char word[] = "nameserver";
	const char *end = text + len, *line_end, *at;
	char ip[INET6_ADDRSTRLEN];
	size_t used;

	for (; text < end; text = line_end + 1) {
		line_end = memchr(text, '\n', (size_t)(end - text));
		if (line_end == NULL)
			line_end = end;
		at = text + sizeof word - 1;
		if (at >= line_end ||
			memcmp(text, word, sizeof word - 1) != 0 ||
			(*at != ' ' && *at != '\t'))
			continue;
		while (at < line_end && (*at == ' ' || *at == '\t'))
			at++;
		for (used = 0; at < line_end && used < sizeof ip - 1 &&
			       (unsigned char)*at > ' ';
			at++)
			ip[used++] = *at;
		ip[used] = '\0';
		if (dns->servers < DNS_SERVERS_MAX &&
			set_server(&dns->server[dns->servers], ip, DNS_PORT) ==
				0) {
			if (is_loopback(&dns->server[dns->servers]))
				dns->trusted |= 1U << dns->servers;
			dns->servers++;
		}
	}
}

static void
read_resolv_conf(struct dns *dns)
{
	char text[RESOLV_CONF_MAX];
	size_t used = 0;
	ssize_t count;
	int fd = open(DNS_RESOLV_CONF, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1)
		return;
	while (used < sizeof text) {
		count = read(fd, text + used, sizeof text - used);
		if (count == -1 && errno == EINTR)
			continue;
		if (count <= 0)
			break;
		used += (size_t)count;
	}
	close(fd);
	dns_take_resolv_conf(dns, text, used);
}

int
dns_start(struct dns *dns, const struct setting_list *list, char *why,
	size_t size)
{
	size_t i;

	memset(dns, 0, sizeof *dns);
	dns->first_wait_ms = DNS_FIRST_WAIT_MS;
	for (i = 0; list != NULL && i < list->count; i++) {
		if (dns->servers == DNS_SERVERS_MAX) {
			snprintf(why, size,
				"control/nameservers, line %zu: expected at "
				"most %d servers",
				list->number[i], DNS_SERVERS_MAX);
			return -1;
		}
		if (scan_server(list->line[i], &dns->server[dns->servers]) ==
			-1) {
			snprintf(why, size,
				"control/nameservers, line %zu: expected an "
				"IP address, IP:PORT or [IPv6]:PORT",
				list->number[i]);
			return -1;
		}
		dns->trusted |= 1U << dns->servers++;
	}
	if (dns->servers == 0)
		read_resolv_conf(dns);
	if (dns->servers == 0) {
		set_server(&dns->server[0], "127.0.0.1", DNS_PORT);
		dns->servers = dns->trusted = 1;
	}
	return 0;
}

static socklen_t
address_len(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					      : sizeof(struct sockaddr_in);
}

/* Waits until the descriptor is ready. Returns 0, or -1 when the deadline came
 * or waiting is not possible. */
static int
wait_for(int fd, short events, int64_t deadline_ms)
{
	struct pollfd item = {.fd = fd, .events = events};
	int ready;

	for (;;) {
		ready = poll(&item, 1, deadline_left_ms(deadline_ms));
		if (ready > 0)
			return 0;
		if (ready == 0 && deadline_left_ms(deadline_ms) == 0)
			return -1;
		if (ready == -1 && errno != EINTR)
			return -1;
	}
}

/* A connected (or, for TCP, connecting) socket; -1 with errno. */
static int
open_socket(const struct sockaddr_storage *server, int kind)
{
	int fd = socket(
		server->ss_family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	if (connect(fd, (const struct sockaddr *)server, address_len(server)) ==
			-1 &&
		errno != EINPROGRESS) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int
is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM ||
	       error == ENOBUFS;
}

static int
parse(struct ask *ask, const unsigned char *message, size_t len)
{
	return dns_parse_answer(message, len, ask->query, ask->question_len,
		ask->type, &ask->result, ask->answer);
}

/* One attempt over UDP: an enum dns_parse or ASK_MEMORY. */
static int
try_udp(struct ask *ask)
{
	int fd = open_socket(ask->server, SOCK_DGRAM), got = DNS_FOREIGN;
	ssize_t count;

	if (fd == -1)
		return is_shortage(errno) ? ASK_MEMORY : DNS_BROKEN;
	count = send(fd, ask->query, ask->query_len, MSG_NOSIGNAL);
	if (count != (ssize_t)ask->query_len)
		got = DNS_BROKEN;
	while (got == DNS_FOREIGN) {
		if (wait_for(fd, POLLIN, ask->deadline_ms) == -1) {
			got = DNS_BROKEN;
			break;
		}
		count = recv(fd, ask->message, DNS_MESSAGE_MAX, 0);
		if (count >= 0)
			got = parse(ask, ask->message, (size_t)count);
		else if (errno != EAGAIN && errno != EINTR)
			got = DNS_BROKEN;
	}
	close(fd);
	return got;
}

/* Sends or receives exactly len octets. Returns 0 or -1. */
static int
transfer(int fd, unsigned char *octets, size_t len, int sending,
	int64_t deadline_ms)
{
	ssize_t count;

	while (len > 0) {
		if (wait_for(fd, sending ? POLLOUT : POLLIN, deadline_ms) == -1)
			return -1;
		count = sending ? send(fd, octets, len, MSG_NOSIGNAL)
				: recv(fd, octets, len, 0);
		if (count == -1 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (count <= 0)
			return -1;
		octets += count;
		len -= (size_t)count;
	}
	return 0;
}

/* The same over TCP, where each message has its length before it. */
static int
try_tcp(struct ask *ask)
{
	unsigned char *message = ask->message;
	int fd = open_socket(ask->server, SOCK_STREAM), got = DNS_BROKEN;
	size_t len;

	if (fd == -1)
		return is_shortage(errno) ? ASK_MEMORY : DNS_BROKEN;
	ns_put16((unsigned)ask->query_len, message);
	memcpy(message + 2, ask->query, ask->query_len);
	if (transfer(fd, message, ask->query_len + 2, 1, ask->deadline_ms) ==
			0 &&
		transfer(fd, message, 2, 0, ask->deadline_ms) == 0) {
		len = ns_get16(message);
		if (transfer(fd, message + 2, len, 0, ask->deadline_ms) == 0)
			got = parse(ask, message + 2, len);
	}
	close(fd);
	return got;
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Asks one server in one form, over TCP too if the answer does not fit. */
static int
ask_once(
	struct ask *ask, const char *name, int64_t wait_ms, int64_t deadline_ms)
{
	uint16_t id;
	int got;

	if (getrandom(&id, sizeof id, 0) != sizeof id)
		return ASK_MEMORY;
	ask->question_len = dns_make_query(
		ask->query, sizeof ask->query, id, name, ask->type);
	if (ask->question_len == 0) {
		ask->result = DNS_NXDOMAIN;
		return DNS_PARSED;
	}
	ask->query_len = ask->question_len;
	if (ask->has_edns)
		ask->query_len = dns_add_edns(
			ask->query, ask->question_len, sizeof ask->query);
	ask->deadline_ms = earlier(deadline_after_ms(wait_ms), deadline_ms);
	got = try_udp(ask);
	if (got != DNS_TRUNCATED)
		return got;
	if (wait_ms < TCP_WAIT_MS)
		wait_ms = TCP_WAIT_MS;
	ask->deadline_ms = earlier(deadline_after_ms(wait_ms), deadline_ms);
	return try_tcp(ask);
}

/* Asks one server, once more without EDNS if that is the trouble. */
static int
ask_server(struct ask *ask, unsigned place, const char *name, int64_t wait_ms,
	int64_t deadline_ms)
{
	const struct dns *dns = ask->dns;
	int got;

	ask->server = &dns->server[place];
	got = ask_once(ask, name, wait_ms, deadline_ms);
	if (got == DNS_NO_EDNS && ask->has_edns) {
		ask->has_edns = 0;
		got = ask_once(ask, name, wait_ms, deadline_ms);
		ask->has_edns = 1;
	}
	if ((dns->trusted >> place & 1) == 0)
		ask->answer->is_authentic = 0;
	return got;
}

/* Asks the servers in turn until one gives an answer that counts. */
static int
ask_all(struct ask *ask, const char *name, int64_t deadline_ms)
{
	int64_t wait_ms = ask->dns->first_wait_ms;
	unsigned round, i;
	int got;

	for (round = 0; round < DNS_ROUNDS; round++) {
		for (i = 0; i < ask->dns->servers; i++) {
			if (deadline_left_ms(deadline_ms) == 0)
				return DNS_BROKEN;
			ask->has_edns = round == 0;
			got = ask_server(ask, i, name, wait_ms, deadline_ms);
			if (got == DNS_PARSED || got == DNS_CHAINED ||
				got == ASK_MEMORY)
				return got;
		}
		wait_ms *= WAIT_GROWTH;
	}
	return DNS_BROKEN;
}

static enum dns_result
look_up(const struct dns *dns, const char *name, int type, int64_t deadline_ms,
	struct dns_answer *answer)
{
	struct ask ask = {.dns = dns, .type = type, .answer = answer};
	char current[DNS_NAME_MAX + 1];
	int links = 0, authentic = 1, got;
	uint32_t ttl_s = UINT32_MAX;

	answer->count = answer->dropped = 0;
	answer->ttl_s = 0;
	answer->is_authentic = 0;
	answer->name[0] = '\0';
	if (!domain_valid(name, strlen(name)))
		return DNS_NXDOMAIN;
	memcpy(current, name, strlen(name) + 1);
	ask.message = malloc(2 + DNS_MESSAGE_MAX);
	if (ask.message == NULL)
		return DNS_MEMORY;
	while ((got = ask_all(&ask, current, deadline_ms)) == DNS_CHAINED &&
		links++ < DNS_CHAIN_MAX) {
		memcpy(current, answer->name, sizeof current);
		authentic &= answer->is_authentic;
		if (answer->ttl_s < ttl_s)
			ttl_s = answer->ttl_s;
	}
	if (ttl_s < answer->ttl_s)
		answer->ttl_s = ttl_s;
	answer->is_authentic &= authentic;
	free(ask.message);
	if (got == ASK_MEMORY)
		return DNS_MEMORY;
	return got == DNS_PARSED ? ask.result : DNS_TEMPORARY;
}

enum dns_result
dns_mx(const struct dns *dns, const char *name, int64_t deadline_ms,
	struct dns_answer *answer)
{
	return look_up(dns, name, ns_t_mx, deadline_ms, answer);
}

enum dns_result
dns_addresses(const struct dns *dns, const char *name, int family,
	int64_t deadline_ms, struct dns_answer *answer)
{
	return look_up(dns, name, family == AF_INET6 ? ns_t_aaaa : ns_t_a,
		deadline_ms, answer);
}

enum dns_result
dns_names(const struct dns *dns, const struct sockaddr_storage *address,
	int64_t deadline_ms, struct dns_answer *answer)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	char name[80];
	size_t used = 0;

	if (address->ss_family == AF_INET6) {
		for (int i = 15; i >= 0; i--) {
			unsigned octet = v6->sin6_addr.s6_addr[i];

			used += (size_t)snprintf(name + used,
				sizeof name - used, "%x.%x.", octet & 15,
				octet >> 4);
		}
		snprintf(name + used, sizeof name - used, "ip6.arpa");
	} else {
		unsigned ip = ntohl(v4->sin_addr.s_addr);

		snprintf(name, sizeof name, "%u.%u.%u.%u.in-addr.arpa",
			ip & 255, ip >> 8 & 255, ip >> 16 & 255, ip >> 24);
	}
	return look_up(dns, name, ns_t_ptr, deadline_ms, answer);
}
