/*
 * Job files: from any octets; and, since a check keeps a fuzzer out of records,
 * from records that are made of the input: type, u16 length, payload, repeated.
 * What is taken, packed and read again, is the same.
 */
#include <assert.h>
#include <string.h>
#include "lib/ident.h"
#include "lib/records.h"
#include "queue/job_file.h"
#include "queue/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_recipients(const struct job *job, const struct job *again)
{
	for (uint32_t i = 0; i < job->recipients; i++) {
		const struct job_recipient *recipient = &job->recipient[i];

		assert(recipient->outcome == 0 ||
			outcome_is_valid(recipient->outcome));
		assert((recipient->outcome == 0) == (recipient->text == NULL));
		assert(recipient->number == again->recipient[i].number);
		assert(recipient->notify == again->recipient[i].notify);
		assert(strcmp(recipient->address,
			       again->recipient[i].address) == 0);
		assert(strcmp(recipient->orcpt, again->recipient[i].orcpt) ==
			0);
	}
}

static void
check(const void *octets, size_t size)
{
	stralloc packed = STRALLOC_ZERO;
	struct job job, again;

	if (job_unpack(octets, size, &job) != JOB_OK) {
		assert(job.recipients == 0 && job.recipient == NULL &&
			job.destination == NULL);
		return;
	}
	assert(job.recipients > 0 && job.recipients <= JOB_RECIPIENTS_MAX);
	assert(ident_valid(job.id, strlen(job.id)));
	assert(job_pack(&job, &packed) == 0);
	assert(packed.len <= size && memcmp(packed.s, octets, packed.len) == 0);
	assert(job_unpack(packed.s, packed.len, &again) == JOB_OK);
	assert(again.recipients == job.recipients && !again.ended);
	check_recipients(&job, &again);
	job_free(&again);
	job_free(&job);
	stralloc_free(&packed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	stralloc records = STRALLOC_ZERO;

	check(data, size);
	while (size >= 3) {
		size_t length = (size_t)data[1] << 8 | data[2];

		if (length > size - 3)
			length = size - 3;
		assert(record_append(&records, data[0], data + 3, length) == 0);
		data += 3 + length;
		size -= 3 + length;
	}
	check(records.s, records.len);
	stralloc_free(&records);
	return 0;
}
