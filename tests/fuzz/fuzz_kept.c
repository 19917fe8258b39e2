/*
 * What a worker tells the parent of its hosts, and of addresses that do not answer.
 * The octets are laid over a note that has magic and size right, for no fuzzer finds
 * those. What is taken is bounded, and told again it is the same.
 */
#include <assert.h>
#include <string.h>
#include "lib/address.h"
#include "remote/dead.h"
#include "remote/kept.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every note in turn; whatever they say, no address is out for long. */
static void
take_dead(const uint8_t *data, size_t size)
{
	struct dead_note note = {.magic = DEAD_MAGIC}, read;
	size_t room = sizeof note - sizeof note.magic;
	struct dead_table table = {0};
	struct dead_key all = {0};
	int64_t now_ms = 0;

	(void)dead_read(data, size, &read);
	for (; size >= room; data += room, size -= room) {
		memcpy((char *)&note + sizeof note.magic, data, room);
		now_ms += data[room - 1] * 1000;
		if (dead_read(&note, sizeof note, &read) < 0)
			continue;
		assert(read.key.port > 0 && read.key.port <= 65535);
		(void)dead_take(&table, &read, now_ms, data[0]);
	}
	for (const struct dead *dead = table.first; dead; dead = dead->next)
		assert(dead->until_ms <=
			now_ms + DEAD_LAST_MS + DEAD_LAST_MS / 4);
	assert(table.count <= DEAD_MAX);
	(void)dead_clear(&table, &all);
	assert(table.first == NULL && table.count == 0);
}

/* The question of dead-addresses. */
static void
take_question(const uint8_t *data, size_t size)
{
	struct dead_question question = {.magic = DEAD_ASK_MAGIC}, read;
	size_t room = sizeof question - sizeof question.magic;

	(void)dead_question_read(data, size, &read);
	if (size < room)
		return;
	memcpy((char *)&question + sizeof question.magic, data, room);
	if (dead_question_read(&question, sizeof question, &read) == 0)
		assert(read.key.port == 0 &&
			(read.operation == DEAD_CLEAR || read.key.family == 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kept_note note = {.magic = KEPT_MAGIC};
	struct mx_list list, again;
	size_t room = sizeof note - sizeof note.magic;

	take_dead(data, size);
	take_question(data, size);
	(void)kept_read(data, size, &list);
	if (size > 0)
		memcpy((char *)&note + sizeof note.magic, data,
			size < room ? size : room);
	if (kept_read(&note, sizeof note, &list) < 0)
		return 0;
	assert(list.count <= MX_ADDRESSES_MAX && list.ttl_s <= MX_TTL_MAX_S);
	for (unsigned i = 0; i < list.count; i++)
		assert(domain_valid(
			list.entry[i].host, strlen(list.entry[i].host)));
	kept_tell(&list, &note);
	assert(kept_read(&note, sizeof note, &again) == 0);
	assert(memcmp(&list, &again, sizeof list) == 0);
	return 0;
}
