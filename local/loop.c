#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "lib/envelope.h"
#include "lib/fields.h"
#include "local/loop.h"

/* Reads up to size octets. Returns how many came, or -1 with errno. */
static ssize_t
read_block(int fd, char *block, size_t size, off_t offset)
{
	size_t length = 0;

	while (length < size) {
		ssize_t got = pread(fd, block + length, size - length,
			offset + (off_t)length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		length += (size_t)got;
	}
	return (ssize_t)length;
}

static enum loop_result
look(const char *block, size_t length, const char *address)
{
	struct fields fields;
	struct field field;
	char text[ENVELOPE_ADDRESS_MAX + 2];
	unsigned received = 0, forwards = 0;

	fields_start(&fields, block, length);
	while (fields_next(&fields, &field)) {
		if (field_is(&field, "Received") &&
			++received > LOOP_RECEIVED_MAX)
			return LOOP_RECEIVED;
		if (!field_is(&field, "Delivered-To"))
			continue;
		(void)field_unfold(&field, text, sizeof text);
		if (strcasecmp(text, address) == 0)
			return LOOP_DELIVERED_TO;
		if (++forwards > LOOP_FORWARDS_MAX)
			return LOOP_FORWARDS;
	}
	return LOOP_NONE;
}

enum loop_result
loop_check(int fd, uint64_t offset, uint64_t octets, const char *address)
{
	size_t size =
		octets < FIELDS_BLOCK_MAX ? (size_t)octets : FIELDS_BLOCK_MAX;

	if (offset > INT64_MAX - FIELDS_BLOCK_MAX) {
		errno = EINVAL;
		return LOOP_ERROR;
	}
	if (size == 0)
		return LOOP_NONE;
	char *block = malloc(size);
	if (block == NULL)
		return LOOP_ERROR;
	ssize_t length = read_block(fd, block, size, (off_t)offset);
	enum loop_result result = LOOP_ERROR;
	if (length >= 0)
		result = look(block, (size_t)length, address);
	int saved = errno;
	free(block);
	errno = saved;
	return result;
}
