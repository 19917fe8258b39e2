/*
 * Message files: outcome records, however many, are read in order; a torn tail is
 * passed over and written over.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include <zlib.h>
#include "lib/records.h"
#include "queue/message_file.h"

#define RECIPIENTS 3

static void
make_file(int fd)
{
	unsigned char head[MESSAGE_HEADER_OCTETS];
	stralloc octets = STRALLOC_ZERO;
	struct envelope envelope = ENVELOPE_ZERO;
	char sender[] = "a@x.test", address[20];

	envelope.reverse_path = sender;
	envelope.origin.kind = ORIGIN_LOCAL;
	for (int i = 0; i < RECIPIENTS; i++) {
		snprintf(address, sizeof address, "r%d@x.test", i);
		assert_int_equal(
			envelope_add_recipient(&envelope, address, 0, ""), 0);
	}
	assert_int_equal(envelope_pack(&envelope, &octets), 0);
	struct message_header header = {
		.marked = 1,
		.content_octets = 2,
		.content_crc = (uint32_t)crc32(0, (const Bytef *)"x\n", 2),
		.envelope_octets = (uint32_t)octets.len,
		.envelope_crc = (uint32_t)crc32(
			0, (const Bytef *)octets.s, (uInt)octets.len),
		.recipients = RECIPIENTS,
	};
	message_header_pack(&header, head);
	assert_int_equal(write(fd, head, sizeof head), sizeof head);
	assert_int_equal(write(fd, "x\n", 2), 2);
	assert_int_equal(write(fd, octets.s, octets.len), octets.len);
	stralloc_free(&octets);
	envelope.reverse_path = NULL;
	envelope_free(&envelope);
}

/* Appends one outcome; the text is as long as it may be. */
static void
append(int fd, struct message_file *message, uint32_t attempt)
{
	char text[OUTCOME_TEXT_MAX + 1];
	stralloc records = STRALLOC_ZERO;

	memset(text, 't', sizeof text - 1);
	text[sizeof text - 1] = 0;
	assert_int_equal(
		message_pack_outcome(&records, attempt % RECIPIENTS,
			OUTCOME_DEFERRED, attempt, 1, attempt * 10, text),
		0);
	assert_int_equal(message_append(fd, message, &records), 0);
	stralloc_free(&records);
}

static void
check(int fd, uint32_t attempts, uint64_t end)
{
	struct message_file message;

	assert_int_equal(message_read(fd, 1, &message), MESSAGE_OK);
	assert_int_equal(message.end, end);
	for (uint32_t i = 0; i < RECIPIENTS; i++) {
		uint32_t last = attempts - 1 - (attempts - 1 - i) % RECIPIENTS;

		assert_int_equal(message.state[i].attempts, last);
		assert_int_equal(message.state[i].next_due_ms, last * 10);
		assert_int_equal(
			strlen(message.state[i].text), OUTCOME_TEXT_MAX);
	}
	message_free(&message);
}

/* Several pieces of records, and every sort of cut at the end. */
static void
test_many_outcomes(void **state)
{
	enum { ATTEMPTS = 6000 };
	int fd = memfd_create("message", MFD_CLOEXEC);
	struct message_file message;
	uint64_t before = 0;

	(void)state;
	make_file(fd);
	assert_int_equal(message_read(fd, 1, &message), MESSAGE_OK);
	for (uint32_t i = 0; i < ATTEMPTS; i++) {
		before = message.end;
		append(fd, &message, i);
	}
	check(fd, ATTEMPTS, message.end);
	for (off_t cut = (off_t)message.end - 1; cut >= (off_t)before;
		cut -= 100) {
		assert_int_equal(ftruncate(fd, cut), 0);
		check(fd, ATTEMPTS - 1, before);
	}
	/* zeroes, as a power cut leaves them */
	assert_int_equal(ftruncate(fd, (off_t)before), 0);
	assert_int_equal(ftruncate(fd, (off_t)before + 3 * 1024 * 1024), 0);
	check(fd, ATTEMPTS - 1, before);
	message.end = before;
	append(fd, &message, ATTEMPTS - 1);
	check(fd, ATTEMPTS, message.end);
	assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)message.end);
	message_free(&message);
	close(fd);
}

/* Content that does not match its check is seen when it is asked for. */
static void
test_content_check(void **state)
{
	int fd = memfd_create("message", MFD_CLOEXEC);
	struct message_file message;

	(void)state;
	make_file(fd);
	assert_int_equal(pwrite(fd, "y", 1, MESSAGE_HEADER_OCTETS), 1);
	assert_int_equal(message_read(fd, 1, &message), MESSAGE_BAD);
	assert_int_equal(message_read(fd, 0, &message), MESSAGE_OK);
	message_free(&message);
	close(fd);
}

/* Appends a V record with this payload; what a reader then makes of the file. */
static enum message_result
read_routed(const char *payload, size_t length, struct message_file *message)
{
	int fd = memfd_create("message", MFD_CLOEXEC);
	stralloc records = STRALLOC_ZERO;

	make_file(fd);
	assert_int_equal(message_read(fd, 0, message), MESSAGE_OK);
	assert_null(message->route);
	assert_int_equal(record_append(&records, 'V', payload, length), 0);
	assert_int_equal(message_append(fd, message, &records), 0);
	stralloc_free(&records);
	message_free(message);
	enum message_result result = message_read(fd, 0, message);
	close(fd);
	return result;
}

/* The last V record holds; an empty one ends it; an odd one is no message. */
static void
test_route(void **state)
{
	static const struct {
		const char *payload;
		size_t length;
	} BAD[] = {{"", 0}, {"\0", 1}, {"\0\3ab", 4}, {"\0\1ab", 4},
		{"\0\1 ", 3}, {"\0\1\n", 3}, {"\0\2a\0", 4}, {"\0\1\177", 3},
		{"\0\1\200", 3}};
	int fd = memfd_create("message", MFD_CLOEXEC);
	char text[MESSAGE_ROUTE_MAX + 3];
	struct message_file message;
	stralloc records = STRALLOC_ZERO;

	(void)state;
	make_file(fd);
	assert_int_equal(message_read(fd, 0, &message), MESSAGE_OK);
	assert_int_equal(message_pack_route(&records, "mx:a.test"), 0);
	assert_int_equal(message_pack_route(&records, "host:b.test:25"), 0);
	assert_int_equal(message_append(fd, &message, &records), 0);
	message_free(&message);
	assert_int_equal(message_read(fd, 0, &message), MESSAGE_OK);
	assert_string_equal(message.route, "host:b.test:25");
	records.len = 0;
	assert_int_equal(message_pack_route(&records, ""), 0);
	assert_int_equal(message_append(fd, &message, &records), 0);
	message_free(&message);
	assert_int_equal(message_read(fd, 0, &message), MESSAGE_OK);
	assert_null(message.route);
	message_free(&message);
	close(fd);

	memset(text, 'x', sizeof text);
	text[MESSAGE_ROUTE_MAX + 1] = 0;
	records.len = 0;
	assert_int_equal(message_pack_route(&records, text), -1);
	assert_int_equal(records.len, 0);
	text[MESSAGE_ROUTE_MAX] = 0;
	assert_int_equal(message_pack_route(&records, text), 0);
	stralloc_free(&records);
	text[0] = (char)((MESSAGE_ROUTE_MAX + 1) >> 8);
	text[1] = (char)((MESSAGE_ROUTE_MAX + 1) & 255);
	memset(text + 2, 'x', MESSAGE_ROUTE_MAX + 1);
	assert_int_equal(read_routed(text, sizeof text, &message), MESSAGE_BAD);
	for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
		if (read_routed(BAD[i].payload, BAD[i].length, &message) !=
			MESSAGE_BAD)
			fail_msg("bad route %zu is taken", i);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_outcomes),
		cmocka_unit_test(test_content_check),
		cmocka_unit_test(test_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
