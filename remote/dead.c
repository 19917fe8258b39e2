#include "remote/dead.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* --- addresses --- */

static void
make_key(const struct sockaddr_storage *address, struct dead_key *key)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;

	memset(key, 0, sizeof *key);
	if (address->ss_family == AF_INET6) {
		key->family = 6;
		key->port = ntohs(v6->sin6_port);
		memcpy(key->address, &v6->sin6_addr, sizeof v6->sin6_addr);
	} else {
		key->family = 4;
		key->port = ntohs(v4->sin_port);
		memcpy(key->address, &v4->sin_addr, sizeof v4->sin_addr);
	}
}

static bool
is_key(const struct dead_key *key)
{
	static const uint8_t none[12];

	return key->port <= 65535 &&
	       (key->family == 6 ||
		       (key->family == 4 &&
			       memcmp(key->address + 4, none, 12) == 0));
}

static bool
is_same(const struct dead_key *one, const struct dead_key *other)
{
	return one->family == other->family && one->port == other->port &&
	       memcmp(one->address, other->address, sizeof one->address) == 0;
}

void
dead_text(const struct dead_key *key, char *buffer, size_t size)
{
	if (inet_ntop(key->family == 6 ? AF_INET6 : AF_INET, key->address,
		    buffer, (socklen_t)size) == NULL)
		buffer[0] = 0;
}

int
dead_scan(const char *text, struct dead_key *key)
{
	memset(key, 0, sizeof *key);
	key->family = strchr(text, ':') != NULL ? 6 : 4;
	return inet_pton(key->family == 6 ? AF_INET6 : AF_INET, text,
		       key->address) == 1
		       ? 0
		       : -1;
}

/* --- notes --- */

void
dead_tell(const struct sockaddr_storage *address, enum dead_event event,
	int64_t begun_ms, struct dead_note *note)
{
	memset(note, 0, sizeof *note);
	note->magic = DEAD_MAGIC;
	note->event = event;
	note->begun_ms = begun_ms;
	make_key(address, &note->key);
}

int
dead_read(const void *octets, size_t len, struct dead_note *note)
{
	if (len != sizeof *note)
		return -1;
	memcpy(note, octets, sizeof *note);
	return note->magic == DEAD_MAGIC && note->event >= DEAD_TRIED &&
			       note->event <= DEAD_ANSWERED &&
			       is_key(&note->key) && note->key.port != 0 &&
			       note->begun_ms >= 0
		       ? 0
		       : -1;
}

/* --- the table --- */

static void
drop(struct dead_table *table, struct dead **link)
{
	struct dead *dead = *link;

	*link = dead->next;
	table->count--;
	free(dead);
}

/* Drops what is forgotten, and of a full table the one that is over first. */
static void
make_room(struct dead_table *table, int64_t now_ms)
{
	struct dead **link = &table->first, **least;

	while (*link != NULL)
		if ((*link)->until_ms + DEAD_FORGET_MS <= now_ms)
			drop(table, link);
		else
			link = &(*link)->next;
	if (table->count < DEAD_MAX)
		return;
	least = &table->first;
	for (link = &table->first; *link != NULL; link = &(*link)->next)
		if ((*link)->until_ms < (*least)->until_ms)
			least = link;
	drop(table, least);
}

static struct dead **
find_link(struct dead_table *table, const struct dead_key *key)
{
	struct dead **link = &table->first;

	while (*link != NULL && !is_same(&(*link)->key, key))
		link = &(*link)->next;
	return link;
}

static int64_t
out_ms(uint32_t failures, uint32_t random)
{
	int64_t time_ms = DEAD_FIRST_MS;

	for (; failures > DEAD_FAILURES && time_ms < DEAD_LAST_MS; failures--)
		time_ms *= 2;
	if (time_ms > DEAD_LAST_MS)
		time_ms = DEAD_LAST_MS;
	return time_ms + random % (uint32_t)(time_ms / 4 + 1);
}

/* Counts a failure. True if the address is dead by now. */
static bool
count_failure(struct dead *dead, int64_t now_ms, uint32_t random)
{
	if (dead->failures < UINT32_MAX)
		dead->failures++;
	if (dead->failures == 1)
		dead->since_ms = now_ms;
	dead->failed_ms = dead->tried_ms = dead->until_ms = now_ms;
	if (dead->failures < DEAD_FAILURES)
		return false;
	dead->until_ms += out_ms(dead->failures, random);
	return true;
}

const struct dead *
dead_take(struct dead_table *table, const struct dead_note *note,
	int64_t now_ms, uint32_t random)
{
	struct dead **link = find_link(table, &note->key), *dead = *link;

	if (note->event == DEAD_ANSWERED) {
		if (dead != NULL)
			drop(table, link);
		return NULL;
	}
	if (note->event == DEAD_TRIED) {
		if (dead != NULL)
			dead->tried_ms = now_ms;
		return NULL;
	}
	if (dead != NULL && dead->until_ms + DEAD_FORGET_MS <= now_ms) {
		drop(table, link);
		dead = NULL;
	}
	if (dead == NULL) {
		make_room(table, now_ms);
		dead = calloc(1, sizeof *dead);
		if (dead == NULL)
			return NULL;
		dead->key = note->key;
		dead->next = table->first;
		table->first = dead;
		table->count++;
	} else if (note->begun_ms < dead->failed_ms) {
		return NULL; /* the same failure, seen by another */
	}
	return count_failure(dead, now_ms, random) ? dead : NULL;
}

const struct dead *
dead_find(
	const struct dead_table *table, const struct sockaddr_storage *address)
{
	const struct dead *dead = table->first;
	struct dead_key key;

	make_key(address, &key);
	while (dead != NULL && !is_same(&dead->key, &key))
		dead = dead->next;
	return dead;
}

bool
dead_is_out(const struct dead *dead, int64_t now_ms)
{
	return dead->failures >= DEAD_FAILURES &&
	       (now_ms < dead->until_ms || !dead_may_probe(dead, now_ms));
}

bool
dead_may_probe(const struct dead *dead, int64_t now_ms)
{
	return now_ms - dead->tried_ms >= DEAD_PROBE_MS;
}

unsigned
dead_clear(struct dead_table *table, const struct dead_key *key)
{
	struct dead **link = &table->first;
	unsigned before = table->count;

	while (*link != NULL) {
		struct dead_key known = (*link)->key;

		known.port = key->port;
		if (key->family == 0 || is_same(&known, key))
			drop(table, link);
		else
			link = &(*link)->next;
	}
	return before - table->count;
}

/* --- questions --- */

int
dead_question_read(
	const void *octets, size_t len, struct dead_question *question)
{
	static const struct dead_key none;

	if (len != sizeof *question)
		return -1;
	memcpy(question, octets, sizeof *question);
	if (question->magic != DEAD_ASK_MAGIC || question->key.port != 0)
		return -1;
	if (memcmp(&question->key, &none, sizeof none) == 0)
		return question->operation == DEAD_LIST ||
				       question->operation == DEAD_CLEAR
			       ? 0
			       : -1;
	return question->operation == DEAD_CLEAR && is_key(&question->key) ? 0
									   : -1;
}

size_t
dead_answer(struct dead_table *table, const struct dead_question *question,
	int64_t now_ms, int64_t now_s, struct dead_answer *answer)
{
	const struct dead *dead = table->first;

	answer->magic = DEAD_ASK_MAGIC;
	answer->count = 0;
	if (question->operation == DEAD_CLEAR) {
		answer->count = dead_clear(table, &question->key);
		return offsetof(struct dead_answer, row);
	}
	for (; dead != NULL && answer->count < DEAD_MAX; dead = dead->next) {
		if (dead->failures < DEAD_FAILURES)
			continue;
		answer->row[answer->count++] = (struct dead_row){
			.key = dead->key,
			.failures = dead->failures,
			.since_s = now_s - (now_ms - dead->since_ms) / 1000,
			.until_s = now_s + (dead->until_ms - now_ms) / 1000,
		};
	}
	return offsetof(struct dead_answer, row) +
	       answer->count * sizeof answer->row[0];
}

bool
dead_answer_is_sound(const struct dead_answer *answer, size_t len,
	const struct dead_question *question)
{
	size_t head = offsetof(struct dead_answer, row);

	if (len < head || answer->magic != DEAD_ASK_MAGIC ||
		answer->count > DEAD_MAX)
		return false;
	if (question->operation == DEAD_CLEAR)
		return len == head;
	if (len != head + answer->count * sizeof answer->row[0])
		return false;
	for (uint32_t i = 0; i < answer->count; i++)
		if (!is_key(&answer->row[i].key))
			return false;
	return true;
}
