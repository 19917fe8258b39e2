#ifndef QUEUE_MESSAGE_FILE_H
#define QUEUE_MESSAGE_FILE_H

/*
 * The one format of accepted mail (doc/queue.md): header, content, envelope,
 * outcome records. queue-inject writes the first three, the runner appends the
 * last; this module knows the octets, checks them on the way in, and never
 * decides what happens to a message.
 */

#include <stddef.h>
#include <stdint.h>
#include <skalibs/stralloc.h>
#include "lib/envelope.h"
#include "lib/outcome.h"

#define MESSAGE_HEADER_OCTETS 64
#define MESSAGE_MARK 0x4b455054u

/* The order among messages to the same destination. */
enum message_class { MESSAGE_FIRST, MESSAGE_NORMAL, MESSAGE_BULK };

struct message_header {
	int marked; /* the mark stands: accepted, if the lock is free */
	uint64_t arrival_us; /* microseconds since the epoch */
	uint64_t content_octets;
	uint32_t envelope_octets;
	uint32_t recipients;
	uint32_t content_crc, envelope_crc;
	uint8_t class; /* MESSAGE_FIRST … MESSAGE_BULK */
};

enum message_result {
	MESSAGE_OK,
	MESSAGE_BAD,   /* a length, check or character is wrong */
	MESSAGE_ERROR, /* the file could not be read, or no memory: errno */
};

void message_header_pack(const struct message_header *header,
	unsigned char octets[MESSAGE_HEADER_OCTETS]);

/* MESSAGE_OK or MESSAGE_BAD; *header is set only on MESSAGE_OK. */
enum message_result
message_header_unpack(const unsigned char octets[MESSAGE_HEADER_OCTETS],
	struct message_header *header);

/* What the outcome records say of one recipient. */
struct message_recipient_state {
	enum outcome outcome; /* 0: no attempt yet */
	uint32_t attempts;
	uint64_t attempt_ms;  /* the latest; milliseconds since the epoch */
	uint64_t next_due_ms; /* of a deferred one */
	int told;	      /* the report of its end is queued */
	int delay_told;	      /* a delay notice has gone */
	char *text;	      /* last reply; owned; NULL: none */
};

struct message_file {
	struct message_header header;
	struct envelope envelope;
	struct message_recipient_state *state; /* one a recipient */
	/* Where remote recipients go in spite of their domains: a destination
	 * (remote/route.h), of which only length and characters were checked.
	 * Owned; NULL: as their domains say. */
	char *route;
	uint64_t end; /* offset after the last whole record: append here */
};

/*
 * Reads header, envelope and outcome records of an open message file and
 * validates them (lengths against the file's size, checks, every record). The
 * content's check is computed only if check_content. On MESSAGE_OK *message owns
 * memory for message_free, else it is empty. Reads with pread; the descriptor's
 * position does not matter.
 */
enum message_result
message_read(int fd, int check_content, struct message_file *message);

/* Reads the header alone. */
enum message_result message_read_header(int fd, struct message_header *header);

void message_free(struct message_file *message);

/*
 * Append packed outcome records at message->end (pwrite over a torn tail, then
 * the file is cut there) and move the end. Return 0, or -1 with errno and the
 * file cut back to the old end. No sync.
 */
int
message_append(int fd, struct message_file *message, const stralloc *records);

/* Pack one R or N record onto *into. 0, or -1 with ENOMEM. */
int message_pack_outcome(stralloc *into, uint32_t recipient,
	enum outcome outcome, uint32_t attempt, uint64_t time_ms,
	uint64_t next_due_ms, const char *text);

enum message_notice { NOTICE_BOUNCE = 1, NOTICE_DELAY = 2 };
int message_pack_notice(stralloc *into, enum message_notice notice,
	uint64_t time_ms, const char *notice_id, const uint32_t *recipient,
	uint32_t recipients);

/* The longest destination in a V record, in octets. */
#define MESSAGE_ROUTE_MAX 800

/* Packs a V record: from now on remote recipients go there; "" ends that. 0, or
 * -1 with errno (EMSGSIZE: the text is too long). */
int message_pack_route(stralloc *into, const char *destination);

#endif
