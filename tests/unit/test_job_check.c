/*
 * A job that a power cut has brought back is told from one that is due.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include "lib/envelope.h"
#include "queue/job_check.h"
#include "queue/message_file.h"

/* A message file with two recipients and these outcome records. */
static int
make_message(const stralloc *outcomes)
{
	unsigned char header_octets[MESSAGE_HEADER_OCTETS];
	struct message_header header = {.marked = 1, .arrival_us = 1};
	struct envelope envelope = ENVELOPE_ZERO;
	stralloc records = STRALLOC_ZERO;
	char none[] = "";

	envelope.reverse_path = none;
	envelope.origin.kind = ORIGIN_SUITE;
	assert_int_equal(
		envelope_add_recipient(&envelope, "a@host.test", 0, ""), 0);
	assert_int_equal(
		envelope_add_recipient(&envelope, "b@host.test", 0, ""), 0);
	assert_int_equal(envelope_pack(&envelope, &records), 0);
	header.recipients = 2;
	header.envelope_octets = (uint32_t)records.len;
	header.envelope_crc = (uint32_t)crc32(
		crc32(0, NULL, 0), (const Bytef *)records.s, (uInt)records.len);
	header.content_crc = (uint32_t)crc32(0, NULL, 0);
	message_header_pack(&header, header_octets);
	assert_true(stralloc_catb(&records, outcomes->s, outcomes->len));

	int fd = memfd_create("message", MFD_CLOEXEC);
	assert_int_equal(write(fd, header_octets, sizeof header_octets),
		sizeof header_octets);
	assert_int_equal(write(fd, records.s, records.len), records.len);
	stralloc_free(&records);
	envelope.reverse_path = NULL;
	envelope_free(&envelope);
	return fd;
}

/* Whether a job with recipient number of this attempt is stale, where recipient
 * 0 has this outcome after its first attempt. */
static bool
is_stale(enum outcome outcome, uint32_t number, uint32_t attempt)
{
	struct job_recipient recipient = {.number = number};
	struct job job = {
		.attempt = attempt, .recipient = &recipient, .recipients = 1};
	stralloc outcomes = STRALLOC_ZERO;

	if (outcome != 0)
		assert_int_equal(message_pack_outcome(&outcomes, 0, outcome, 1,
					 1000, 2000, "text"),
			0);
	int message = make_message(&outcomes);
	bool result = job_is_stale(&job, message);
	close(message);
	stralloc_free(&outcomes);
	return result;
}

static void
test_stale(void **state)
{
	(void)state;
	assert_false(is_stale(0, 0, 1));
	assert_true(is_stale(0, 0, 2));
	assert_true(is_stale(OUTCOME_DELIVERED, 0, 1));
	assert_true(is_stale(OUTCOME_DELIVERED, 0, 2));
	assert_true(is_stale(OUTCOME_FAILED, 0, 1));
	assert_true(is_stale(OUTCOME_DEFERRED, 0, 1));
	assert_false(is_stale(OUTCOME_DEFERRED, 0, 2));
	/* what became of one says nothing of the other */
	assert_false(is_stale(OUTCOME_DELIVERED, 1, 1));
}

static void
test_unreadable(void **state)
{
	struct job_recipient recipient = {.number = 7};
	struct job job = {
		.attempt = 1, .recipient = &recipient, .recipients = 1};
	stralloc none = STRALLOC_ZERO;
	int message = make_message(&none);

	(void)state;
	assert_false(job_is_stale(&job, -1));
	assert_false(job_is_stale(&job, message));
	close(message);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
