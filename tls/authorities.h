#ifndef TLS_AUTHORITIES_H
#define TLS_AUTHORITIES_H

/*
 * What tls-client knows before it speaks with anybody: who may vouch for other
 * hosts, and the client certificates that a route may name, with their keys. All
 * is read once, at the start.
 */

#include <openssl/ssl.h>
#include <stddef.h>
#include <sys/types.h>
#include "lib/tls.h"

/* The system's authorities: package ca-certificates. */
#define AUTHORITIES_OF_SYSTEM "/etc/ssl/certs/ca-certificates.crt"
#define CERTIFICATES_MAX 64

struct client_certificate {
	char name[TLS_NAME_MAX];
	SSL_CTX *context;
};

struct authorities {
	SSL_CTX *plain; /* without a client certificate */
	struct client_certificate certificate[CERTIFICATES_MAX];
	unsigned certificates;
};

/*
 * Reads the authorities from a file of PEM certificates ("": those of the system,
 * which may be missing; that is logged, and nobody is verified then), and each
 * pair NAME.pem, NAME.key in the folder, which may be missing. A pair that is
 * unfit, or whose key somebody but owner may read, is logged and left out. Returns
 * 0; or -1 with a sentence in why.
 */
int authorities_load(struct authorities *authorities, const char *file,
	const char *folder, uid_t owner, char *why, size_t size);

/* The context for a certificate's name, "" for none; NULL if there is none of that
 * name. */
SSL_CTX *
authorities_find(const struct authorities *authorities, const char *name);

void authorities_free(struct authorities *authorities);

#endif
