/* Queries and answers of the DNS, and the list of servers. No network. */
#include "remote/dns.h"
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define TEXT(literal) literal, sizeof literal - 1
/* The name of the question; "example.test" begins at octet 12. */
#define ASKED "\xc0\x0c"
#define MX "\0\x0f\0\1\0\0\0\1"
#define A "\0\1\0\1\0\0\0\1"
#define AAAA "\0\x1c\0\1\0\0\0\1"
#define CNAME "\0\5\0\1\0\0\0\1"
#define SOA "\0\6\0\1\0\0\0\1"
#define SOA_DATA     \
	"\0\x16\0\0" \
	"12345678901234567890"

static const struct row {
	const char *name;
	int type;
	unsigned char code, answers, authorities;
	const char *records; /* behind the question */
	size_t len;
	enum dns_parse parse;
	enum dns_result result;
	unsigned count, dropped;
	const char *first; /* the first MX's name or address */
} ROWS[] = {
	{"one MX", ns_t_mx, 0, 1, 0, TEXT(ASKED MX "\0\7\0\x0a\2MX" ASKED),
		DNS_PARSED, DNS_OK, 1, 0, "mx.example.test"},
	{"null MX", ns_t_mx, 0, 1, 0, TEXT(ASKED MX "\0\3\0\0\0"), DNS_PARSED,
		DNS_OK, 1, 0, "."},
	{"an MX that is no host name", ns_t_mx, 0, 2, 0,
		TEXT(ASKED MX "\0\7\0\x0a\2a " ASKED ASKED MX
			      "\0\x07\0\x14\2mx" ASKED),
		DNS_PARSED, DNS_OK, 1, 1, "mx.example.test"},
	{"only such MX", ns_t_mx, 0, 1, 0,
		TEXT(ASKED MX "\0\7\0\x0a\2a\0" ASKED), DNS_PARSED, DNS_NONE, 0,
		1, NULL},
	{"an MX too short", ns_t_mx, 0, 1, 0, TEXT(ASKED MX "\0\2\0\x0a"),
		DNS_BROKEN, DNS_TEMPORARY, 0, 0, NULL},
	{"an MX with more behind it", ns_t_mx, 0, 1, 0,
		TEXT(ASKED MX "\0\x08\0\x0a\2mx" ASKED "x"), DNS_BROKEN,
		DNS_TEMPORARY, 0, 0, NULL},
	{"an MX in a loop of pointers", ns_t_mx, 0, 1, 0,
		TEXT(ASKED MX "\0\4\0\x0a\xc0\x2c"), DNS_BROKEN, DNS_TEMPORARY,
		0, 0, NULL},
	{"another name's MX", ns_t_mx, 0, 1, 0,
		TEXT("\5other" ASKED MX "\0\7\0\x0a\2mx" ASKED), DNS_PARSED,
		DNS_NONE, 0, 0, NULL},
	{"no records", ns_t_mx, 0, 0, 0, TEXT(""), DNS_PARSED, DNS_NONE, 0, 0,
		NULL},
	{"no such name", ns_t_mx, 3, 0, 0, TEXT(""), DNS_PARSED, DNS_NXDOMAIN,
		0, 0, NULL},
	{"failure", ns_t_mx, 2, 0, 0, TEXT(""), DNS_BROKEN, DNS_TEMPORARY, 0, 0,
		NULL},
	{"refused", ns_t_mx, 5, 0, 0, TEXT(""), DNS_BROKEN, DNS_TEMPORARY, 0, 0,
		NULL},
	{"not understood", ns_t_mx, 1, 0, 0, TEXT(""), DNS_NO_EDNS,
		DNS_TEMPORARY, 0, 0, NULL},
	{"not implemented", ns_t_mx, 4, 0, 0, TEXT(""), DNS_NO_EDNS,
		DNS_TEMPORARY, 0, 0, NULL},
	{"counts lie", ns_t_mx, 0, 2, 0, TEXT(ASKED MX "\0\7\0\x0a\2mx" ASKED),
		DNS_BROKEN, DNS_TEMPORARY, 0, 0, NULL},
	{"an address", ns_t_a, 0, 1, 0, TEXT(ASKED A "\0\4\xc0\0\2\1"),
		DNS_PARSED, DNS_OK, 1, 0, "192.0.2.1"},
	{"an address of a wrong length", ns_t_a, 0, 1, 0,
		TEXT(ASKED A "\0\5\xc0\0\2\1\1"), DNS_BROKEN, DNS_TEMPORARY, 0,
		0, NULL},
	{"IPv6", ns_t_aaaa, 0, 1, 0,
		TEXT(ASKED AAAA "\0\x10\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"),
		DNS_PARSED, DNS_OK, 1, 0, "2001:db8::1"},
	{"an alias and its address", ns_t_a, 0, 2, 0,
		TEXT(ASKED CNAME "\0\4\1h" ASKED "\1h" ASKED A
				 "\0\4\xc0\0\2\2"),
		DNS_PARSED, DNS_OK, 1, 0, "192.0.2.2"},
	{"an alias alone", ns_t_a, 0, 1, 0, TEXT(ASKED CNAME "\0\4\1h" ASKED),
		DNS_CHAINED, DNS_TEMPORARY, 0, 0, NULL},
	{"an alias of a name without data", ns_t_a, 0, 1, 1,
		TEXT(ASKED CNAME "\0\4\1h" ASKED ASKED SOA SOA_DATA),
		DNS_PARSED, DNS_NONE, 0, 0, NULL},
	{"an alias of itself", ns_t_a, 0, 1, 0, TEXT(ASKED CNAME "\0\2" ASKED),
		DNS_BROKEN, DNS_TEMPORARY, 0, 0, NULL},
	{"an alias of no host name", ns_t_a, 0, 1, 0,
		TEXT(ASKED CNAME "\0\4\1 " ASKED), DNS_BROKEN, DNS_TEMPORARY, 0,
		0, NULL},
};

static size_t
make_answer(const struct row *row, const unsigned char *query, size_t query_len,
	unsigned char *message)
{
	memcpy(message, query, query_len);
	message[2] = 0x81;
	message[3] = 0x80 | row->code;
	message[7] = row->answers;
	message[9] = row->authorities;
	memcpy(message + query_len, row->records, row->len);
	return query_len + row->len;
}

static void
check_first(const struct row *row, const struct dns_answer *answer)
{
	const struct sockaddr_storage *address = &answer->record[0].address;
	char text[INET6_ADDRSTRLEN];

	if (row->first == NULL)
		return;
	if (row->type == ns_t_mx) {
		assert_string_equal(row->first, answer->record[0].name);
		return;
	}
	if (row->type == ns_t_a)
		inet_ntop(AF_INET,
			&((const struct sockaddr_in *)address)->sin_addr, text,
			sizeof text);
	else
		inet_ntop(AF_INET6,
			&((const struct sockaddr_in6 *)address)->sin6_addr,
			text, sizeof text);
	assert_string_equal(row->first, text);
}

static void
test_answers(void **state)
{
	unsigned char query[DNS_QUERY_MAX], message[1024], *copy;
	struct dns_answer answer;
	enum dns_result result;
	enum dns_parse parse;
	size_t i, len, query_len;

	(void)state;
	for (i = 0; i < LENGTH(ROWS); i++) {
		const struct row *row = &ROWS[i];

		query_len = dns_make_query(
			query, sizeof query, 0x1234, "example.test", row->type);
		assert_int_equal(12 + 14 + 4, query_len);
		len = make_answer(row, query, query_len, message);
		copy = malloc(len);
		assert_non_null(copy);
		memcpy(copy, message, len);
		parse = dns_parse_answer(copy, len, query, query_len, row->type,
			&result, &answer);
		free(copy);
		if (parse != row->parse || result != row->result)
			fail_msg("%s: %d, %d", row->name, parse, result);
		assert_int_equal(row->count, answer.count);
		assert_int_equal(row->dropped, answer.dropped);
		check_first(row, &answer);
		if (parse == DNS_CHAINED)
			assert_string_equal("h.example.test", answer.name);
	}
}

/* Every answer that is not to our question is foreign, whatever it says; each
 * shortened one is foreign or broken. */
static void
test_foreign(void **state)
{
	static const struct {
		size_t at;
		unsigned char mask;
		enum dns_parse parse;
	} change[] = {
		{0, 1, DNS_FOREIGN},
		{1, 0x80, DNS_FOREIGN},
		{2, 0x80, DNS_FOREIGN},
		{2, 0x08, DNS_FOREIGN},
		{5, 2, DNS_FOREIGN},
		{5, 1, DNS_FOREIGN},
		{12, 1, DNS_FOREIGN},
		{14, 1, DNS_FOREIGN},
		{27, 1, DNS_FOREIGN},
		{29, 2, DNS_FOREIGN},
		{2, 2, DNS_TRUNCATED},
		{14, 0x20, DNS_PARSED},
	};
	unsigned char query[DNS_QUERY_MAX], message[1024];
	struct dns_answer answer;
	enum dns_result result;
	size_t i, len, query_len;

	(void)state;
	query_len = dns_make_query(
		query, sizeof query, 0x1234, "example.test", ns_t_mx);
	len = make_answer(&ROWS[0], query, query_len, message);
	for (i = 0; i < LENGTH(change); i++) {
		message[change[i].at] ^= change[i].mask;
		assert_int_equal(change[i].parse,
			dns_parse_answer(message, len, query, query_len,
				ns_t_mx, &result, &answer));
		message[change[i].at] ^= change[i].mask;
	}
	for (i = 0; i < len; i++) {
		enum dns_parse parse = dns_parse_answer(message, i, query,
			query_len, ns_t_mx, &result, &answer);

		assert_true(parse == DNS_FOREIGN || parse == DNS_BROKEN);
		assert_int_equal(0, answer.count);
	}
}

static void
test_queries(void **state)
{
	static const char *const bad[] = {"", ".", "a..b", "a.b.", "[1.2.3.4]",
		"a b", "a\\.b", "-a.b", "\x80.test"};
	unsigned char query[DNS_QUERY_MAX];
	char name[DNS_NAME_MAX + 2];
	size_t i;

	(void)state;
	for (i = 0; i < LENGTH(bad); i++)
		assert_int_equal(0, dns_make_query(query, sizeof query, 1,
					    bad[i], ns_t_mx));
	memset(name, 'a', sizeof name);
	for (i = 63; i < sizeof name; i += 64)
		name[i] = '.';
	name[DNS_NAME_MAX] = '\0';
	assert_int_equal(
		0, dns_make_query(query, sizeof query, 1, name, ns_t_a));
	name[253] = '\0';
	assert_int_equal(12 + 255 + 4,
		dns_make_query(query, sizeof query, 1, name, ns_t_a));
	assert_int_equal(0, dns_make_query(query, 100, 1, name, ns_t_a));
}

static void
test_edns(void **state)
{
	static const unsigned char opt[] = {
		0, 0, ns_t_opt, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0};
	unsigned char query[DNS_QUERY_MAX];
	size_t len = dns_make_query(query, sizeof query, 1, "a.test", ns_t_mx);

	(void)state;
	assert_int_equal(0, query[11]);
	assert_int_equal(0, dns_add_edns(query, len, len + sizeof opt - 1));
	assert_int_equal(
		len + sizeof opt, dns_add_edns(query, len, sizeof query));
	assert_int_equal(1, query[11]);
	assert_memory_equal(opt, query + len, sizeof opt);
}

static uint16_t
port_of(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
	return ntohs(((const struct sockaddr_in *)address)->sin_port);
}

static void
test_servers(void **state)
{
	static const struct {
		const char *line;
		int family; /* 0: refused */
		uint16_t port;
	} row[] = {
		{"192.0.2.1", AF_INET, 53},
		{"192.0.2.1:5353", AF_INET, 5353},
		{"::1", AF_INET6, 53},
		{"[::1]", AF_INET6, 53},
		{"[2001:db8::1]:99", AF_INET6, 99},
		{"192.0.2.1:", 0, 0},
		{"192.0.2.1:0", 0, 0},
		{"192.0.2.1:65536", 0, 0},
		{"192.0.2.1:1x", 0, 0},
		{"192.0.2", 0, 0},
		{"[::1", 0, 0},
		{"[::1]53", 0, 0},
		{"[192.0.2.1]:53", 0, 0},
		{"ns.example.test", 0, 0},
		{"", 0, 0},
		{"[]", 0, 0},
	};
	char why[200], *line[4];
	size_t number[4] = {7, 8, 9, 10}, i;
	struct setting_list list = {line, number, 1, true};
	struct dns dns;

	(void)state;
	for (i = 0; i < LENGTH(row); i++) {
		line[0] = (char *)(uintptr_t)row[i].line;
		if (row[i].family == 0) {
			assert_int_equal(
				-1, dns_start(&dns, &list, why, sizeof why));
			assert_non_null(strstr(why, "line 7"));
			continue;
		}
		assert_int_equal(0, dns_start(&dns, &list, why, sizeof why));
		assert_int_equal(1, dns.servers);
		assert_int_equal(row[i].family, dns.server[0].ss_family);
		assert_int_equal(row[i].port, port_of(&dns.server[0]));
	}
	for (i = 0; i < 4; i++)
		line[i] = (char *)(uintptr_t)row[i].line;
	list.count = 3;
	assert_int_equal(0, dns_start(&dns, &list, why, sizeof why));
	list.count = 4;
	assert_int_equal(-1, dns_start(&dns, &list, why, sizeof why));
	assert_int_equal(0, dns_start(&dns, NULL, why, sizeof why));
	assert_in_range(dns.servers, 1, DNS_SERVERS_MAX);
}

static void
test_resolv_conf(void **state)
{
	static const char text[] = "# nameserver 192.0.2.9\nsearch a\n"
				   "nameserver\t192.0.2.1 # one\n"
				   "nameserver x\nnameserver\n"
				   "nameserver192.0.2.3\n"
				   "nameserver  ::1\nnameserver 192.0.2.2\n"
				   "nameserver 192.0.2.4";
	struct dns dns;
	size_t i;

	(void)state;
	memset(&dns, 0, sizeof dns);
	dns_take_resolv_conf(&dns, TEXT(text));
	assert_int_equal(3, dns.servers);
	assert_int_equal(AF_INET6, dns.server[1].ss_family);
	assert_int_equal(53, port_of(&dns.server[2]));
	for (i = 0; i < sizeof text; i++) {
		char *copy = malloc(i > 0 ? i : 1);

		assert_non_null(copy);
		memcpy(copy, text, i);
		memset(&dns, 0, sizeof dns);
		dns_take_resolv_conf(&dns, copy, i);
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_queries),
		cmocka_unit_test(test_edns),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_resolv_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
