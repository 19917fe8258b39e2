#ifndef TLS_CONTEXTS_H
#define TLS_CONTEXTS_H

/*
 * How tlsd speaks TLS, for each of its services: versions, ciphers, tickets,
 * application protocols, and which certificate is shown.
 */

#include <openssl/ssl.h>
#include "lib/tls.h"
#include "tls/certificates.h"
#include "tls/tickets.h"

/* Services of tlsd have numbers from 1 to this. */
#define CONTEXTS_MAX TLS_POP3

struct contexts {
	SSL_CTX *context[CONTEXTS_MAX + 1];
	struct tickets tickets[CONTEXTS_MAX + 1];
	/* What is shown now; contexts_show changes it. */
	struct certificates *certificates;
};

/* Makes all of it, with no certificate yet. The struct must stay where it is. 0, or
 * -1 with a sentence. */
int contexts_make(struct contexts *contexts, char *why, size_t size);

/*
 * Shows these certificates from now on; they and those before are the struct's.
 * Tickets become invalid if other authorities vouch for clients. 0, or -1.
 */
int contexts_show(struct contexts *contexts, struct certificates *certificates);

#endif
