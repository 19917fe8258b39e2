#include "remote/mx.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

/* A host to look up. */
struct host {
	const char *name;
	uint16_t preference;
};

struct search {
	const struct mx_options *options;
	const struct route_target *target;
	int64_t deadline_ms;
	struct mx_list *list;
	struct dns_answer mx;
	struct host host[DNS_RECORDS_MAX];
	unsigned hosts;
	int temporary; /* some look-up may succeed later */
	int skipped;   /* some address was not to be tried */
	int is_backup; /* this host is an MX, but a better one is named */
};

static enum mx_result give_up(struct mx_list *list, enum mx_result result,
	const char *format, ...) __attribute__((format(printf, 3, 4)));

static enum mx_result
give_up(struct mx_list *list, enum mx_result result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(list->text, sizeof list->text, format, arguments);
	va_end(arguments);
	list->count = 0;
	list->ttl_s = 0;
	return result;
}

static int
is_local_v4(const unsigned char ip[4])
{
	return ip[0] == 0 || ip[0] == 127 || ip[0] >= 224 ||
	       (ip[0] == 169 && ip[1] == 254);
}

static int
is_local_v6(const unsigned char ip[16])
{
	static const unsigned char zero[12];
	static const unsigned char mapped[12] = {
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};

	/* Addresses that stand for one of IPv4; "::" and "::1" are among. */
	if (memcmp(ip, zero, sizeof zero) == 0 ||
		memcmp(ip, mapped, sizeof mapped) == 0 ||
		memcmp(ip, nat64, sizeof nat64) == 0)
		return is_local_v4(ip + 12);
	return ip[0] == 0xff || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}

int
mx_is_local(const struct sockaddr_storage *address)
{
	unsigned char ip[16];

	if (address->ss_family == AF_INET) {
		memcpy(ip, &((const struct sockaddr_in *)address)->sin_addr, 4);
		return is_local_v4(ip);
	}
	memcpy(ip, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
	return is_local_v6(ip);
}

void
mx_address_text(
	const struct sockaddr_storage *address, char *buffer, size_t size)
{
	const void *ip =
		address->ss_family == AF_INET6
			? (const void *)&((const struct sockaddr_in6 *)address)
				  ->sin6_addr
			: (const void *)&((const struct sockaddr_in *)address)
				  ->sin_addr;

	if (inet_ntop(address->ss_family, ip, buffer, (socklen_t)size) == NULL)
		snprintf(buffer, size, "?");
}

/* The list may be kept no longer than that. */
static void
limit_ttl(struct search *search, uint32_t ttl_s)
{
	if (ttl_s < search->list->ttl_s)
		search->list->ttl_s = ttl_s;
}

static void
set_port(struct sockaddr_storage *address, const struct mx_options *options,
	const struct route_target *target)
{
	uint16_t port = htons(target->routed ? target->port : options->port);

	if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *)address)->sin6_port = port;
	else
		((struct sockaddr_in *)address)->sin_port = port;
}

/* Adds an address to the list, if it may be tried. Returns whether it was. */
static int
add_address(struct search *search, const struct sockaddr_storage *address,
	const struct host *host)
{
	const struct route_target *target = search->target;
	struct mx_list *list = search->list;
	struct mx_address *entry = &list->entry[list->count];

	if (list->count == MX_ADDRESSES_MAX)
		return 0;
	if (!target->routed && !search->options->allow_local &&
		mx_is_local(address)) {
		search->skipped = 1;
		return 0;
	}
	memset(entry, 0, sizeof *entry);
	entry->address = *address;
	set_port(&entry->address, search->options, target);
	snprintf(entry->host, sizeof entry->host, "%s", host->name);
	entry->preference = host->preference;
	list->count++;
	return 1;
}

/* Adds the addresses of a host, the families in turn. Returns -1 when there is
 * no memory. */
static int
add_host(struct search *search, const struct host *host)
{
	static const int family[2] = {AF_INET6, AF_INET};
	struct dns_answer answer[2];
	unsigned i, k, added = 0;

	for (k = 0; k < 2; k++) {
		enum dns_result result = dns_addresses(search->options->dns,
			host->name, family[k], search->deadline_ms, &answer[k]);

		if (result == DNS_MEMORY)
			return -1;
		if (result == DNS_TEMPORARY)
			search->temporary = 1;
		limit_ttl(search, result == DNS_OK	    ? answer[k].ttl_s
				  : result == DNS_TEMPORARY ? 0
							    : MX_TTL_NONE_S);
		if (result != DNS_OK)
			answer[k].count = 0;
	}
	for (i = 0; i < answer[0].count || i < answer[1].count; i++)
		for (k = 0; k < 2; k++)
			if (i < answer[k].count &&
				added < MX_ADDRESSES_PER_HOST)
				added += (unsigned)add_address(search,
					&answer[k].record[i].address, host);
	return 0;
}

static int
is_own(const struct mx_options *options, const char *name)
{
	size_t i;

	for (i = 0; i < options->owns; i++)
		if (strcasecmp(options->own[i], name) == 0)
			return 1;
	return 0;
}

/* Brings the records into random order. Random numbers that are not to be had
 * leave them as they are. */
static void
shuffle(struct dns_answer *mx)
{
	uint32_t number[DNS_RECORDS_MAX];
	struct dns_record record;
	unsigned i, other;

	if (getrandom(number, sizeof number, GRND_NONBLOCK) !=
		(ssize_t)sizeof number)
		return;
	for (i = mx->count; i > 1; i--) {
		other = number[i - 1] % i;
		record = mx->record[i - 1];
		mx->record[i - 1] = mx->record[other];
		mx->record[other] = record;
	}
}

/* Puts a host behind all that are not worse. */
static void
insert_host(struct search *search, const struct dns_record *record)
{
	unsigned at = search->hosts, i;

	for (i = 0; i < search->hosts; i++)
		if (strcmp(search->host[i].name, record->name) == 0 &&
			search->host[i].preference <= record->preference)
			return;
	while (at > 0 && search->host[at - 1].preference > record->preference) {
		search->host[at] = search->host[at - 1];
		at--;
	}
	search->host[at].name = record->name;
	search->host[at].preference = record->preference;
	search->hosts++;
}

/* The MX records are there: makes the list of hosts. */
static enum mx_result
take_mx(struct search *search)
{
	struct dns_answer *mx = &search->mx;
	const char *domain = search->target->name;
	uint32_t limit = UINT32_MAX;
	unsigned i;

	if (mx->count == 1 && strcmp(mx->record[0].name, ".") == 0)
		return give_up(search->list, MX_NULL,
			"5.1.10 %s takes no mail (null MX)", domain);
	for (i = 0; i < mx->count; i++)
		if (is_own(search->options, mx->record[i].name) &&
			mx->record[i].preference < limit)
			limit = mx->record[i].preference;
	search->is_backup = limit != UINT32_MAX;
	shuffle(mx);
	for (i = 0; i < mx->count; i++)
		if (mx->record[i].preference < limit &&
			strcmp(mx->record[i].name, ".") != 0)
			insert_host(search, &mx->record[i]);
	if (search->hosts == 0 && limit != UINT32_MAX)
		return give_up(search->list, MX_SELF,
			"5.4.6 mail for %s comes back to this host: it is the "
			"best MX, but does not take the domain's mail",
			domain);
	if (search->hosts > MX_HOSTS_MAX)
		search->hosts = MX_HOSTS_MAX;
	return MX_OK;
}

static enum mx_result
find_hosts(struct search *search)
{
	const char *domain = search->target->name;

	switch (dns_mx(search->options->dns, domain, search->deadline_ms,
		&search->mx)) {
	case DNS_OK:
		search->list->is_authentic = search->mx.is_authentic;
		limit_ttl(search, search->mx.ttl_s);
		return take_mx(search);
	case DNS_NONE:
		if (search->mx.dropped > 0)
			return give_up(search->list, MX_NO_ADDRESS,
				"5.4.4 no MX of %s is a host name", domain);
		if (is_own(search->options, domain))
			return give_up(search->list, MX_SELF,
				"5.4.6 mail for %s comes back to this host, "
				"which does not take the domain's mail",
				domain);
		limit_ttl(search, MX_TTL_NONE_S);
		search->host[0].name = domain;
		search->hosts = 1;
		return MX_OK;
	case DNS_NXDOMAIN:
		return give_up(search->list, MX_NO_DOMAIN,
			"5.1.2 the domain %s does not exist", domain);
	case DNS_MEMORY:
		return give_up(search->list, MX_MEMORY,
			"4.3.0 no memory for a look-up in the DNS");
	case DNS_TEMPORARY:
		break;
	}
	return give_up(search->list, MX_TEMPORARY,
		"4.4.3 the DNS has no answer about %s for now", domain);
}

/* No host has an address that may be tried: for now, or for good? */
static enum mx_result
no_address(const struct search *search)
{
	const char *domain = search->target->name;

	if (search->temporary)
		return give_up(search->list, MX_TEMPORARY,
			"4.4.3 the DNS has no answer about the mail hosts of "
			"%s for now",
			domain);
	if (search->target->routed)
		return give_up(search->list, MX_TEMPORARY,
			"4.4.3 the relay %s of this host's routes has no "
			"address",
			domain);
	if (search->skipped)
		return give_up(search->list, MX_NO_ADDRESS,
			"5.4.4 %s leads to no address that mail may go to",
			domain);
	/* we are to keep its mail until then */
	if (search->is_backup)
		return give_up(search->list, MX_TEMPORARY,
			"4.4.4 no mail host of %s that is better than this one "
			"has an address",
			domain);
	return give_up(search->list, MX_NO_ADDRESS,
		"5.4.4 no mail host of %s has an address", domain);
}

/* The target is an address. */
static enum mx_result
take_literal(struct search *search)
{
	struct sockaddr_storage address;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	const struct host host = {search->target->name, 0};

	memset(&address, 0, sizeof address);
	if (inet_pton(AF_INET, host.name, &v4->sin_addr) == 1)
		address.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, host.name, &v6->sin6_addr) == 1)
		address.ss_family = AF_INET6;
	else
		return no_address(search);
	return add_address(search, &address, &host) ? MX_OK
						    : no_address(search);
}

enum mx_result
mx_find(const struct mx_options *options, const struct route_target *target,
	int64_t deadline_ms, struct mx_list *list)
{
	struct search search;
	enum mx_result result;
	unsigned i;

	memset(list, 0, sizeof *list);
	memset(&search, 0, sizeof search);
	search.options = options;
	search.target = target;
	search.deadline_ms = deadline_ms;
	search.list = list;
	if (target->kind == ROUTE_ADDRESS)
		return take_literal(&search);
	list->ttl_s = MX_TTL_MAX_S;
	if (target->kind == ROUTE_MX) {
		result = find_hosts(&search);
		if (result != MX_OK)
			return result;
	} else {
		search.host[0].name = target->name;
		search.hosts = 1;
	}
	for (i = 0; i < search.hosts && list->count < MX_ADDRESSES_MAX; i++)
		if (add_host(&search, &search.host[i]) == -1)
			return give_up(list, MX_MEMORY,
				"4.3.0 no memory for a look-up in the DNS");
	return list->count > 0 ? MX_OK : no_address(&search);
}

/* Brings a random one of the hosts in [from, to), which are equal, to their
 * beginning; the rest follow in a circle. */
static void
rotate(struct mx_list *list, unsigned from, unsigned to)
{
	unsigned host[MX_ADDRESSES_MAX], hosts = 0;
	struct mx_list before = *list;
	uint32_t number;

	for (unsigned i = from; i < to; i++)
		if (i == from || strcmp(list->entry[i].host,
					 list->entry[i - 1].host) != 0)
			host[hosts++] = i;
	if (hosts < 2 || getrandom(&number, sizeof number, GRND_NONBLOCK) !=
				 (ssize_t)sizeof number)
		return;
	unsigned by = host[number % hosts] - from;
	for (unsigned i = from; i < to; i++)
		list->entry[i] =
			before.entry[from + (i - from + by) % (to - from)];
}

bool
mx_recall(const struct mx_options *options, const struct route_target *target,
	struct mx_list *list)
{
	list->ttl_s = 0;
	list->is_authentic = 0;
	list->text[0] = 0;
	if (list->count == 0 || list->count > MX_ADDRESSES_MAX ||
		target->kind == ROUTE_ADDRESS)
		return false;
	for (unsigned i = 0; i < list->count; i++) {
		struct mx_address *entry = &list->entry[i];

		if (!target->routed && !options->allow_local &&
			mx_is_local(&entry->address))
			return false;
		if (target->kind != ROUTE_MX &&
			strcmp(entry->host, target->name) != 0)
			return false;
		set_port(&entry->address, options, target);
	}
	for (unsigned from = 0, to = 0; from < list->count; from = to) {
		while (to < list->count && list->entry[to].preference ==
						   list->entry[from].preference)
			to++;
		rotate(list, from, to);
	}
	return true;
}
