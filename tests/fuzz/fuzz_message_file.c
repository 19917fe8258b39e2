/*
 * Message files. The input is: the flags (1: a true header is made for what
 * follows, as no fuzzer finds its check; 2: the content is checked; 4: there are
 * outcomes made of records), u8 length of the content, u16 length of the
 * envelope's records, content, then for envelope and outcomes: type, u16 length,
 * payload, repeated. Without flag 1 the rest is the file.
 *
 * What is taken has sound lengths and a state for each recipient; what is
 * appended to it is read again.
 */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include "lib/records.h"
#include "queue/message_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes records of octets; returns how many of type T. */
static uint32_t
make_records(stralloc *into, const uint8_t *data, size_t size)
{
	uint32_t recipients = 0;

	while (size >= 3) {
		size_t length = (size_t)data[1] << 8 | data[2];

		if (length > size - 3)
			length = size - 3;
		assert(record_append(into, data[0], data + 3, length) == 0);
		recipients += data[0] == 'T';
		data += 3 + length;
		size -= 3 + length;
	}
	return recipients;
}

static void
make_file(stralloc *into, unsigned flags, const uint8_t *data, size_t size)
{
	unsigned char octets[MESSAGE_HEADER_OCTETS];
	struct message_header header = {.marked = 1, .arrival_us = 1};
	stralloc envelope = STRALLOC_ZERO;

	if (size < 3)
		return;
	size_t content = data[0];
	size_t records = (size_t)data[1] << 8 | data[2];
	data += 3;
	size -= 3;
	if (content > size)
		content = size;
	if (records > size - content)
		records = size - content;
	header.recipients = make_records(&envelope, data + content, records);
	header.content_octets = content;
	header.envelope_octets = (uint32_t)envelope.len;
	header.content_crc = (uint32_t)crc32(0, data, (uInt)content);
	header.envelope_crc = (uint32_t)crc32(crc32(0, NULL, 0),
		(const Bytef *)envelope.s, (uInt)envelope.len);
	message_header_pack(&header, octets);
	assert(stralloc_catb(into, (const char *)octets, sizeof octets));
	assert(stralloc_catb(into, (const char *)data, content));
	assert(stralloc_catb(into, envelope.s, envelope.len));
	data += content + records;
	size -= content + records;
	if (flags & 4)
		make_records(into, data, size);
	else
		assert(stralloc_catb(into, (const char *)data, size));
	stralloc_free(&envelope);
}

static void
check_states(const struct message_file *message)
{
	for (uint32_t i = 0; i < message->envelope.recipients; i++) {
		const struct message_recipient_state *state =
			&message->state[i];

		assert(state->outcome == 0 || outcome_is_valid(state->outcome));
		assert(state->text == NULL ||
			strlen(state->text) <= OUTCOME_TEXT_MAX);
	}
}

/* Ends the message for its first recipient, and reads it again. */
static void
check_append(int fd, struct message_file *message)
{
	stralloc records = STRALLOC_ZERO;
	struct message_file again;

	assert(message_pack_outcome(&records, 0, OUTCOME_DELIVERED, 1, 2, 0,
		       "2.0.0 done") == 0);
	assert(message_append(fd, message, &records) == 0);
	assert(message_read(fd, 0, &again) == MESSAGE_OK);
	assert(again.end == message->end);
	assert(again.state[0].outcome == OUTCOME_DELIVERED);
	assert(strcmp(again.state[0].text, "2.0.0 done") == 0);
	message_free(&again);
	stralloc_free(&records);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	stralloc file = STRALLOC_ZERO;
	struct message_file message;
	unsigned flags = size > 0 ? data[0] : 0;

	if (size == 0)
		return 0;
	data++;
	size--;
	if (flags & 1)
		make_file(&file, flags, data, size);
	else
		assert(stralloc_catb(&file, (const char *)data, size));
	int fd = memfd_create("message", 0);
	assert(fd >= 0);
	assert(write(fd, file.s, file.len) == (ssize_t)file.len);
	if (message_read(fd, flags & 2, &message) == MESSAGE_OK) {
		assert(message.envelope.recipients > 0);
		assert(message.end <= file.len);
		check_states(&message);
		check_append(fd, &message);
		message_free(&message);
	} else {
		assert(message.state == NULL);
	}
	close(fd);
	stralloc_free(&file);
	return 0;
}
