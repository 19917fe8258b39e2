#include "remote/route.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "lib/address.h"

#define IPV6_TAG "IPv6:"

/* A relay or a literal, read and ready to be written. */
struct place {
	int is_address;
	char name[ROUTE_NAME_MAX + 1];
};

/* Reads an IP address, with or without the tag, and writes it shortest. */
static int
scan_address(const char *text, size_t len, char name[ROUTE_NAME_MAX + 1])
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr v6;
	struct in_addr v4;
	int tagged = len > sizeof IPV6_TAG - 1 &&
		     strncasecmp(text, IPV6_TAG, sizeof IPV6_TAG - 1) == 0;

	if (tagged) {
		text += sizeof IPV6_TAG - 1;
		len -= sizeof IPV6_TAG - 1;
	}
	if (len == 0 || len >= sizeof copy || memchr(text, '\0', len) != NULL)
		return -1;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (!tagged && inet_pton(AF_INET, copy, &v4) == 1)
		return inet_ntop(AF_INET, &v4, name, ROUTE_NAME_MAX) ? 0 : -1;
	if (inet_pton(AF_INET6, copy, &v6) == 1)
		return inet_ntop(AF_INET6, &v6, name, ROUTE_NAME_MAX) ? 0 : -1;
	return -1;
}

/* Reads a name, an address, or an address in brackets: all of text. */
static int
scan_place(const char *text, size_t len, struct place *place)
{
	size_t i;

	place->is_address = 1;
	if (len > 2 && text[0] == '[' && text[len - 1] == ']')
		return scan_address(text + 1, len - 2, place->name);
	if (!domain_valid(text, len) || len > ROUTE_NAME_MAX)
		return -1;
	if (scan_address(text, len, place->name) == 0)
		return 0;
	place->is_address = 0;
	for (i = 0; i < len; i++)
		place->name[i] = text[i] >= 'A' && text[i] <= 'Z'
					 ? (char)(text[i] - 'A' + 'a')
					 : text[i];
	place->name[len] = '\0';
	return 0;
}

static int
scan_port(const char *text, size_t len, uint16_t *port)
{
	unsigned long value = 0;
	size_t i;

	if (len == 0 || len > 5)
		return -1;
	for (i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (unsigned long)(text[i] - '0');
	}
	if (value == 0 || value > 65535)
		return -1;
	*port = (uint16_t)value;
	return 0;
}

/* Octets up to the colon that divides, or to the end: colons in brackets do not
 * divide. */
static size_t
field_len(const char *text, size_t len)
{
	const char *colon, *from = text;

	if (len > 0 && text[0] == '[') {
		from = memchr(text, ']', len);
		if (from == NULL)
			return len;
	}
	colon = memchr(from, ':', len - (size_t)(from - text));
	return colon != NULL ? (size_t)(colon - text) : len;
}

/* Reads "relay" or "relay:port", all of text. */
static int
scan_relay(const char *text, size_t len, struct place *place, uint16_t *port)
{
	size_t name_len = field_len(text, len);

	*port = ROUTE_PORT;
	if (scan_place(text, name_len, place) == -1)
		return -1;
	if (name_len == len)
		return 0;
	return scan_port(text + name_len + 1, len - name_len - 1, port);
}

/* Writes into size octets. Returns 0, or -1 with errno ENAMETOOLONG. */
static int
write_place(char *to, size_t size, const char *kind, const struct place *place,
	unsigned port)
{
	const char *before = place->is_address ? "[" : "";
	const char *after = place->is_address ? "]" : "";
	int len;

	if (port == 0)
		len = snprintf(to, size, "%s:%s%s%s", kind, before, place->name,
			after);
	else
		len = snprintf(to, size, "%s:%s%s%s:%u", kind, before,
			place->name, after, port);
	if (len >= 0 && (size_t)len < size)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

/* How a line came out. */
enum line_taken {
	LINE_TAKEN,
	LINE_UNUSABLE, /* nothing is to be sent on that way: a text says why */
	LINE_NO_ROUTE,
	LINE_NO_MEMORY,
};

/* Octets up to a blank, or to the end. */
static size_t
way_len(const char *text)
{
	return strcspn(text, " \t");
}

/* Writes the way that a line gives: a destination, or what stands behind that of
 * MX hosts. */
static enum line_taken
write_way(char text[ROUTE_TEXT_SIZE], const char *way, uint32_t number,
	char *why, size_t size)
{
	enum line_taken taken = LINE_TAKEN;
	size_t len = way_len(way), used;
	char words_text[ROUTE_WORDS_SIZE];
	struct route_words words;
	struct place place;
	uint16_t port;

	text[0] = 0;
	if (len > 0 && (scan_relay(way, len, &place, &port) == -1 ||
			       write_place(text, ROUTE_TEXT_SIZE, "host",
				       &place, port) == -1))
		return LINE_NO_ROUTE;
	int result = route_words_read(
		&words, way + len, strlen(way + len), why, size);
	/* else whoever answers for the DNS says who is told the password */
	bool is_to_anybody =
		len == 0 && words.auth[0] != 0 && words.name[0] == 0;
	if (result < 0 || words.unusable != 0 || is_to_anybody) {
		if (words.unusable != 0)
			snprintf(why, size, "unusable= is not for people");
		else if (result == 0)
			snprintf(why, size,
				"auth= is said without a relay: expected one, "
				"or name=");
		words = ROUTE_WORDS_ZERO;
		words.unusable = number;
		taken = LINE_UNUSABLE;
	}
	used = strlen(text);
	if (used + route_words_write(&words, words_text) >= ROUTE_TEXT_SIZE)
		return LINE_NO_ROUTE;
	memcpy(text + used, words_text, strlen(words_text) + 1);
	return taken;
}

static enum line_taken
take_line(struct routes *routes, const char *line, uint32_t number, char *why,
	size_t size)
{
	size_t len = way_len(line), key_len = field_len(line, len);
	char text[ROUTE_TEXT_SIZE];

	if (key_len == len)
		return LINE_NO_ROUTE;
	enum line_taken taken =
		write_way(text, line + key_len + 1, number, why, size);
	if (taken == LINE_NO_ROUTE)
		return taken;
	if (domains_put(&routes->table, line, key_len, text, strlen(text)) == 0)
		return taken;
	return errno == ENOMEM ? LINE_NO_MEMORY : LINE_NO_ROUTE;
}

/* Takes one line. 0; or -1 with a sentence in why. */
static int
build_line(struct routes *routes, const char *line, size_t number, char *why,
	size_t size)
{
	char reason[200];

	switch (take_line(
		routes, line, (uint32_t)number, reason, sizeof reason)) {
	case LINE_TAKEN:
		return 0;
	case LINE_UNUSABLE:
		if (why[0] == 0)
			snprintf(why, size,
				"control/smtproutes, line %zu: %s; mail that "
				"goes this way waits",
				number, reason);
		return 0;
	case LINE_NO_MEMORY:
		snprintf(why, size,
			"control/smtproutes, line %zu: out of memory", number);
		return -1;
	case LINE_NO_ROUTE:
		break;
	}
	snprintf(why, size,
		"control/smtproutes, line %zu: expected domain:relay or "
		"domain:relay:port, with a host name or [address] as relay",
		number);
	return -1;
}

int
routes_build(struct routes *routes, const struct setting_list *list, char *why,
	size_t size)
{
	*routes = ROUTES_ZERO;
	why[0] = 0;
	for (size_t i = 0; i < list->count; i++)
		if (build_line(routes, list->line[i], list->number[i], why,
			    size) < 0) {
			routes_free(routes);
			return -1;
		}
	return 0;
}

void
routes_free(struct routes *routes)
{
	domains_free(&routes->table);
}

int
route_destination(const struct routes *routes, const char *domain, size_t len,
	char *destination, size_t size)
{
	struct place place;
	const char *route;
	size_t used = 0;

	if ((!domain_valid(domain, len) && !domain_is_literal(domain, len)) ||
		scan_place(domain, len, &place) == -1) {
		errno = EINVAL;
		return -1;
	}
	route = domains_find(&routes->table, domain, len);
	if (route == NULL)
		route = "";
	if (route[0] == '\0' || route[0] == ' ') {
		if (write_place(destination, size, "mx", &place, 0) == -1)
			return -1;
		used = strlen(destination);
	}
	if (strlen(route) >= size - used) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(destination + used, route, strlen(route) + 1);
	return 0;
}

int
route_parse(const char *destination, struct route_target *target)
{
	static const char mx[] = "mx:", host[] = "host:";
	size_t len = way_len(destination), at, name_len;
	struct route_words words;
	struct place place;
	uint16_t port = 0;
	char why[200];
	int routed = strncmp(destination, host, sizeof host - 1) == 0;

	if (!routed && strncmp(destination, mx, sizeof mx - 1) != 0)
		return -1;
	at = routed ? sizeof host - 1 : sizeof mx - 1;
	name_len = routed ? field_len(destination + at, len - at) : len - at;
	if (scan_place(destination + at, name_len, &place) == -1)
		return -1;
	at += name_len;
	if (routed && (at == len || scan_port(destination + at + 1,
					    len - at - 1, &port) == -1))
		return -1;
	if (route_words_read(&words, destination + len,
		    strlen(destination + len), why, sizeof why) < 0)
		return -1;
	memset(target, 0, sizeof *target);
	target->words = words;
	target->kind = place.is_address ? ROUTE_ADDRESS
		       : routed		? ROUTE_HOST
					: ROUTE_MX;
	target->routed = routed;
	target->port = port;
	memcpy(target->name, place.name, strlen(place.name) + 1);
	return 0;
}
