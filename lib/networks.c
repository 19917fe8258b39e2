#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "lib/networks.h"

struct network {
	struct network_address address;
	unsigned bits;
};

int
network_address_scan(
	const char *text, size_t len, struct network_address *address)
{
	static const unsigned char mapped[12] = {
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	char copy[NETWORK_TEXT_MAX];

	if (len >= sizeof copy)
		return -1;
	memcpy(copy, text, len);
	copy[len] = 0;
	if (strlen(copy) != len)
		return -1;
	memset(address, 0, sizeof *address);
	address->family = AF_INET;
	if (inet_pton(AF_INET, copy, address->octet) == 1)
		return 0;
	address->family = AF_INET6;
	if (inet_pton(AF_INET6, copy, address->octet) != 1)
		return -1;
	if (memcmp(address->octet, mapped, sizeof mapped) == 0) {
		memmove(address->octet, address->octet + 12, 4);
		memset(address->octet + 4, 0, 12);
		address->family = AF_INET;
	}
	return 0;
}

void
network_address_write(
	const struct network_address *address, char text[NETWORK_TEXT_MAX])
{
	if (inet_ntop(address->family, address->octet, text,
		    NETWORK_TEXT_MAX) == NULL)
		*text = 0;
}

static bool
bit_is_set(const struct network_address *address, unsigned bit)
{
	return (address->octet[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

static unsigned
family_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

/* What follows the "/". 0, or -1. */
static int
scan_bits(const char *text, size_t len, unsigned most, unsigned *bits)
{
	*bits = 0;
	if (len == 0 || len > 3 || (text[0] == '0' && len > 1))
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		*bits = *bits * 10 + (unsigned)(text[i] - '0');
	}
	return *bits <= most ? 0 : -1;
}

/* Reads the network at the start of a line; *word is what stands behind it. */
static int
scan_line(const char *line, struct network *network, const char **word)
{
	line += strspn(line, " \t");
	size_t len = strcspn(line, " \t");
	size_t address_len = len;
	const char *slash = memchr(line, '/', len);

	*word = line + len + strspn(line + len, " \t");
	if (slash != NULL)
		address_len = (size_t)(slash - line);
	if (network_address_scan(line, address_len, &network->address) < 0)
		return -1;
	unsigned most = family_bits(network->address.family);
	network->bits = most;
	if (slash != NULL && scan_bits(slash + 1, len - address_len - 1, most,
				     &network->bits) < 0)
		return -1;
	for (unsigned bit = network->bits; bit < most; bit++)
		if (bit_is_set(&network->address, bit))
			return -1;
	return 0;
}

static bool
is_word(const char *word, const char *const *words)
{
	if (*word == 0)
		return true;
	for (; words != NULL && *words != NULL; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

/* "x or y", for a sentence. */
static void
name_words(const char *const *words, char *text, size_t size)
{
	size_t used = 0;

	*text = 0;
	for (; words != NULL && *words != NULL && used < size; words++)
		used += (size_t)snprintf(text + used, size - used, "%s%s",
			used > 0 ? " or " : "", *words);
}

bool
network_is_loopback(const char *address)
{
	struct network_address loopback;
	static const unsigned char ipv6[16] = {[15] = 1};

	if (network_address_scan(address, strlen(address), &loopback) < 0)
		return false;
	if (loopback.family == AF_INET)
		return loopback.octet[0] == 127;
	return memcmp(loopback.octet, ipv6, sizeof ipv6) == 0;
}

int
networks_check(const struct setting_list *list, const char *name,
	const char *const *words, char *why, size_t size)
{
	struct network network;
	const char *word;
	char choice[100];

	for (size_t i = 0; i < list->count; i++) {
		if (scan_line(list->line[i], &network, &word) < 0) {
			snprintf(why, size,
				"control/%s line %zu: expected an address or a "
				"network such as 192.0.2.0/24, with no bits "
				"set "
				"behind the mask, found \"%.60s\"",
				name, list->number[i], list->line[i]);
			return -1;
		}
		if (is_word(word, words))
			continue;
		name_words(words, choice, sizeof choice);
		snprintf(why, size,
			"control/%s line %zu: expected %s behind the network, "
			"found \"%.60s\"",
			name, list->number[i],
			*choice != 0 ? choice : "nothing", word);
		return -1;
	}
	return 0;
}

static bool
holds(const struct network *network, const struct network_address *address)
{
	if (network->address.family != address->family)
		return false;
	for (unsigned bit = 0; bit < network->bits; bit++)
		if (bit_is_set(&network->address, bit) !=
			bit_is_set(address, bit))
			return false;
	return true;
}

size_t
networks_find(
	const struct setting_list *list, const char *address, const char **word)
{
	struct network_address sought;
	struct network network;

	*word = "";
	if (list->count == 0 ||
		network_address_scan(address, strlen(address), &sought) < 0)
		return 0;
	for (size_t i = 0; i < list->count; i++) {
		if (scan_line(list->line[i], &network, word) == 0 &&
			holds(&network, &sought))
			return list->number[i];
		*word = "";
	}
	return 0;
}
