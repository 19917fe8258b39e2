/*
 * The content of a message: from the queue's file to the wire.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/dots.h"
#include "remote/client.h"
#include "remote/client_wire.h"

#define BLOCK_OCTETS 16384
/* Flush when there is less room than this for the encoder. */
#define ROOM_MIN 64

/* Reads a block of the content. Returns its octets, 0 at the end, or -1. */
static ssize_t
read_content(const struct client_message *message, uint64_t at, char *block)
{
	uint64_t left = message->octets - at;
	size_t want = left < BLOCK_OCTETS ? (size_t)left : BLOCK_OCTETS;
	ssize_t count;

	if (want == 0)
		return 0;
	do
		count = pread(message->content_fd, block, want,
			message->offset + (off_t)at);
	while (count == -1 && errno == EINTR);
	return count > 0 ? count : -1; /* too short is an error, too */
}

int
client_survey(const struct client_message *message, uint64_t *wire_octets,
	int *has_8bit)
{
	struct dots_counter counter;
	char block[BLOCK_OCTETS];
	uint64_t at = 0;
	ssize_t count, i;

	dots_count_start(&counter, DOTS_SMTP);
	while ((count = read_content(message, at, block)) > 0) {
		dots_count(&counter, block, (size_t)count);
		for (i = 0; i < count && !*has_8bit; i++)
			*has_8bit = (unsigned char)block[i] >= 0x80;
		at += (uint64_t)count;
	}
	*wire_octets = dots_count_finish(&counter);
	return count == 0 ? 0 : -1;
}

/* Encodes a block into the output and counts into *sent. Returns 0 or -1. */
static int
put_block(struct client *client, struct dots_encoder *encoder,
	const char *block, size_t len, uint64_t *sent)
{
	int64_t deadline_ms = deadline_after_ms(client->timeouts.block_ms);
	size_t room, consumed, produced;

	while (len > 0) {
		char *space = output_space(&client->out, &room);

		if (room < ROOM_MIN) {
			if (output_flush(&client->out, deadline_ms) == -1)
				return -1;
			continue;
		}
		dots_encode(
			encoder, block, len, &consumed, space, room, &produced);
		output_commit(&client->out, produced);
		*sent += produced;
		block += consumed;
		len -= consumed;
	}
	return 0;
}

enum client_sending
client_send_content(struct client *client, const struct client_message *message,
	enum dots_policy policy, uint64_t wire_octets)
{
	struct dots_encoder encoder;
	char block[BLOCK_OCTETS], end[DOTS_FINISH_MAX];
	uint64_t at = 0, sent = 0;
	size_t last;
	ssize_t count;
	int64_t deadline_ms;

	dots_encode_start(&encoder, policy);
	while ((count = read_content(message, at, block)) > 0) {
		if (put_block(client, &encoder, block, (size_t)count, &sent) ==
			-1)
			goto lost;
		at += (uint64_t)count;
	}
	last = dots_encode_finish(&encoder, end);
	if (count == -1 || (policy == DOTS_BDAT && sent + last != wire_octets))
		return CLIENT_SENDING_UNREADABLE;
	deadline_ms = deadline_after_ms(client->timeouts.block_ms);
	if (output_put(&client->out, end, last, deadline_ms) == 0 &&
		output_flush(&client->out, deadline_ms) == 0)
		return CLIENT_SENDING_DONE;
lost:
	client_break(client, strerror(errno));
	return CLIENT_SENDING_LOST;
}
