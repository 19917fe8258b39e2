#ifndef TLS_SIGNER_SIGN_H
#define TLS_SIGNER_SIGN_H

/* One signature, of what has the form of one: whoever may ask for signatures
 * cannot have anything decrypted with the key. */

#include <openssl/evp.h>
#include <stdbool.h>
#include "tls/sign.h"

/* Returns the signature's length in octets, or 0: refused. */
size_t signer_sign(EVP_PKEY *key, const struct sign_request *request,
	uint8_t octets[SIGN_OCTETS_MAX]);

/*
 * Whether block[0..len) is an encoded message of RSA-PSS (RFC 8017 section 9.1.2)
 * for a key of so many bits, of SHA-256, -384 or -512 with a salt as long as the
 * digest, as far as that can be told without the message.
 */
bool signer_is_pss(const uint8_t *block, size_t len, int bits);

#endif
