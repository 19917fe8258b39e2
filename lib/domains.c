#include "lib/domains.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/address.h"

/* The longest key: a dot before a domain. */
#define KEY_MAX (ADDRESS_DOMAIN_MAX + 1)
#define SLOTS_FIRST 16

static int
is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* FNV-1a, 32 bits. The keys are the administrator's, not a stranger's. */
static uint32_t
hash(const char *key, size_t len)
{
	uint32_t sum = 2166136261u;
	size_t i;

	for (i = 0; i < len; i++)
		sum = (sum ^ (unsigned char)key[i]) * 16777619u;
	return sum;
}

static void
copy_lower(char *to, const char *from, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		to[i] = from[i] >= 'A' && from[i] <= 'Z'
				? (char)(from[i] - 'A' + 'a')
				: from[i];
}

/* The slot of the key, or the free one where it belongs. Some slot is free. */
static uint32_t *
find_slot(const struct domains *domains, const char *key, size_t len)
{
	size_t at = hash(key, len) & (domains->slots - 1);

	while (domains->slot[at] != 0) {
		const char *entry = domains->text + domains->slot[at] - 1;

		if (strlen(entry) == len && memcmp(entry, key, len) == 0)
			break;
		at = (at + 1) & (domains->slots - 1);
	}
	return &domains->slot[at];
}

/* Makes sure that half of the slots stay free with one more entry. */
static int
grow_slots(struct domains *domains)
{
	struct domains larger = *domains;
	size_t i;

	if (2 * (domains->entries + 1) <= domains->slots)
		return 0;
	larger.slots = domains->slots > 0 ? 2 * domains->slots : SLOTS_FIRST;
	larger.slot = calloc(larger.slots, sizeof *larger.slot);
	if (larger.slot == NULL)
		return -1;
	for (i = 0; i < domains->slots; i++) {
		const char *key = domains->text + domains->slot[i] - 1;

		if (domains->slot[i] != 0)
			*find_slot(&larger, key, strlen(key)) =
				domains->slot[i];
	}
	free(domains->slot);
	*domains = larger;
	return 0;
}

static int
grow_text(struct domains *domains, size_t more)
{
	size_t room = domains->room > 0 ? domains->room : 1024;
	char *text;

	/* Offsets have 32 bits. */
	if (more >= UINT32_MAX - domains->used) {
		errno = ENOMEM;
		return -1;
	}
	while (room < domains->used + more)
		room *= 2;
	if (room == domains->room)
		return 0;
	text = realloc(domains->text, room);
	if (text == NULL)
		return -1;
	domains->text = text;
	domains->room = room;
	return 0;
}

/* "", a name, a literal, or a dot and a name. */
static int
is_key(const char *key, size_t len)
{
	if (len == 0)
		return 1;
	if (key[0] == '.')
		return domain_valid(key + 1, len - 1);
	return domain_valid(key, len) || domain_is_literal(key, len);
}

int
domains_put(struct domains *domains, const char *key, size_t key_len,
	const char *value, size_t value_len)
{
	char lower[KEY_MAX];
	uint32_t *slot;
	char *entry;

	if (!is_key(key, key_len) || key_len > sizeof lower ||
		(value_len > 0 && memchr(value, '\0', value_len) != NULL)) {
		errno = EINVAL;
		return -1;
	}
	copy_lower(lower, key, key_len);
	if (grow_slots(domains) == -1)
		return -1;
	slot = find_slot(domains, lower, key_len);
	if (*slot != 0)
		return 0;
	if (value_len >= UINT32_MAX ||
		grow_text(domains, key_len + value_len + 2) == -1) {
		errno = ENOMEM;
		return -1;
	}
	entry = domains->text + domains->used;
	memcpy(entry, lower, key_len);
	entry[key_len] = '\0';
	if (value_len > 0)
		memcpy(entry + key_len + 1, value, value_len);
	entry[key_len + 1 + value_len] = '\0';
	*slot = (uint32_t)domains->used + 1;
	domains->used += key_len + value_len + 2;
	domains->entries++;
	return 0;
}

int
domains_add(struct domains *domains, const char *line, size_t len)
{
	while (len > 0 && is_white(line[len - 1]))
		len--;
	while (len > 0 && is_white(line[0])) {
		line++;
		len--;
	}
	if (len == 0 || line[0] == '#')
		return 0;
	return domains_put(domains, line, len, "", 0);
}

const char *
domains_find(const struct domains *domains, const char *domain, size_t len)
{
	char lower[ADDRESS_DOMAIN_MAX];
	size_t at;

	if (domains->entries == 0 || len > sizeof lower)
		return NULL;
	/* ".example" is a key, never a domain. */
	if (len > 0 && domain[0] == '.')
		return NULL;
	copy_lower(lower, domain, len);
	/* The whole, each suffix that begins with a dot, and the empty one. */
	for (at = 0; at <= len; at++) {
		uint32_t slot;

		if (at > 0 && at < len && lower[at] != '.')
			continue;
		slot = *find_slot(domains, lower + at, len - at);
		if (slot != 0) {
			const char *entry = domains->text + slot - 1;

			return entry + strlen(entry) + 1;
		}
	}
	return NULL;
}

int
domains_has(const struct domains *domains, const char *domain, size_t len)
{
	return domains_find(domains, domain, len) != NULL;
}

void
domains_free(struct domains *domains)
{
	free(domains->text);
	free(domains->slot);
	*domains = DOMAINS_ZERO;
}
