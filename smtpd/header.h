#ifndef SMTPD_HEADER_H
#define SMTPD_HEADER_H

/*
 * The header of a message that one of our users submits, held back until it is
 * whole: then it is looked at, and what RFC 6409 section 8 lets a submission
 * server add goes before it. The rest of the message streams by. Nothing that came
 * is changed or moved.
 *
 * Works on blocks in stored form (LF line ends) that may be cut at any octet; at
 * most HEADER_MAX octets are held.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/fields.h"

#define HEADER_MAX FIELDS_BLOCK_MAX
/* Octets that header_additions writes at most. */
#define HEADER_ADDITIONS_MAX 512

struct header {
	bool is_whole; /* nothing is held back any more */
	char *block;   /* owned */
	size_t len;
	bool is_line_start; /* private */
};

enum header_result {
	HEADER_MORE,	 /* it goes on */
	HEADER_WHOLE,	 /* its end was in this block */
	HEADER_TOO_LONG, /* it has no end within HEADER_MAX */
	HEADER_NO_MEMORY,
};

/* Sets *header up; afterwards header_end is due. */
void header_start(struct header *header);

/*
 * Takes octets until the empty line after the header, and says in *taken how many
 * were: with HEADER_WHOLE the others are body. Not to be called after that.
 */
enum header_result header_take(
	struct header *header, const char *octets, size_t len, size_t *taken);

/*
 * Whether the held block is a header and nothing else: fields, and the empty line
 * (or the end of the message). What follows a line that is no field may be a header
 * for others.
 */
bool header_is_sound(const struct header *header);

/*
 * The fields that are missing: Date, of time_s, and Message-ID, of id and host.
 * Returns the length; 0 if there is nothing to add.
 */
size_t header_additions(const struct header *header, const char *id,
	const char *host, int64_t time_s, char into[HEADER_ADDITIONS_MAX]);

/* Frees the block. Safe twice, and on a zero struct. */
void header_end(struct header *header);

#endif
