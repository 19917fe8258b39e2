#include "remote/kept.h"
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/address.h"

void
kept_tell(const struct mx_list *list, struct kept_note *note)
{
	memset(note, 0, sizeof *note);
	note->magic = KEPT_MAGIC;
	note->ttl_s = list->ttl_s;
	note->count = list->ttl_s > 0 ? list->count : 0;
	memcpy(note->entry, list->entry, note->count * sizeof note->entry[0]);
}

/* A domain as the DNS module gives it. */
static bool
is_host(const char *name, size_t size)
{
	size_t len = strnlen(name, size);

	if (len == size || !domain_valid(name, len))
		return false;
	for (size_t i = 0; i < len; i++)
		if (isupper((unsigned char)name[i]))
			return false;
	return true;
}

/* Takes of an entry what has a meaning, and nothing else. */
static int
read_entry(const struct mx_address *from, struct mx_address *to)
{
	const struct sockaddr_in *v4 = (const void *)&from->address;
	const struct sockaddr_in6 *v6 = (const void *)&from->address;

	if (!is_host(from->host, sizeof from->host))
		return -1;
	if (from->address.ss_family == AF_INET)
		((struct sockaddr_in *)&to->address)->sin_addr = v4->sin_addr;
	else if (from->address.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&to->address)->sin6_addr =
			v6->sin6_addr;
	else
		return -1;
	to->address.ss_family = from->address.ss_family;
	to->preference = from->preference;
	snprintf(to->host, sizeof to->host, "%s", from->host);
	return 0;
}

int
kept_read(const void *octets, size_t len, struct mx_list *list)
{
	struct kept_note note;

	memset(list, 0, sizeof *list);
	if (len != sizeof note)
		return -1;
	memcpy(&note, octets, sizeof note);
	if (note.magic != KEPT_MAGIC || note.ttl_s > MX_TTL_MAX_S ||
		note.count > MX_ADDRESSES_MAX ||
		(note.ttl_s > 0) != (note.count > 0))
		return -1;
	for (unsigned i = 0; i < note.count; i++)
		if (read_entry(&note.entry[i], &list->entry[i]) < 0) {
			memset(list, 0, sizeof *list);
			return -1;
		}
	list->count = note.count;
	list->ttl_s = note.ttl_s;
	return 0;
}

/* --- the table --- */

static void
drop(struct kept_table *table, struct kept **link)
{
	struct kept *kept = *link;

	*link = kept->next;
	table->count--;
	free(kept);
}

/* Drops what is over, and of a full table the one that is over first. */
static void
make_room(struct kept_table *table, int64_t now_ms)
{
	struct kept **link = &table->first, **least = link;

	while (*link != NULL)
		if ((*link)->until_ms <= now_ms)
			drop(table, link);
		else
			link = &(*link)->next;
	if (table->count < KEPT_MAX)
		return;
	least = &table->first;
	for (link = &table->first; *link != NULL; link = &(*link)->next)
		if ((*link)->until_ms < (*least)->until_ms)
			least = link;
	drop(table, least);
}

void
kept_put(struct kept_table *table, const char *dest, const struct mx_list *list,
	int64_t now_ms)
{
	struct kept **link = &table->first;

	while (*link != NULL && strcmp((*link)->dest, dest) != 0)
		link = &(*link)->next;
	if (*link != NULL)
		drop(table, link);
	if (list->ttl_s == 0)
		return;
	make_room(table, now_ms);
	struct kept *new = calloc(1, sizeof *new);
	if (new == NULL)
		return;
	snprintf(new->dest, sizeof new->dest, "%s", dest);
	new->until_ms = now_ms + (int64_t)list->ttl_s * 1000;
	new->list = *list;
	new->next = table->first;
	table->first = new;
	table->count++;
}

const struct kept *
kept_find(const struct kept_table *table, const char *dest, int64_t now_ms)
{
	const struct kept *kept = table->first;

	while (kept != NULL && strcmp(kept->dest, dest) != 0)
		kept = kept->next;
	return kept != NULL && kept->until_ms > now_ms ? kept : NULL;
}

void
kept_end(struct kept_table *table)
{
	while (table->first != NULL)
		drop(table, &table->first);
}
