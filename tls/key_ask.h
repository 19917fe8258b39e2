#ifndef TLS_KEY_ASK_H
#define TLS_KEY_ASK_H

/*
 * Private keys of which only the public half is here: OpenSSL signs with them as
 * with any other, and each signature is asked for over a socket (tls/sign.h).
 */

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include "tls/sign.h"

/* How long a signature may take. */
#define KEY_ASK_MS (30 * 1000)

/* How to do it, for any number of keys. */
struct key_methods {
	RSA_METHOD *rsa;
	EC_KEY_METHOD *ec;
};

/* What a key needs to know; lives as long as the key. */
struct key_ask {
	uint8_t id[SIGN_KEY_ID];
	const int *signer; /* the socket, at the time of the signature */
};

/* 0, or -1: out of memory. */
int key_methods_make(struct key_methods *methods);

/*
 * The key whose public half is that of the certificate's, and which asks. NULL: not
 * of RSA or ECDSA, or out of memory. The caller frees it.
 */
EVP_PKEY *key_ask_make(const struct key_methods *methods, X509 *certificate,
	struct key_ask *ask);

#endif
