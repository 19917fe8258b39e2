#ifndef LOCAL_LOOP_H
#define LOCAL_LOOP_H

/*
 * Loop detection for local delivery: a message that already carries
 * "Delivered-To: ADDRESS" has been here before; one with too many Received
 * fields goes in circles.
 */

#include <stdint.h>

/* The most Received fields that a message may have (RFC 5321 section 6.3 asks
 * for at least 100). */
#define LOOP_RECEIVED_MAX 100
/* The most Delivered-To fields: how often mail may be forwarded. Each forward may
 * have many targets, so that this bounds what one message can become. */
#define LOOP_FORWARDS_MAX 30

enum loop_result {
	LOOP_NONE,
	LOOP_DELIVERED_TO, /* it has been delivered to this address before */
	LOOP_FORWARDS,	   /* more than LOOP_FORWARDS_MAX Delivered-To fields */
	LOOP_RECEIVED,	   /* more than LOOP_RECEIVED_MAX Received fields */
	LOOP_ERROR,	   /* errno: the header cannot be read */
};

/*
 * Looks at the header of the content that stands in fd from offset on, octets
 * long. Comparison of the address ignores ASCII case.
 */
enum loop_result
loop_check(int fd, uint64_t offset, uint64_t octets, const char *address);

#endif
