/* What DNS says of this host and of the domain. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "lib/deadline.h"
#include "lib/settings.h"
#include "remote/mx.h"
#include "setup/setup.h"

#define ASK_MS 5000
/* So many addresses of a family are looked at. */
#define FAMILY_MAX 4

struct name_settings {
	struct setting_list nameservers;
};

static const struct setting settings_table[] = {
	{"nameservers", SETTING_LIST, "", 0, 0,
		offsetof(struct name_settings, nameservers),
		"recursive name servers, IP or IP:PORT; those of the system"},
};

/* --- this host's addresses --- */

/* Whether other hosts could reach the address by that number. */
static bool
is_outside(const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

	if (address == NULL)
		return false;
	if (address->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 != 127;
	return address->sa_family == AF_INET6 &&
	       !IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) &&
	       !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
}

bool
setup_has_no_network(void)
{
	struct ifaddrs *list;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (struct ifaddrs *at = list; at != NULL; at = at->ifa_next)
		found |= is_outside(at->ifa_addr);
	freeifaddrs(list);
	return !found;
}

static bool
is_same(const struct sockaddr *a, const struct sockaddr_storage *b)
{
	if (a == NULL || a->sa_family != b->ss_family)
		return false;
	if (a->sa_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr,
		&((const struct sockaddr_in6 *)b)->sin6_addr);
}

/* Whether an interface has the address. */
static bool
is_ours(const struct sockaddr_storage *address)
{
	struct ifaddrs *list;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (struct ifaddrs *at = list; at != NULL; at = at->ifa_next)
		if (at->ifa_addr != NULL &&
			(at->ifa_addr->sa_family == AF_INET ||
				at->ifa_addr->sa_family == AF_INET6))
			found |= is_same(at->ifa_addr, address);
	freeifaddrs(list);
	return found;
}

/* --- the resolver --- */

/* True if it answers: only then the rest has a meaning. */
static bool
check_resolver(struct setup *setup)
{
	static const char mend[] =
		"apt-get install unbound && echo nameserver 127.0.0.1 "
		">/etc/resolv.conf";
	struct findings *findings = &setup->findings;
	struct name_settings settings = {0};
	char path[SETUP_PATH_MAX], why[300];
	int64_t before_ms;

	if (settings_read(settings_table, SETTINGS_COUNT(settings_table),
		    setup_path(setup, "control", path), &settings, why,
		    sizeof why) < 0 ||
		dns_start(&setup->dns, &settings.nameservers, why, sizeof why) <
			0) {
		findings_tell(findings, FINDING_FAIL, "resolver",
			"keepmail control-check", "%s", why);
		return false;
	}
	settings_free(
		settings_table, SETTINGS_COUNT(settings_table), &settings);
	before_ms = deadline_now_ms();
	enum dns_result result = dns_mx(&setup->dns, setup->domain,
		deadline_after_ms(ASK_MS), &setup->answer);
	findings->took_ms = deadline_now_ms() - before_ms;
	if (result == DNS_TEMPORARY || result == DNS_MEMORY) {
		findings_tell(findings, setup_internet(setup, FINDING_FAIL),
			"resolver", mend,
			"no name server answers: no mail for other hosts "
			"leaves");
		return false;
	}
	findings_tell(findings, FINDING_OK, "resolver", NULL, "answers");
	return true;
}

static void
check_dnssec(struct setup *setup)
{
	static const char mend[] = "apt-get install unbound && echo 127.0.0.1 "
				   ">control/nameservers "
				   "(in the home)";
	struct findings *findings = &setup->findings;
	enum dns_result result = dns_mx(&setup->dns, setup->signed_name,
		deadline_after_ms(ASK_MS), &setup->answer);

	if (result == DNS_OK && setup->answer.is_authentic)
		findings_tell(findings, FINDING_OK, "DNSSEC", NULL,
			"the resolver verifies what is signed");
	else if (result != DNS_OK)
		findings_tell(findings, FINDING_WARN, "DNSSEC", mend,
			"cannot tell: the name server has no MX of %s, which "
			"is signed",
			setup->signed_name);
	else if (setup->dns.trusted == 0)
		findings_tell(findings, FINDING_WARN, "DNSSEC", mend,
			"the resolver is another host, which could be made to "
			"say anything on the way: its word does not count");
	else
		findings_tell(findings, FINDING_WARN, "DNSSEC", mend,
			"the resolver does not verify what is signed");
}

/* --- forward and reverse --- */

static bool
answer_names(const struct dns_answer *answer, const char *name)
{
	for (unsigned i = 0; i < answer->count; i++)
		if (strcasecmp(answer->record[i].name, name) == 0)
			return true;
	return false;
}

/* Whether the address has this host's name. */
static void
check_reverse(struct setup *setup, const struct sockaddr_storage *address,
	const char *text)
{
	struct findings *findings = &setup->findings;
	char mend[FINDINGS_TEXT_MAX];
	enum dns_result result = dns_names(&setup->dns, address,
		deadline_after_ms(ASK_MS), &setup->answer);

	findings_mend(mend,
		"have whoever gave you the address %s set its reverse name "
		"(PTR) to %s",
		text, setup->host);
	if (result == DNS_OK && answer_names(&setup->answer, setup->host))
		findings_tell(findings, FINDING_OK, text, NULL,
			"its name is %s", setup->host);
	else if (result == DNS_TEMPORARY || result == DNS_MEMORY)
		findings_tell(findings, FINDING_WARN, text, NULL,
			"its name cannot be found now");
	else
		findings_tell(findings, setup_internet(setup, FINDING_FAIL),
			text, mend,
			"its name is %s, not %s: many hosts refuse its mail",
			result == DNS_OK ? setup->answer.record[0].name
					 : "missing",
			setup->host);
}

/* The addresses that the host's name has in DNS. */
struct seen {
	struct sockaddr_storage address[2 * FAMILY_MAX];
	unsigned count;
};

/* The host's addresses of a family: whether they are ours, and their names.
 * Returns how many there are, or -1 if that is not known now. */
static int
check_family(struct setup *setup, int family, struct seen *seen)
{
	struct findings *findings = &setup->findings;
	struct sockaddr_storage *address = seen->address + seen->count;
	char text[64], mend[FINDINGS_TEXT_MAX];
	unsigned count;
	enum dns_result result = dns_addresses(&setup->dns, setup->host, family,
		deadline_after_ms(ASK_MS), &setup->answer);

	if (result == DNS_TEMPORARY || result == DNS_MEMORY)
		return -1;
	count = setup->answer.count < FAMILY_MAX ? setup->answer.count
						 : FAMILY_MAX;
	for (unsigned i = 0; i < count; i++)
		address[i] = setup->answer.record[i].address;
	seen->count += count;
	for (unsigned i = 0; i < count; i++) {
		mx_address_text(&address[i], text, sizeof text);
		if (!is_ours(&address[i]))
			findings_tell(findings, FINDING_WARN, text,
				findings_mend(mend,
					"have ports 25, 465, 587 and 995 of %s "
					"forwarded to this host (unless they "
					"are)",
					text),
				"%s has this address, and no interface of "
				"this host: it is behind NAT, or this is "
				"another host",
				setup->host);
		check_reverse(setup, &address[i], text);
	}
	return (int)count;
}

/* Whether the address means the same everywhere: not RFC 1918, RFC 6598, nor
 * RFC 4193. */
static bool
is_public(const struct sockaddr *address)
{
	if (!is_outside(address))
		return false;
	if (address->sa_family == AF_INET6)
		return (((const struct sockaddr_in6 *)address)
				       ->sin6_addr.s6_addr[0] &
			       0xe0) == 0x20;
	uint32_t ip =
		ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr);
	return ip >> 24 != 10 && ip >> 20 != 0xac1 && ip >> 16 != 0xc0a8 &&
	       ip >> 16 != 0xa9fe && ip >> 22 != 0x191;
}

/* Public addresses that this host has and DNS does not know: mail may leave from
 * them all the same. */
static void
check_own_addresses(struct setup *setup, const struct seen *seen)
{
	char text[INET6_ADDRSTRLEN], mend[FINDINGS_TEXT_MAX];
	struct ifaddrs *list;

	if (getifaddrs(&list) < 0)
		return;
	for (struct ifaddrs *at = list; at != NULL; at = at->ifa_next) {
		const struct sockaddr *address = at->ifa_addr;
		bool is_known = false;

		if (!is_public(address))
			continue;
		for (unsigned i = 0; i < seen->count; i++)
			is_known |= is_same(address, &seen->address[i]);
		if (is_known)
			continue;
		bool is_v6 = address->sa_family == AF_INET6;
		const void *ip =
			is_v6 ? (const void *)&(
					(const struct sockaddr_in6 *)address)
					->sin6_addr
			      : &((const struct sockaddr_in *)address)
					 ->sin_addr;
		if (inet_ntop(address->sa_family, ip, text, sizeof text) ==
			NULL)
			continue;
		findings_mend(mend,
			"add to the zone: %s. %s %s; and have its reverse name "
			"set to %s",
			setup->host, is_v6 ? "AAAA" : "A", text, setup->host);
		findings_tell(&setup->findings, FINDING_WARN, text, mend,
			"this host has the address, %s has not: mail that "
			"leaves from it may be refused",
			setup->host);
	}
	freeifaddrs(list);
}

static void
check_addresses(struct setup *setup)
{
	struct findings *findings = &setup->findings;
	char mend[FINDINGS_TEXT_MAX];
	struct seen seen = {0};
	int v4 = check_family(setup, AF_INET, &seen);
	int v6 = check_family(setup, AF_INET6, &seen);

	findings_mend(mend, "add to the zone: %s. A (this host's address)",
		setup->host);
	if (v4 > 0 || v6 > 0)
		findings_tell(findings, FINDING_OK, setup->host, NULL,
			"has %d IPv4 and %d IPv6 addresses in DNS",
			v4 > 0 ? v4 : 0, v6 > 0 ? v6 : 0);
	else if (v4 < 0 || v6 < 0)
		findings_tell(findings, FINDING_WARN, setup->host, NULL,
			"its addresses cannot be found now");
	else
		findings_tell(findings, setup_internet(setup, FINDING_FAIL),
			setup->host, mend,
			"has no address in DNS: nobody finds this host");
	if (v4 > 0 || v6 > 0)
		check_own_addresses(setup, &seen);
}

/* --- the domain's MX --- */

/* Whether a name leads to an address of this host. */
static bool
leads_here(struct setup *setup, const char *name)
{
	static const int families[] = {AF_INET, AF_INET6};

	if (strcasecmp(name, setup->host) == 0)
		return true;
	for (int i = 0; i < 2; i++) {
		if (dns_addresses(&setup->dns, name, families[i],
			    deadline_after_ms(ASK_MS),
			    &setup->answer) != DNS_OK)
			continue;
		for (unsigned j = 0; j < setup->answer.count; j++)
			if (is_ours(&setup->answer.record[j].address))
				return true;
	}
	return false;
}

static void
check_mx(struct setup *setup)
{
	struct findings *findings = &setup->findings;
	char mend[FINDINGS_TEXT_MAX],
		first[DNS_NAME_MAX + 1] = "", names[8][DNS_NAME_MAX + 1];
	unsigned count = 0, best = UINT32_MAX;
	bool is_here = false;
	enum dns_result result = dns_mx(&setup->dns, setup->domain,
		deadline_after_ms(ASK_MS), &setup->answer);

	findings_mend(mend, "add to the zone: %s. MX 10 %s.", setup->domain,
		setup->host);
	if (result == DNS_TEMPORARY || result == DNS_MEMORY) {
		findings_tell(findings, FINDING_WARN, "MX", NULL,
			"that of %s cannot be found now", setup->domain);
		return;
	}
	for (unsigned i = 0; i < setup->answer.count && i < 8; i++) {
		const struct dns_record *record = &setup->answer.record[i];

		memcpy(names[count++], record->name, sizeof record->name);
		if (record->preference < best) {
			best = record->preference;
			memcpy(first, record->name, sizeof record->name);
		}
	}
	if (count == 0) /* RFC 5321 section 5.1 */
		memcpy(names[count++], setup->domain,
			strlen(setup->domain) + 1);
	for (unsigned i = 0; i < count; i++)
		is_here |= leads_here(setup, names[i]);
	if (is_here && first[0] != '\0')
		findings_tell(findings, FINDING_OK, "MX", NULL,
			"mail for %s comes here", setup->domain);
	else if (is_here)
		findings_tell(findings, FINDING_WARN, "MX", mend,
			"%s has none: mail comes here by its address alone",
			setup->domain);
	else
		findings_tell(findings, setup_internet(setup, FINDING_FAIL),
			"MX", mend, "mail for %s goes to %s, not to this host",
			setup->domain, first[0] != '\0' ? first : "nobody");
}

void
setup_check_names(struct setup *setup)
{
	if (setup->is_loopback)
		findings_tell(&setup->findings, FINDING_WARN, "network", NULL,
			"set up for this host alone: what mail with the "
			"Internet needs besides is told below as warn");
	if (!check_resolver(setup))
		return;
	check_dnssec(setup);
	check_addresses(setup);
	check_mx(setup);
}
