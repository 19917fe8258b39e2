#ifndef LIB_NETWORKS_H
#define LIB_NETWORKS_H

/*
 * Lists of peers, as in control/proxies and control/xclients: on each line an
 * address or a network, "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", and for
 * some lists a word after it. Bits behind the mask must be zero: whoever writes
 * "192.0.2.7/24" is told, and not guessed at. An IPv6 address that holds an
 * IPv4 address (RFC 4291 section 2.5.5.2) is that IPv4 address.
 */

#include <stdbool.h>
#include <stddef.h>
#include "lib/settings.h"

/* An IP address; IPv4 has its 4 octets first. */
struct network_address {
	int family; /* AF_INET or AF_INET6 */
	unsigned char octet[16];
};

/* Octets of an address as text, with its NUL. */
#define NETWORK_TEXT_MAX 46

/* Reads text[0..len). 0, or -1 if it is no IP address. */
int network_address_scan(
	const char *text, size_t len, struct network_address *address);

/* Writes the address in its shortest form. */
void network_address_write(
	const struct network_address *address, char text[NETWORK_TEXT_MAX]);

/* Whether a text is an address of this host alone: 127.0.0.0/8 or ::1. */
bool network_is_loopback(const char *address);

/*
 * Checks every line of a list. words are those that may follow a network, the
 * end marked by NULL; NULL for none. 0; or -1 with a sentence in why that names
 * file, line and expectation.
 */
int networks_check(const struct setting_list *list, const char *name,
	const char *const *words, char *why, size_t size);

/*
 * The first line of a checked list whose network holds the address (as text:
 * what is no address is in no network). Returns the line's number, or 0 for
 * none; *word is then what stands behind the network, "" for nothing.
 */
size_t networks_find(const struct setting_list *list, const char *address,
	const char **word);

#endif
