#ifndef REMOTE_DNS_H
#define REMOTE_DNS_H

/*
 * A stub resolver (RFC 1035) for what sending mail needs: MX records and
 * addresses. It asks the given recursive servers itself: no resolver library's
 * transport, no name service switch, so that it works in a static program and
 * stops at a deadline.
 *
 * Each attempt has a fresh connected UDP socket (the kernel checks the peer and
 * chooses the port) and a random id; an answer counts only if id and question
 * are those that were asked (RFC 5452). What does not match is passed over, and
 * the wait goes on. A truncated answer is fetched again over TCP.
 *
 * Queries have EDNS with DO (RFC 6891, RFC 3225); a server that refuses that is
 * asked again without, and so are all in the second round, for the sake of ways
 * that lose such queries. That an answer is authentic (AD) counts only from a
 * server on loopback or in control/nameservers: between others and this host
 * anybody could set the bit.
 *
 * Everything in an answer is hostile: names in a result are domains in lower
 * case as domain_valid() demands, or "." (an MX alone); records with other
 * names are left out.
 */

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include "lib/settings.h"

#define DNS_SERVERS_MAX 3
#define DNS_NAME_MAX 255
/* Records kept of an answer; more are dropped. */
#define DNS_RECORDS_MAX 64
/* Links of a chain of CNAMEs that are followed. */
#define DNS_CHAIN_MAX 8
/* Rounds over the servers, and the wait for one server in the first one, in
 * milliseconds; it triples with each round. */
#define DNS_ROUNDS 2
#define DNS_FIRST_WAIT_MS 3000
/* Octets of the longest query, and of the longest message of all. */
#define DNS_QUERY_MAX 512
/* The longest answer over UDP that a server is to send. */
#define DNS_UDP_OCTETS 1232
#define DNS_MESSAGE_MAX 65535

struct dns {
	struct sockaddr_storage server[DNS_SERVERS_MAX];
	unsigned trusted; /* of those the AD bit counts: 1 << place, ored */
	unsigned servers;
	int64_t first_wait_ms; /* DNS_FIRST_WAIT_MS after dns_start */
};

enum dns_result {
	DNS_OK,	       /* there is at least one record */
	DNS_NONE,      /* the name exists, but has no such record */
	DNS_NXDOMAIN,  /* the name does not exist */
	DNS_TEMPORARY, /* no server answered, or all failed, or with nonsense */
	DNS_MEMORY,    /* out of memory or descriptors: errno says */
};

struct dns_record {
	uint16_t preference;		 /* of an MX */
	char name[DNS_NAME_MAX + 1];	 /* of an MX; "." is the null MX; of a
					    PTR */
	struct sockaddr_storage address; /* of A and AAAA; the port is 0 */
};

struct dns_answer {
	unsigned count;
	unsigned dropped; /* records of the type asked that were left out */
	uint32_t ttl_s;	  /* the least of the records used; of DNS_OK alone */
	int is_authentic; /* each step of the way here was, a server says that
			     may be believed */
	struct dns_record record[DNS_RECORDS_MAX];
	/* Where the chain of CNAMEs led; the name asked if there is none. */
	char name[DNS_NAME_MAX + 1];
};

/*
 * Takes the servers from a list of lines "IP", "IP:PORT", "IPv6",
 * "[IPv6]" or "[IPv6]:PORT"; from DNS_RESOLV_CONF if the list is NULL or
 * empty; 127.0.0.1 if that names none. Servers beyond DNS_SERVERS_MAX are an
 * error in the list and are passed over in the file. Returns 0; or -1 with a
 * sentence in why that names line and expectation.
 */
#define DNS_RESOLV_CONF "/etc/resolv.conf"
int dns_start(struct dns *dns, const struct setting_list *list, char *why,
	size_t size);

/* Adds the servers of the "nameserver" lines in the text of a resolv.conf; those
 * on loopback are trusted. */
void dns_take_resolv_conf(struct dns *dns, const char *text, size_t len);

/*
 * The MX records of a domain (a valid one, without a trailing dot; else
 * DNS_NXDOMAIN), in the answer's order. *answer has count 0 unless the result
 * is DNS_OK. A result of DNS_OK with answer->count 0 cannot be; records that
 * were all left out give DNS_NONE with answer->dropped.
 */
enum dns_result dns_mx(const struct dns *dns, const char *name,
	int64_t deadline_ms, struct dns_answer *answer);

/* The addresses of a host: family is AF_INET (A) or AF_INET6 (AAAA). */
enum dns_result dns_addresses(const struct dns *dns, const char *name,
	int family, int64_t deadline_ms, struct dns_answer *answer);

/* The names of an address (PTR): RFC 1035 section 3.5, RFC 3596 section 2.5. */
enum dns_result
dns_names(const struct dns *dns, const struct sockaddr_storage *address,
	int64_t deadline_ms, struct dns_answer *answer);

/*
 * The two halves without the network, for the above and for tests.
 *
 * dns_make_query writes a query with recursion desired. Returns its octets, or
 * 0 if the name cannot be asked or size is too small.
 */
size_t dns_make_query(unsigned char *query, size_t size, uint16_t id,
	const char *name, int type);

/* Adds EDNS to such a query of len octets. Returns its new octets, or 0 if size
 * is too small. */
size_t dns_add_edns(unsigned char *query, size_t len, size_t size);

enum dns_parse {
	DNS_PARSED,    /* *result and *answer are set */
	DNS_FOREIGN,   /* not an answer to this query: wait for another */
	DNS_TRUNCATED, /* ask over TCP */
	DNS_BROKEN,    /* an answer to this query that cannot be read, or a
			  server's refusal or failure: ask another server */
	DNS_NO_EDNS,   /* the server does not understand the query: ask it
			  without EDNS; as DNS_BROKEN if it was */
	DNS_CHAINED,   /* a chain of CNAMEs leads out of the answer: ask for
			  answer->name */
};

/*
 * Reads a message as the answer to a query that dns_make_query wrote; query_len
 * is without what dns_add_edns added. type is that of the query (ns_t_mx, ns_t_a,
 * ns_t_aaaa, ns_t_ptr). answer->is_authentic is the AD bit, whoever sent it.
 */
enum dns_parse dns_parse_answer(const unsigned char *message, size_t len,
	const unsigned char *query, size_t query_len, int type,
	enum dns_result *result, struct dns_answer *answer);

#endif
