#ifndef TLS_CERTIFICATES_H
#define TLS_CERTIFICATES_H

/*
 * What tlsd's parent and the sessions know of the certificates: all but the private
 * keys. Built from what the signing part tells, a whole set at a time.
 */

#include <openssl/ssl.h>
#include <stdbool.h>
#include "tls/key_ask.h"
#include "tls/sign.h"

struct certificate {
	char name[SIGN_NAME_MAX];
	X509 *leaf;
	STACK_OF(X509) * chain; /* without the leaf */
	EVP_PKEY *key;		/* asks */
	struct key_ask ask;
	unsigned char *staple; /* NULL for none */
	size_t staple_len;
};

struct certificates {
	struct certificate *list[SIGN_CERTIFICATES_MAX];
	size_t count;
	X509_STORE *clients; /* NULL: no certificate is asked for */
	STACK_OF(X509_NAME) * client_names;
	uint8_t clients_digest[32]; /* of what is in clients; zero for none */
};

/* How well a certificate suits the name that a client asks for. */
enum certificate_rank {
	CERTIFICATE_ANY = 0,
	CERTIFICATE_DEFAULT = 1,
	CERTIFICATE_WILDCARD = 2,
	CERTIFICATE_EXACT = 3,
};

/* An empty set, or NULL. */
struct certificates *certificates_new(void);
void certificates_free(struct certificates *certificates);

/*
 * Adds what a record of the signing part and its file say; the file stays the
 * caller's. signer: where the socket will be that signatures are asked for on.
 * 0, or -1 with a sentence.
 */
int certificates_add(struct certificates *certificates,
	const struct key_methods *methods, const int *signer,
	const struct keep_record *record, int file, char *why, size_t size);

/*
 * The best certificates for a name (NULL or "": none was asked for), at most one
 * of RSA and one of ECDSA. Returns how many.
 */
unsigned certificates_find(const struct certificates *certificates,
	const char *name, const struct certificate *found[2]);

#endif
