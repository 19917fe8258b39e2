/*
 * What countd reads: questions, and its file. The first octet says which. What a
 * table takes it can write, and what it wrote it reads again as the same.
 */
#include <assert.h>
#include <string.h>
#include "lib/records.h"
#include "tools/counts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
carry_out(const uint8_t *data, size_t size)
{
	struct counter_question question;
	struct counts counts;
	uint64_t total;
	int64_t now_ms = 0;

	assert(counts_make(&counts, 1000, 1) == 0);
	(void)counter_question_read(data, size, &question);
	/* As many as there are, with good heads: magic, and an operation. */
	while (size > 0) {
		uint8_t record[sizeof question] = {0};
		size_t len =
			size < sizeof record - 4 ? size : sizeof record - 4;
		const uint32_t magic = COUNTER_MAGIC;

		memcpy(record, &magic, 4);
		memcpy(record + 4, data, len);
		data += len;
		size -= len;
		now_ms += 1000;
		if (!counter_question_read(record, sizeof record, &question))
			continue;
		assert(memcmp(&question, record, sizeof record) == 0);
		if (question.operation == COUNTER_ADD) {
			assert(counts_add(&counts, question.key,
				       question.window_s, question.amount,
				       now_ms, &total) == 0);
			assert(total >= question.amount);
			continue;
		}
		assert(counts_hold(&counts, question.key, now_ms, &total) == 0);
		assert(total >= 1);
		counts_release(&counts, question.key);
	}
	counts_free(&counts);
}

static void
read_file(const uint8_t *data, size_t size)
{
	const struct counts_time time = {"boot", 1000000, 2000000};
	stralloc file = STRALLOC_ZERO, again = STRALLOC_ZERO;
	struct counts counts;

	assert(counts_make(&counts, 1000, 1) == 0);
	(void)counts_unpack(&counts, &time, data, size);
	assert(counts_pack(&counts, &time, &file) == 0);
	counts_free(&counts);
	assert(counts_make(&counts, 1000, 1) == 0);
	assert(counts_unpack(&counts, &time, file.s, file.len) >= 0);
	assert(counts_pack(&counts, &time, &again) == 0);
	assert(again.len == file.len);
	counts_free(&counts);
	stralloc_free(&file);
	stralloc_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	stralloc octets = STRALLOC_ZERO;

	if (size == 0)
		return 0;
	if (data[0] == 0) {
		carry_out(data + 1, size - 1);
		return 0;
	}
	if (data[0] == 1) {
		read_file(data + 1, size - 1);
		return 0;
	}
	/* Records, whose checks no fuzzer finds: type and length before each. */
	data++;
	size--;
	while (size >= 2) {
		size_t length = data[1] < size - 2 ? data[1] : size - 2;

		assert(record_append(&octets, data[0], data + 2, length) == 0);
		data += 2 + length;
		size -= 2 + length;
	}
	read_file((const uint8_t *)octets.s, octets.len);
	stralloc_free(&octets);
	return 0;
}
