#ifndef LIB_PROXY_H
#define LIB_PROXY_H

/*
 * The header that a proxy sends before anything else, to say whose connection
 * it hands on: PROXY protocol, version 1 (a line of text) and 2 (binary).
 *
 *   v1  "PROXY" SP ("TCP4" / "TCP6") SP source SP destination SP port SP port CRLF
 *       "PROXY" SP "UNKNOWN" *OCTET CRLF            at most 107 octets
 *   v2  12 octets of signature, version and command, family, u16 length, then
 *       length octets: the addresses, then fields that we have no use for
 *
 * Reading it is a pure function of what has come so far; who may send one is
 * the caller's to know.
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/networks.h"

/* The longest of version 1, CRLF included (its section 2.1). */
#define PROXY_LINE_MAX 107
/* The longest of version 2 that we take, its 16 octets of head included. */
#define PROXY_HEADER_MAX 4096

enum proxy_result {
	PROXY_MORE,    /* may become a header */
	PROXY_CLIENT,  /* a header, and whose connection it is */
	PROXY_UNKNOWN, /* a header that does not say: a check of the proxy's
			  own, or a family that is not TCP */
	PROXY_NONE,    /* begins like no header at all */
	PROXY_BAD,     /* begins like one, and is none */
};

struct proxy_header {
	size_t octets; /* of the header: for CLIENT and UNKNOWN */
	/* For CLIENT alone: */
	struct network_address source, destination;
	uint16_t source_port, destination_port;
};

enum proxy_result
proxy_scan(const char *octets, size_t len, struct proxy_header *header);

#endif
