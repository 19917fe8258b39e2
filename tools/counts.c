#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "lib/pack.h"
#include "lib/records.h"
#include "tools/counts.h"

/* Slots looked at when one must give way, and when a new counter comes. */
#define LOOKS_FULL 16
#define LOOKS_NEW 4
/* More than any window remembers. */
#define PASSED_MAX_MS (INT64_C(2000) * COUNTER_WINDOW_MAX)

struct count {
	int64_t start_ms;  /* of the present window */
	uint32_t window_s; /* 0: what is held, as current */
	uint32_t current, previous;
	char key[COUNTER_KEY_MAX + 1]; /* "": the slot is free */
};

int
counts_make(struct counts *counts, size_t most, uint64_t seed)
{
	size_t size = 16;

	while (size < most + most / 2)
		size *= 2;
	*counts = (struct counts){.size = size, .most = most, .seed = seed};
	counts->slot = calloc(size, sizeof *counts->slot);
	return counts->slot != NULL ? 0 : -1;
}

void
counts_free(struct counts *counts)
{
	free(counts->slot);
	*counts = (struct counts){0};
}

/* Where a counter's slot would be if no other had it. The seed is secret, so
 * that nobody can choose addresses that fall together. */
static size_t
home_of(const struct counts *counts, const char *key, uint32_t window_s)
{
	uint64_t hash = counts->seed ^ window_s;

	for (; *key != 0; key++) {
		hash = (hash ^ (unsigned char)*key) *
		       UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
	}
	return (size_t)(hash * UINT64_C(0xd6e8feb86659fd93) >> 20) &
	       (counts->size - 1);
}

/* The counter's slot, or the free one where it would stand. */
static struct count *
find(const struct counts *counts, const char *key, uint32_t window_s)
{
	size_t at = home_of(counts, key, window_s);

	while (counts->slot[at].key[0] != 0 &&
		(counts->slot[at].window_s != window_s ||
			strcmp(counts->slot[at].key, key) != 0))
		at = (at + 1) & (counts->size - 1);
	return &counts->slot[at];
}

/* Frees a slot, and moves up those behind it that would no longer be found. */
static void
forget(struct counts *counts, struct count *count)
{
	size_t mask = counts->size - 1;
	size_t hole = (size_t)(count - counts->slot);

	counts->used--;
	for (size_t at = (hole + 1) & mask; counts->slot[at].key[0] != 0;
		at = (at + 1) & mask) {
		size_t home = home_of(counts, counts->slot[at].key,
			counts->slot[at].window_s);

		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		counts->slot[hole] = counts->slot[at];
		hole = at;
	}
	memset(&counts->slot[hole], 0, sizeof counts->slot[hole]);
}

/* Lets time pass for a window. */
static void
slide(struct count *count, int64_t now_ms)
{
	int64_t window_ms = (int64_t)count->window_s * 1000;
	int64_t since_ms = now_ms - count->start_ms;

	if (since_ms < window_ms)
		return;
	count->previous = since_ms < 2 * window_ms ? count->current : 0;
	count->current = 0;
	count->start_ms =
		since_ms < 2 * window_ms ? count->start_ms + window_ms : now_ms;
}

static uint64_t
total_of(const struct count *count, int64_t now_ms)
{
	uint64_t window_ms = (uint64_t)count->window_s * 1000;
	int64_t since_ms = now_ms - count->start_ms;

	if (count->window_s == 0)
		return count->current;
	uint64_t left_ms =
		since_ms < 0 ? window_ms : window_ms - (uint64_t)since_ms;
	return count->current +
	       (count->previous * left_ms + window_ms - 1) / window_ms;
}

static bool
is_empty(const struct count *count)
{
	return count->current == 0 && count->previous == 0;
}

/* Looks at a few slots in turn, and forgets those that are empty. With must,
 * the counter with the least in it goes if none is. */
static void
make_room(struct counts *counts, unsigned looks, bool must, int64_t now_ms)
{
	struct count *least = NULL;
	size_t used = counts->used;

	/* Free slots cost a look too, but only so many of them. */
	for (size_t seen = 0; looks > 0 && seen < counts->size; seen++) {
		struct count *count = &counts->slot[counts->hand];

		counts->hand = (counts->hand + 1) & (counts->size - 1);
		if (count->key[0] == 0) {
			looks -= !must;
			continue;
		}
		looks--;
		if (count->window_s == 0)
			continue;
		slide(count, now_ms);
		if (is_empty(count)) {
			forget(counts, count);
			continue;
		}
		if (least == NULL ||
			total_of(count, now_ms) < total_of(least, now_ms))
			least = count;
	}
	if (!must || counts->used < used || least == NULL)
		return;
	forget(counts, least);
	counts->lost++;
}

/* The counter, made if need be; NULL if there is no room. */
static struct count *
get(struct counts *counts, const char *key, uint32_t window_s, int64_t now_ms)
{
	struct count *count = find(counts, key, window_s);

	if (count->key[0] != 0)
		return count;
	bool is_full = counts->used >= counts->most;
	make_room(counts, is_full ? LOOKS_FULL : LOOKS_NEW, is_full, now_ms);
	if (counts->used >= counts->most)
		return NULL;
	count = find(counts, key, window_s);
	*count = (struct count){.start_ms = now_ms, .window_s = window_s};
	memcpy(count->key, key, strlen(key));
	counts->used++;
	return count;
}

int
counts_add(struct counts *counts, const char *key, uint32_t window_s,
	uint32_t amount, int64_t now_ms, uint64_t *total)
{
	struct count *count = find(counts, key, window_s);

	*total = 0;
	/* A look makes no counter. */
	if (amount == 0 && count->key[0] == 0)
		return 0;
	if (amount > 0)
		count = get(counts, key, window_s, now_ms);
	if (count == NULL)
		return -1;
	slide(count, now_ms);
	count->current = amount > UINT32_MAX - count->current
				 ? UINT32_MAX
				 : count->current + amount;
	counts->is_changed |= amount > 0;
	*total = total_of(count, now_ms);
	return 0;
}

int
counts_hold(
	struct counts *counts, const char *key, int64_t now_ms, uint64_t *total)
{
	struct count *count = get(counts, key, 0, now_ms);

	*total = 0;
	if (count == NULL)
		return -1;
	*total = ++count->current;
	return 0;
}

void
counts_release(struct counts *counts, const char *key)
{
	struct count *count = find(counts, key, 0);

	if (count->key[0] == 0)
		return;
	count->current--;
	if (count->current == 0)
		forget(counts, count);
}

/* --- the file --- */

static int
append(stralloc *into, uint8_t type, stralloc *payload)
{
	int result = record_append(into, type, payload->s, payload->len);

	payload->len = 0;
	return result;
}

int
counts_pack(
	struct counts *counts, const struct counts_time *time, stralloc *into)
{
	stralloc payload = STRALLOC_ZERO;
	int failed = pack_text(&payload, time->boot, strlen(time->boot)) ||
		     pack_u64(&payload, (uint64_t)time->now_ms) ||
		     pack_u64(&payload, (uint64_t)time->wall_s) ||
		     append(into, 'T', &payload);

	for (size_t i = 0; i < counts->size && !failed; i++) {
		struct count *count = &counts->slot[i];

		if (count->key[0] == 0 || count->window_s == 0)
			continue;
		slide(count, time->now_ms);
		if (is_empty(count))
			continue;
		failed = pack_text(&payload, count->key, strlen(count->key)) ||
			 pack_u32(&payload, count->window_s) ||
			 pack_u32(&payload, count->current) ||
			 pack_u32(&payload, count->previous) ||
			 pack_u64(&payload,
				 (uint64_t)(time->now_ms - count->start_ms)) ||
			 append(into, 'C', &payload);
	}
	stralloc_free(&payload);
	if (!failed)
		counts->is_changed = 0;
	return failed ? -1 : 0;
}

/* Milliseconds between the file and now, as the header of it tells. */
static int64_t
passed_ms(const struct counts_time *time, const struct record *record)
{
	struct unpack cursor;
	size_t len;
	int64_t passed;

	unpack_start(&cursor, record->payload, record->length);
	const char *boot = unpack_text(&cursor, &len);
	uint64_t then_ms = unpack_u64(&cursor);
	uint64_t then_s = unpack_u64(&cursor);
	if (record->type != 'T' || !unpack_ended(&cursor) ||
		then_ms > INT64_MAX / 2 || then_s > INT64_MAX / 2000)
		return -1;
	if (len > 0 && len == strlen(time->boot) &&
		memcmp(boot, time->boot, len) == 0)
		passed = time->now_ms - (int64_t)then_ms;
	else
		passed = (time->wall_s - (int64_t)then_s) * 1000;
	if (passed < 0)
		return 0;
	return passed < PASSED_MAX_MS ? passed : PASSED_MAX_MS;
}

/* Reads one counter into the table. False if it is none, or there is no room. */
static bool
unpack_one(struct counts *counts, const struct record *record, int64_t now_ms,
	int64_t passed)
{
	struct counter_question check = {
		.magic = COUNTER_MAGIC, .operation = COUNTER_ADD};
	struct unpack cursor;
	size_t len;

	unpack_start(&cursor, record->payload, record->length);
	const char *key = unpack_text(&cursor, &len);
	check.window_s = unpack_u32(&cursor);
	uint32_t current = unpack_u32(&cursor);
	uint32_t previous = unpack_u32(&cursor);
	uint64_t age_ms = unpack_u64(&cursor);
	if (record->type != 'C' || !unpack_ended(&cursor) ||
		len > COUNTER_KEY_MAX ||
		age_ms > (uint64_t)check.window_s * 1000)
		return false;
	memcpy(check.key, key, len);
	if (!counter_question_read(&check, sizeof check, &check) ||
		counts->used >= counts->most)
		return false;
	struct count *count = find(counts, check.key, check.window_s);
	if (count->key[0] != 0)
		return false;
	*count = (struct count){now_ms - passed - (int64_t)age_ms,
		check.window_s, current, previous, ""};
	memcpy(count->key, check.key, sizeof count->key);
	counts->used++;
	slide(count, now_ms);
	return true;
}

long
counts_unpack(struct counts *counts, const struct counts_time *time,
	const void *octets, size_t len)
{
	struct record_cursor cursor;
	struct record record;
	long read = 0;

	record_start(&cursor, octets, len);
	if (record_next(&cursor, &record) != RECORD_OK)
		return -1;
	int64_t passed = passed_ms(time, &record);
	if (passed < 0)
		return -1;
	while (record_next(&cursor, &record) == RECORD_OK &&
		unpack_one(counts, &record, time->now_ms, passed))
		read++;
	return read;
}
