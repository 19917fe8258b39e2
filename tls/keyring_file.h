#ifndef TLS_KEYRING_FILE_H
#define TLS_KEYRING_FILE_H

/* Reads the files of one certificate. */

#include "tls/keyring.h"

/*
 * Reads NAME.pem, NAME.key and NAME.ocsp of the folder into the entry (octets,
 * chain, staple, key) and the private key into *key; with key NULL only the
 * certificates of NAME.pem. Returns 0 with a sentence about them in what, or -1 with
 * a sentence in what and nothing changed.
 */
int keyring_read(int folder, struct keyring_entry *entry, EVP_PKEY **key,
	char *what, size_t size);

#endif
