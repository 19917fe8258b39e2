#ifndef POP3D_HANDOVER_H
#define POP3D_HANDOVER_H

/*
 * What the login part of the POP3 server tells the session part of the client,
 * before the lines that the client has sent ahead: one record over their socket
 * pair. Who sends it speaks with clients that nobody knows, so its reader
 * believes nothing of it that could widen what the session may do.
 */

#include <stdint.h>

#define POP3_HANDOVER_MAGIC 0x6b706f31u /* "kpo1" */

struct pop3_handover {
	uint32_t magic;
	/* 1: the client takes UTF-8 in headers as it is (RFC 6856). */
	uint32_t takes_utf8;
	/* Protocol and cipher for the log, printable; "" without TLS. */
	char tls[84];
};

#endif
