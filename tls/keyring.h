#ifndef TLS_KEYRING_H
#define TLS_KEYRING_H

/*
 * The folder tls, as the signing part knows it: for each NAME.pem the chain, the
 * key of NAME.key and the staple of NAME.ocsp; and clients.pem. What was good stays
 * until something good takes its place or its NAME.pem is removed. Says in the log
 * what it finds.
 */

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tls/sign.h"

/* How long a key is kept that no certificate needs any more, for sessions that
 * have begun with it. */
#define KEYRING_RETIRE_MS (90 * 1000)
#define KEYRING_KEYS_MAX (2 * SIGN_CERTIFICATES_MAX)

struct keyring_entry {
	char name[SIGN_NAME_MAX];
	uint64_t seen;	 /* the files as they were looked at last */
	uint64_t judged; /* the files as they were read last, well or not */
	/* Certificates in DER, one behind the other, then the staple. NULL if
	 * there is nothing good. */
	unsigned char *octets;
	size_t chain, staple; /* their lengths */
	uint8_t key[SIGN_KEY_ID];
	bool is_there; /* still in the folder */
};

struct keyring_key {
	uint8_t id[SIGN_KEY_ID];
	EVP_PKEY *key;
	int64_t retire_deadline_ms;
};

struct keyring {
	int folder;
	struct keyring_entry *entry[SIGN_CERTIFICATES_MAX];
	size_t entries;
	struct keyring_key key[KEYRING_KEYS_MAX];
	size_t keys;
	/* clients.pem: as an entry without a key */
	struct keyring_entry clients;
	bool is_full_said, is_folder_said;
};

/*
 * Looks at the folder. A file that has changed is read when it is the same at the
 * second look, or with at_once. True if what is good has changed.
 */
bool keyring_look(struct keyring *keyring, bool at_once);

/* Entries that are good. */
size_t keyring_count(const struct keyring *keyring);

/* The key with this id, or NULL. */
EVP_PKEY *
keyring_find(const struct keyring *keyring, const uint8_t id[SIGN_KEY_ID]);

/* Forgets keys whose time is over. */
void keyring_retire(struct keyring *keyring);

/* The id of a public key: SHA-256 of its SubjectPublicKeyInfo. 0, or -1. */
int keyring_id(EVP_PKEY *key, uint8_t id[SIGN_KEY_ID]);

#endif
