/* From destinations to addresses, asked of a small name server of our own. */
#include "remote/mx.h"
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <poll.h>
#include <resolv.h>

#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/deadline.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/*
 * What the server knows. Names not here do not exist. Those that begin with
 * "fail" fail, those with "slow" get no answer, with "big" none that is whole
 * over UDP, with "spoof" a forged one first.
 */
static const struct zone {
	const char *owner;
	int type;
	unsigned preference;
	const char *value; /* NULL: the name exists, that is all */
} ZONE[] = {
	{"one.test", ns_t_mx, 10, "mx.one.test"},
	{"mx.one.test", ns_t_a, 0, "192.0.2.1"},
	{"two.test", ns_t_mx, 20, "both.two.test"},
	{"two.test", ns_t_mx, 10, "mx.one.test"},
	{"two.test", ns_t_mx, 30, "nowhere.two.test"},
	{"both.two.test", ns_t_a, 0, "192.0.2.2"},
	{"both.two.test", ns_t_a, 0, "192.0.2.3"},
	{"both.two.test", ns_t_aaaa, 0, "2001:db8::2"},
	{"null.test", ns_t_mx, 0, "."},
	{"nullish.test", ns_t_mx, 0, "."},
	{"nullish.test", ns_t_mx, 10, "mx.one.test"},
	{"self.test", ns_t_mx, 10, "me.test"},
	{"self.test", ns_t_mx, 10, "mx.one.test"},
	{"self.test", ns_t_mx, 20, "mx.one.test"},
	{"backup.test", ns_t_mx, 10, "mx.one.test"},
	{"backup.test", ns_t_mx, 20, "me.test"},
	{"backup.test", ns_t_mx, 30, "both.two.test"},
	{"me.test", ns_t_a, 0, "192.0.2.99"},
	{"plain.test", ns_t_a, 0, "192.0.2.4"},
	{"empty.test", ns_t_txt, 0, NULL},
	{"dead.test", ns_t_mx, 10, "nowhere.two.test"},
	{"doubt.test", ns_t_mx, 10, "nowhere.two.test"},
	{"doubt.test", ns_t_mx, 20, "fail.test"},
	{"hope.test", ns_t_mx, 10, "fail.test"},
	{"hope.test", ns_t_mx, 20, "mx.one.test"},
	{"loop.test", ns_t_mx, 10, "localhost.test"},
	{"localhost.test", ns_t_a, 0, "127.0.0.1"},
	{"localhost.test", ns_t_aaaa, 0, "::1"},
	{"alias.test", ns_t_cname, 0, "plain.test"},
	{"chain.test", ns_t_cname, 0, "alias.test"},
	{"big.test", ns_t_mx, 10, "mx.one.test"},
	{"spoof.test", ns_t_mx, 10, "mx.one.test"},
	{"same.test", ns_t_mx, 10, "a.same.test"},
	{"same.test", ns_t_mx, 10, "b.same.test"},
	{"a.same.test", ns_t_a, 0, "192.0.2.10"},
	{"b.same.test", ns_t_a, 0, "192.0.2.11"},
};

struct server {
	pid_t child;
	uint16_t port;
};

static int
starts(const char *name, const char *prefix)
{
	return strncasecmp(name, prefix, strlen(prefix)) == 0;
}

static size_t
put_value(unsigned char *at, const struct zone *record)
{
	if (record->type == ns_t_a)
		return inet_pton(AF_INET, record->value, at) == 1 ? 4 : 0;
	if (record->type == ns_t_aaaa)
		return inet_pton(AF_INET6, record->value, at) == 1 ? 16 : 0;
	if (record->type == ns_t_mx) {
		ns_put16(record->preference, at);
		return 2 + (size_t)ns_name_compress(
				   record->value, at + 2, 255, NULL, NULL);
	}
	return (size_t)ns_name_compress(record->value, at, 255, NULL, NULL);
}

static size_t
put_record(unsigned char *at, const struct zone *record)
{
	size_t len;

	at[0] = 0xc0;
	at[1] = NS_HFIXEDSZ;
	ns_put16((unsigned)record->type, at + 2);
	ns_put16(ns_c_in, at + 4);
	ns_put32(60, at + 6);
	len = put_value(at + 12, record);
	ns_put16((unsigned)len, at + 10);
	return 12 + len;
}

/* Turns a query into its answer, in place. Returns the octets, 0 for none. */
static size_t
answer_query(unsigned char *message, size_t len, int tcp)
{
	char name[NS_MAXDNAME];
	int type, known = 0;
	unsigned count = 0;
	size_t i;

	if (message[11] == 1) { /* EDNS, which this server passes over */
		len -= 11;
		message[11] = 0;
	}
	type = (int)ns_get16(message + len - 4);
	ns_name_uncompress(message, message + len, message + NS_HFIXEDSZ, name,
		sizeof name);
	message[2] = 0x81;
	if (starts(name, "slow"))
		return 0;
	if (starts(name, "fail")) {
		message[3] = 2;
		return len;
	}
	if (starts(name, "big") && !tcp) {
		message[2] |= 2;
		return len;
	}
	for (i = 0; i < LENGTH(ZONE); i++) {
		if (strcasecmp(ZONE[i].owner, name) != 0)
			continue;
		known = 1;
		if (ZONE[i].value == NULL ||
			(ZONE[i].type != type && ZONE[i].type != ns_t_cname))
			continue;
		len += put_record(message + len, &ZONE[i]);
		count++;
	}
	message[3] = known ? 0x80 : 0x83;
	message[7] = (unsigned char)count;
	return len;
}

static void
serve_udp(int fd)
{
	unsigned char message[4096];
	struct sockaddr_in from;
	socklen_t from_len = sizeof from;
	ssize_t count = recvfrom(
		fd, message, 512, 0, (struct sockaddr *)&from, &from_len);
	size_t len;

	if (count < 17)
		return;
	len = answer_query(message, (size_t)count, 0);
	if (len == 0)
		return;
	if (memcmp(message + 13, "spoof", 5) == 0) {
		message[0] ^= 1;
		message[3] = 0x83;
		sendto(fd, message, len, 0, (struct sockaddr *)&from, from_len);
		message[0] ^= 1;
		message[3] = 0x80;
	}
	sendto(fd, message, len, 0, (struct sockaddr *)&from, from_len);
}

static void
serve_tcp(int listener)
{
	unsigned char message[4096];
	int fd = accept(listener, NULL, NULL);
	size_t len, i;

	if (fd == -1)
		return;
	if (recv(fd, message, 2, MSG_WAITALL) == 2) {
		len = ns_get16(message);
		if (len >= 17 && len < 512 &&
			recv(fd, message + 2, len, MSG_WAITALL) ==
				(ssize_t)len) {
			len = answer_query(message + 2, len, 1);
			ns_put16((unsigned)len, message);
			/* In pieces: the reader must put them together. */
			for (i = 0; i < len + 2; i++)
				if (send(fd, message + i, 1, MSG_NOSIGNAL) != 1)
					break;
		}
	}
	close(fd);
}

static void
serve(int udp, int tcp)
{
	struct pollfd item[2] = {
		{.fd = udp, .events = POLLIN}, {.fd = tcp, .events = POLLIN}};

	alarm(60); /* not for ever, if the test dies */
	for (;;) {
		if (poll(item, 2, -1) <= 0)
			continue;
		if (item[0].revents != 0)
			serve_udp(udp);
		if (item[1].revents != 0)
			serve_tcp(tcp);
	}
}

static struct server
start_server(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof address;
	struct server server = {0, 0};
	int udp = -1, tcp = -1, tries;

	/* One port for both. */
	for (tries = 0; tries < 20; tries++) {
		udp = socket(AF_INET, SOCK_DGRAM, 0);
		tcp = socket(AF_INET, SOCK_STREAM, 0);
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address.sin_port = 0;
		assert_int_equal(0,
			bind(udp, (struct sockaddr *)&address, sizeof address));
		assert_int_equal(
			0, getsockname(udp, (struct sockaddr *)&address, &len));
		if (bind(tcp, (struct sockaddr *)&address, sizeof address) ==
				0 &&
			listen(tcp, 5) == 0)
			break;
		close(udp);
		close(tcp);
	}
	assert_true(tries < 20);
	server.port = ntohs(address.sin_port);
	server.child = fork();
	assert_true(server.child >= 0);
	if (server.child == 0)
		serve(udp, tcp);
	close(udp);
	close(tcp);
	return server;
}

static int
group_setup(void **state)
{
	struct server *server = malloc(sizeof *server);

	if (server == NULL)
		return -1;
	*server = start_server();
	*state = server;
	return 0;
}

static int
group_teardown(void **state)
{
	struct server *server = *state;

	kill(server->child, SIGKILL);
	waitpid(server->child, NULL, 0);
	free(server);
	return 0;
}

/* A resolver that asks the server; with dead, a closed port before it. */
static void
make_dns(const struct server *server, int dead, struct dns *dns)
{
	struct sockaddr_in *address;

	memset(dns, 0, sizeof *dns);
	dns->first_wait_ms = 150;
	for (; dns->servers < (dead ? 2u : 1u); dns->servers++) {
		address = (struct sockaddr_in *)&dns->server[dns->servers];
		address->sin_family = AF_INET;
		address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address->sin_port =
			htons(dead && dns->servers == 0 ? 1 : server->port);
	}
}

static enum mx_result
find(const struct server *server, const char *destination, int allow_local,
	struct mx_list *list)
{
	static const char *const own[] = {"localhost", "Me.Test"};
	struct mx_options options = {.own = own,
		.owns = 2,
		.allow_local = allow_local,
		.port = 2525};
	struct route_target target;
	struct dns dns;

	make_dns(server, 1, &dns);
	options.dns = &dns;
	assert_int_equal(0, route_parse(destination, &target));
	return mx_find(&options, &target, deadline_after_ms(20000), list);
}

/* The list as one line: "HOST ADDRESS PORT;" for each. */
static void
describe(const struct mx_list *list, char *text, size_t size)
{
	char address[64];
	size_t used = 0;
	unsigned i;

	text[0] = '\0';
	for (i = 0; i < list->count && used < size; i++) {
		const struct sockaddr_storage *entry = &list->entry[i].address;

		mx_address_text(entry, address, sizeof address);
		used += (size_t)snprintf(text + used, size - used, "%s %s %u;",
			list->entry[i].host, address,
			ntohs(entry->ss_family == AF_INET6
					? ((const struct sockaddr_in6 *)entry)
						  ->sin6_port
					: ((const struct sockaddr_in *)entry)
						  ->sin_port));
	}
}

#define ONE "mx.one.test 192.0.2.1 2525;"
#define BOTH                                                           \
	"both.two.test 2001:db8::2 2525;both.two.test 192.0.2.2 2525;" \
	"both.two.test 192.0.2.3 2525;"

static void
test_destinations(void **state)
{
	static const struct {
		const char *destination;
		enum mx_result result;
		const char *text; /* the list, or how the text begins */
	} row[] = {
		{"mx:one.test", MX_OK, ONE},
		{"mx:two.test", MX_OK, ONE BOTH},
		{"mx:null.test", MX_NULL, "5.1.10 "},
		{"mx:nullish.test", MX_OK, ONE},
		{"mx:self.test", MX_SELF, "5.4.6 "},
		{"mx:backup.test", MX_OK, ONE},
		{"mx:me.test", MX_SELF, "5.4.6 "},
		{"mx:plain.test", MX_OK, "plain.test 192.0.2.4 2525;"},
		{"mx:empty.test", MX_NO_ADDRESS, "5.4.4 "},
		{"mx:absent.test", MX_NO_DOMAIN, "5.1.2 "},
		{"mx:dead.test", MX_NO_ADDRESS, "5.4.4 "},
		{"mx:doubt.test", MX_TEMPORARY, "4.4.3 "},
		{"mx:hope.test", MX_OK, ONE},
		{"mx:fail.test", MX_TEMPORARY, "4.4.3 "},
		{"mx:slow.test", MX_TEMPORARY, "4.4.3 "},
		{"mx:loop.test", MX_NO_ADDRESS, "5.4.4 "},
		{"mx:chain.test", MX_OK, "chain.test 192.0.2.4 2525;"},
		{"mx:big.test", MX_OK, ONE},
		{"mx:spoof.test", MX_OK, ONE},
		{"mx:[192.0.2.5]", MX_OK, "192.0.2.5 192.0.2.5 2525;"},
		{"mx:[127.0.0.1]", MX_NO_ADDRESS, "5.4.4 "},
		{"mx:[::ffff:127.0.0.1]", MX_NO_ADDRESS, "5.4.4 "},
		{"host:[127.0.0.1]:26", MX_OK, "127.0.0.1 127.0.0.1 26;"},
		{"host:[::1]:26", MX_OK, "::1 ::1 26;"},
		{"host:both.two.test:26", MX_OK,
			"both.two.test 2001:db8::2 26;both.two.test 192.0.2.2 "
			"26;both.two.test 192.0.2.3 26;"},
		{"host:localhost.test:26", MX_OK,
			"localhost.test ::1 26;localhost.test 127.0.0.1 26;"},
		{"host:me.test:26", MX_OK, "me.test 192.0.2.99 26;"},
		{"host:absent.test:26", MX_TEMPORARY, "4.4.3 "},
	};
	struct mx_list list;
	char text[2000];
	enum mx_result result;
	size_t i;

	for (i = 0; i < LENGTH(row); i++) {
		result = find(*state, row[i].destination, 0, &list);
		if (result != row[i].result)
			fail_msg("%s: %d %s", row[i].destination, result,
				list.text);
		if (result == MX_OK) {
			describe(&list, text, sizeof text);
			assert_string_equal(row[i].text, text);
			continue;
		}
		assert_int_equal(0, list.count);
		assert_memory_equal(
			row[i].text, list.text, strlen(row[i].text));
		assert_int_equal(row[i].text[0] == '4' ? OUTCOME_DEFERRED
						       : OUTCOME_FAILED,
			mx_outcome(result));
	}
	assert_int_equal(MX_OK, find(*state, "mx:loop.test", 1, &list));
	assert_int_equal(2, list.count);
	assert_int_equal(MX_OK, find(*state, "mx:[127.0.0.1]", 1, &list));
}

/* Equal preferences are tried in random order. */
static void
test_order_is_random(void **state)
{
	struct mx_list list;
	int seen_a = 0, seen_b = 0, i;

	for (i = 0; i < 100 && (!seen_a || !seen_b); i++) {
		assert_int_equal(MX_OK, find(*state, "mx:same.test", 0, &list));
		assert_int_equal(2, list.count);
		if (list.entry[0].host[0] == 'a')
			seen_a = 1;
		else
			seen_b = 1;
	}
	assert_true(seen_a && seen_b);
}

static void
test_local_addresses(void **state)
{
	static const struct {
		const char *text;
		int local;
	} row[] = {
		{"127.0.0.1", 1},
		{"127.255.0.1", 1},
		{"0.0.0.0", 1},
		{"0.1.2.3", 1},
		{"169.254.169.254", 1},
		{"224.0.0.1", 1},
		{"240.0.0.1", 1},
		{"255.255.255.255", 1},
		{"10.0.0.1", 0},
		{"192.168.0.1", 0},
		{"8.8.8.8", 0},
		{"169.253.0.1", 0},
		{"::", 1},
		{"::1", 1},
		{"fe80::1", 1},
		{"febf::1", 1},
		{"fec0::1", 0},
		{"ff02::1", 1},
		{"::ffff:127.0.0.1", 1},
		{"::ffff:8.8.8.8", 0},
		{"64:ff9b::127.0.0.1", 1},
		{"64:ff9b::8.8.8.8", 0},
		{"::127.0.0.1", 1},
		{"2001:db8::1", 0},
		{"fd00::1", 0},
	};
	struct sockaddr_storage address;
	size_t i;

	(void)state;
	for (i = 0; i < LENGTH(row); i++) {
		memset(&address, 0, sizeof address);
		address.ss_family = AF_INET;
		if (inet_pton(AF_INET, row[i].text,
			    &((struct sockaddr_in *)&address)->sin_addr) != 1) {
			address.ss_family = AF_INET6;
			assert_int_equal(
				1, inet_pton(AF_INET6, row[i].text,
					   &((struct sockaddr_in6 *)&address)
						    ->sin6_addr));
		}
		if (mx_is_local(&address) != row[i].local)
			fail_msg("%s", row[i].text);
	}
}

/* The deadline holds whatever the servers do. */
static void
test_deadline(void **state)
{
	int64_t start_ms = deadline_now_ms();
	struct dns_answer answer;
	struct dns dns;

	make_dns(*state, 0, &dns);
	dns.first_wait_ms = 10000;
	assert_int_equal(DNS_TEMPORARY,
		dns_mx(&dns, "slow.test", deadline_after_ms(200), &answer));
	assert_true(deadline_now_ms() - start_ms < 5000);
	assert_int_equal(
		DNS_NXDOMAIN, dns_mx(&dns, "no name", DEADLINE_NEVER, &answer));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_order_is_random),
		cmocka_unit_test(test_local_addresses),
		cmocka_unit_test(test_deadline),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
