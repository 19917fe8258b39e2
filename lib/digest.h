#ifndef LIB_DIGEST_H
#define LIB_DIGEST_H

/*
 * The keyed digests that logins need: HMAC (RFC 2104) with SHA-256 (skalibs) and
 * MD5 (libmd), and PBKDF2 (RFC 8018 section 5.2) with the first, for one block.
 * No copy of a key stays behind.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SHA256 32
#define DIGEST_MD5 16

void digest_sha256(uint8_t into[DIGEST_SHA256], const void *octets, size_t len);

void digest_hmac_sha256(uint8_t into[DIGEST_SHA256], const void *key,
	size_t key_len, const void *octets, size_t len);

/* Each iteration is two rounds of SHA-256. */
void digest_pbkdf2_sha256(uint8_t into[DIGEST_SHA256], const void *password,
	size_t password_len, const void *salt, size_t salt_len,
	uint32_t iterations);

/* The digest of one text followed by another. */
void digest_md5(uint8_t into[DIGEST_MD5], const void *one, size_t one_len,
	const void *other, size_t other_len);

void digest_hmac_md5(uint8_t into[DIGEST_MD5], const void *key, size_t key_len,
	const void *octets, size_t len);

/* Compares without telling by its time where two of one length differ. */
bool digest_is_same(const void *one, const void *other, size_t len);

/* Writes octets as lower-case hexadecimal digits, with a NUL after them. */
void digest_hex(char *into, const uint8_t *octets, size_t len);

#endif
