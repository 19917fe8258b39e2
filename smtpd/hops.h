#ifndef SMTPD_HOPS_H
#define SMTPD_HOPS_H

/*
 * Counts the Received fields of a message while it comes in, to refuse one that
 * goes in circles (RFC 5321 section 6.3). Works on blocks in stored form (LF
 * line ends) that may be cut at any octet, with the law of lib/fields.h about
 * where a header ends; after that a block costs nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hops {
	uint64_t received; /* Received fields so far */
	int state;	   /* private, all below */
	bool is_first_line, has_field;
	size_t name_len; /* of the name so far; name holds its first octets */
	char name[9];
};

void hops_start(struct hops *hops);
void hops_scan(struct hops *hops, const char *octets, size_t len);

#endif
