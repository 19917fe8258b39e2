#ifndef REMOTE_MX_H
#define REMOTE_MX_H

/*
 * From a destination to the addresses to try, in order: RFC 5321 section 5.1,
 * the null MX of RFC 7505. MX hosts by preference, equal ones in random order; a
 * host's addresses with AAAA and A alternating. A domain without MX is its own
 * only host.
 *
 * When this host is an MX of the domain, it and all that are not better are left
 * out: mail never goes back or in a circle.
 *
 * An MX record is a stranger's word, and so is a literal: addresses of loopback,
 * "this" network, link-local, multicast, the reserved range and broadcast are
 * not tried, unless allow_local is set. A route of the administrator
 * (target->routed) leads anywhere; and as it is his to mend, a relay without an
 * address defers and does not bounce.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include "lib/outcome.h"
#include "remote/dns.h"
#include "remote/route.h"

#define MX_HOSTS_MAX 10
#define MX_ADDRESSES_MAX 20
/* Of one host, so that another gets its turn. */
#define MX_ADDRESSES_PER_HOST 8
/* How long a list may be kept, and one that rests on there being no record of some
 * kind: no MX, or one family without addresses. */
#define MX_TTL_MAX_S 3600
#define MX_TTL_NONE_S 300

struct mx_address {
	struct sockaddr_storage address; /* with the port */
	char host[DNS_NAME_MAX + 1];	 /* the name that led to it */
	uint16_t preference;
};

struct mx_list {
	unsigned count;
	struct mx_address entry[MX_ADDRESSES_MAX];
	uint32_t ttl_s; /* how long it may be kept, at most MX_TTL_MAX_S; 0: not
			   at all */
	int is_authentic;		 /* of the MX records: remote/dns.h */
	char text[OUTCOME_TEXT_MAX + 1]; /* unless MX_OK: "5.1.2 ..." */
};

struct mx_options {
	const struct dns *dns;
	const char *const *own; /* names of this host, any case */
	size_t owns;
	int allow_local; /* control/allowlocaladdresses */
	uint16_t port;	 /* unless routed */
};

enum mx_result {
	MX_OK = 1,     /* count is at least 1 */
	MX_NULL,       /* 5.1.10: the domain takes no mail */
	MX_SELF,       /* 5.4.6: only this host is left */
	MX_NO_DOMAIN,  /* 5.1.2: the name does not exist */
	MX_NO_ADDRESS, /* 5.4.4: no host has an address that may be tried */
	MX_TEMPORARY,  /* 4.4.3: the DNS does not say for now */
	MX_MEMORY,     /* 4.3.0: out of memory or descriptors */
};

/*
 * Finds the addresses for the target. Blocks on the DNS, at most until the
 * deadline (DNS_TEMPORARY then).
 */
enum mx_result
mx_find(const struct mx_options *options, const struct route_target *target,
	int64_t deadline_ms, struct mx_list *list);

/*
 * Whether a list that was found before, and kept where it may have been spoilt, is
 * one that mx_find could have given for the target; sets ports and ttl_s (to 0:
 * whoever kept it knows until when) and takes away is_authentic.
 * Of equal hosts a random one comes first, as with mx_find.
 */
bool mx_recall(const struct mx_options *options,
	const struct route_target *target, struct mx_list *list);

/* What a result that is not MX_OK means for the recipients. */
static inline enum outcome
mx_outcome(enum mx_result result)
{
	return result == MX_TEMPORARY || result == MX_MEMORY ? OUTCOME_DEFERRED
							     : OUTCOME_FAILED;
}

/* Whether an address is one that no stranger's MX may lead to. */
int mx_is_local(const struct sockaddr_storage *address);

/* Writes the address without its port, NUL-terminated: "192.0.2.1",
 * "2001:db8::1". 64 octets are enough. */
void mx_address_text(
	const struct sockaddr_storage *address, char *buffer, size_t size);

#endif
