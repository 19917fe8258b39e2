#ifndef TLS_TICKETS_H
#define TLS_TICKETS_H

/*
 * The keys of session tickets (RFC 5077, RFC 8446 section 4.6.1) of one service:
 * the one that tickets are made with, and the one before it, whose tickets are still
 * taken. Made anew each TICKETS_TURN_MS, never written anywhere.
 */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#define TICKETS_TURN_MS (6 * 3600 * 1000)
/* For how long a ticket may be used, in seconds. */
#define TICKETS_LIFE_S (6 * 3600)

struct ticket_key {
	unsigned char name[16], cipher[32], mac[32];
};

struct tickets {
	struct ticket_key current, previous;
	bool has_previous;
	int64_t turn_deadline_ms;
};

/* New keys; no ticket that was made before is taken. 0, or -1: no randomness. */
int tickets_make(struct tickets *tickets);

/* A new key if it is time for it. 0, or -1. */
int tickets_turn(struct tickets *tickets);

/* Has a context make and take tickets with these keys, which must live on; they
 * are its application data. */
void tickets_use(struct tickets *tickets, SSL_CTX *context);

#endif
