/*
 * DNS messages: making a query, reading an answer. No network here.
 */
#include "remote/dns.h"
#include <arpa/nameser.h>
#include <ctype.h>
#include <stdbool.h>
#include <resolv.h>
#include <string.h>
#include <strings.h>
#include "lib/address.h"

/* Octets of type and class behind the name of a question. */
#define QUESTION_TAIL 4
/* An OPT record (RFC 6891 section 6.1.2) without options. */
#define OPT_OCTETS 11
/* Bits of the header's octets 2 and 3. */
#define BIT_AUTHORITATIVE 4
#define BIT_RECURSION 0x80
#define BIT_AUTHENTIC 0x20

size_t
dns_make_query(unsigned char *query, size_t size, uint16_t id, const char *name,
	int type)
{
	unsigned char *at = query;
	int octets;

	if (!domain_valid(name, strlen(name)) ||
		size < NS_HFIXEDSZ + NS_MAXCDNAME + QUESTION_TAIL)
		return 0;
	memset(query, 0, NS_HFIXEDSZ);
	ns_put16(id, at);
	query[2] = 1; /* recursion desired */
	query[5] = 1; /* one question */
	at += NS_HFIXEDSZ;
	octets = ns_name_compress(name, at, NS_MAXCDNAME, NULL, NULL);
	if (octets <= 0)
		return 0;
	at += octets;
	ns_put16((unsigned)type, at);
	ns_put16(ns_c_in, at + 2);
	return (size_t)(at + QUESTION_TAIL - query);
}

size_t
dns_add_edns(unsigned char *query, size_t len, size_t size)
{
	unsigned char *at = query + len;

	if (len < NS_HFIXEDSZ || size < len + OPT_OCTETS)
		return 0;
	query[11] = 1; /* one additional record */
	memset(at, 0, OPT_OCTETS);
	ns_put16(ns_t_opt, at + 1);
	ns_put16(DNS_UDP_OCTETS, at + 3);
	at[7] = 0x80; /* DO: RFC 3225 */
	return len + OPT_OCTETS;
}

/* Whether a message that need not have a question says that the query was not
 * understood: an old server's answer to EDNS. */
static int
is_not_understood(
	const unsigned char *message, size_t len, const unsigned char *query)
{
	int code;

	if (len < NS_HFIXEDSZ || memcmp(message, query, 2) != 0 ||
		(message[2] & 0xf8) != 0x80)
		return 0;
	code = message[3] & 15;
	return code == ns_r_formerr || code == ns_r_notimpl;
}

/* Whether the message begins as an answer to the query does: id, QR, opcode,
 * one question, and that one the same but for the case of letters. */
static int
is_answer_to(const unsigned char *message, size_t len,
	const unsigned char *query, size_t query_len)
{
	size_t name_end = query_len - QUESTION_TAIL, i;

	if (query_len < NS_HFIXEDSZ + 1 + QUESTION_TAIL || len < query_len)
		return 0;
	if (memcmp(message, query, 2) != 0 || (message[2] & 0xf8) != 0x80 ||
		message[4] != 0 || message[5] != 1)
		return 0;
	/* The octet of a label's length is below every letter. */
	for (i = NS_HFIXEDSZ; i < name_end; i++)
		if (tolower(message[i]) != tolower(query[i]))
			return 0;
	return memcmp(message + name_end, query + name_end, QUESTION_TAIL) == 0;
}

/* The record at place i of a section; 0, or -1 if it cannot be read. */
static int
get_record(ns_msg *handle, ns_sect section, unsigned i, ns_rr *record)
{
	return ns_parserr(handle, section, (int)i, record) == 0 ? 0 : -1;
}

/* Reads the name at data, which must end where the record does. */
static int
get_name(const ns_msg *handle, const ns_rr *record, size_t at, char *name)
{
	const unsigned char *data = ns_rr_rdata(*record) + at;
	int octets;

	if (ns_rr_rdlen(*record) <= at)
		return -1;
	octets = ns_name_uncompress(ns_msg_base(*handle), ns_msg_end(*handle),
		data, name, NS_MAXDNAME);
	return octets > 0 && (size_t)octets == ns_rr_rdlen(*record) - at ? 0
									 : -1;
}

/* The top bit set means 0 (RFC 2181 section 8). */
static void
note_ttl(const ns_rr *record, uint32_t *ttl_s)
{
	uint32_t ttl = ns_rr_ttl(*record) > INT32_MAX ? 0 : ns_rr_ttl(*record);

	if (ttl < *ttl_s)
		*ttl_s = ttl;
}

/*
 * Replaces name by the target of its CNAME in the answer. Returns 1; 0 if there
 * is none; -1 if the answer cannot be read.
 */
static int
follow_alias(ns_msg *handle, char *name, uint32_t *ttl_s)
{
	unsigned i;
	ns_rr record;

	for (i = 0; i < ns_msg_count(*handle, ns_s_an); i++) {
		if (get_record(handle, ns_s_an, i, &record) == -1)
			return -1;
		if (ns_rr_type(record) != ns_t_cname ||
			ns_rr_class(record) != ns_c_in ||
			strcasecmp(ns_rr_name(record), name) != 0)
			continue;
		note_ttl(&record, ttl_s);
		return get_name(handle, &record, 0, name) == 0 ? 1 : -1;
	}
	return 0;
}

/* Copies a name that is "." or a domain, in lower case. Returns -1 if it is
 * neither. */
static int
copy_name(char to[DNS_NAME_MAX + 1], const char *name)
{
	size_t len = strlen(name), i;

	if (strcmp(name, ".") != 0 && !domain_valid(name, len))
		return -1;
	for (i = 0; i <= len; i++)
		to[i] = (char)tolower((unsigned char)name[i]);
	return 0;
}

static int
set_address(struct dns_record *into, const ns_rr *record)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&into->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&into->address;

	if (ns_rr_type(*record) == ns_t_a) {
		if (ns_rr_rdlen(*record) != sizeof v4->sin_addr)
			return -1;
		v4->sin_family = AF_INET;
		memcpy(&v4->sin_addr, ns_rr_rdata(*record),
			sizeof v4->sin_addr);
		return 0;
	}
	if (ns_rr_rdlen(*record) != sizeof v6->sin6_addr)
		return -1;
	v6->sin6_family = AF_INET6;
	memcpy(&v6->sin6_addr, ns_rr_rdata(*record), sizeof v6->sin6_addr);
	return 0;
}

/* Adds a record, or counts it as dropped. Returns -1 if it is malformed. */
static int
take_record(
	const ns_msg *handle, const ns_rr *record, struct dns_answer *answer)
{
	struct dns_record *into = &answer->record[answer->count];
	char name[NS_MAXDNAME];
	bool is_mx = ns_rr_type(*record) == ns_t_mx;

	if (answer->count == DNS_RECORDS_MAX) {
		answer->dropped++;
		return 0;
	}
	memset(into, 0, sizeof *into);
	if (!is_mx && ns_rr_type(*record) != ns_t_ptr) {
		if (set_address(into, record) == -1)
			return -1;
		answer->count++;
		return 0;
	}
	if (ns_rr_rdlen(*record) < (is_mx ? 3 : 1) ||
		get_name(handle, record, is_mx ? 2 : 0, name) == -1)
		return -1;
	if (is_mx)
		into->preference = (uint16_t)ns_get16(ns_rr_rdata(*record));
	if (copy_name(into->name, name) == 0)
		answer->count++;
	else
		answer->dropped++;
	return 0;
}

/* Takes all records of the type that belong to the name. */
static int
take_records(
	ns_msg *handle, const char *name, int type, struct dns_answer *answer)
{
	unsigned i;
	ns_rr record;

	for (i = 0; i < ns_msg_count(*handle, ns_s_an); i++) {
		if (get_record(handle, ns_s_an, i, &record) == -1)
			return -1;
		if ((int)ns_rr_type(record) != type ||
			ns_rr_class(record) != ns_c_in ||
			strcasecmp(ns_rr_name(record), name) != 0)
			continue;
		note_ttl(&record, &answer->ttl_s);
		if (take_record(handle, &record, answer) == -1)
			return -1;
	}
	return 0;
}

/* Whether the server says by a SOA that there is no more to be had. */
static int
has_soa(ns_msg *handle)
{
	unsigned i;
	ns_rr record;

	for (i = 0; i < ns_msg_count(*handle, ns_s_ns); i++)
		if (get_record(handle, ns_s_ns, i, &record) == 0 &&
			ns_rr_type(record) == ns_t_soa)
			return 1;
	return 0;
}

/* Whether the upper bits of the code, which EDNS has, say that it failed. */
static int
has_bad_version(ns_msg *handle)
{
	unsigned i;
	ns_rr record;

	for (i = 0; i < ns_msg_count(*handle, ns_s_ar); i++)
		if (get_record(handle, ns_s_ar, i, &record) == 0 &&
			ns_rr_type(record) == ns_t_opt)
			return ns_rr_ttl(record) >> 24 != 0;
	return 0;
}

/* A server that neither has the zone nor looks elsewhere: its "nothing" means
 * nothing. */
static int
is_lame(const ns_msg *handle)
{
	const unsigned char *message = ns_msg_base(*handle);

	return (message[2] & BIT_AUTHORITATIVE) == 0 &&
	       (message[3] & BIT_RECURSION) == 0;
}

/* The answer is well formed and to the point: what does it say? */
static enum dns_parse
read_sections(ns_msg *handle, int type, enum dns_result *result,
	struct dns_answer *answer)
{
	char name[NS_MAXDNAME];
	unsigned links = 0;
	int found;
	ns_rr question;

	if (get_record(handle, ns_s_qd, 0, &question) == -1 ||
		copy_name(answer->name, ns_rr_name(question)) == -1)
		return DNS_BROKEN;
	memcpy(name, answer->name, sizeof answer->name);
	while ((found = follow_alias(handle, name, &answer->ttl_s)) == 1)
		if (++links > DNS_CHAIN_MAX)
			return DNS_BROKEN;
	if (found == -1 || copy_name(answer->name, name) == -1 ||
		(links > 0 && strcmp(name, ".") == 0))
		return DNS_BROKEN;
	if (ns_msg_getflag(*handle, ns_f_rcode) == ns_r_nxdomain) {
		*result = DNS_NXDOMAIN;
		return DNS_PARSED;
	}
	if (take_records(handle, name, type, answer) == -1)
		return DNS_BROKEN;
	if (answer->count == 0 && answer->dropped == 0 && links > 0 &&
		!has_soa(handle))
		return DNS_CHAINED;
	if (answer->count == 0 && answer->dropped == 0 && is_lame(handle))
		return DNS_BROKEN;
	*result = answer->count > 0 ? DNS_OK : DNS_NONE;
	return DNS_PARSED;
}

enum dns_parse
dns_parse_answer(const unsigned char *message, size_t len,
	const unsigned char *query, size_t query_len, int type,
	enum dns_result *result, struct dns_answer *answer)
{
	enum dns_parse parse;
	ns_msg handle;
	int code;

	answer->count = answer->dropped = 0;
	answer->ttl_s = UINT32_MAX;
	answer->is_authentic = 0;
	answer->name[0] = '\0';
	*result = DNS_TEMPORARY;
	if (is_not_understood(message, len, query))
		return DNS_NO_EDNS;
	if (len > DNS_MESSAGE_MAX ||
		!is_answer_to(message, len, query, query_len))
		return DNS_FOREIGN;
	if (message[2] & 2)
		return DNS_TRUNCATED;
	code = message[3] & 15;
	if (code != ns_r_noerror && code != ns_r_nxdomain)
		return DNS_BROKEN;
	if (ns_initparse(message, (int)len, &handle) != 0)
		return DNS_BROKEN;
	if (has_bad_version(&handle))
		return DNS_NO_EDNS;
	answer->is_authentic = (message[3] & BIT_AUTHENTIC) != 0;
	parse = read_sections(&handle, type, result, answer);
	if (parse == DNS_BROKEN)
		answer->count = 0;
	return parse;
}
