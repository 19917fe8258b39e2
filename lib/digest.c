#include <md5.h>
#include <string.h>
#include <skalibs/sha256.h>
#include "lib/digest.h"

#define BLOCK 64

void
digest_sha256(uint8_t into[DIGEST_SHA256], const void *octets, size_t len)
{
	SHA256Schedule state;

	sha256_init(&state);
	sha256_update(&state, octets, len);
	sha256_final(&state, (char *)into);
	explicit_bzero(&state, sizeof state);
}

/* The two halves of an HMAC, after their keys. */
struct keyed {
	SHA256Schedule inner, outer;
};

static void
key_start(struct keyed *keyed, const void *key, size_t key_len)
{
	uint8_t pad[BLOCK] = {0};

	if (key_len > BLOCK)
		digest_sha256(pad, key, key_len);
	else if (key_len > 0)
		memcpy(pad, key, key_len);
	for (size_t i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36;
	sha256_init(&keyed->inner);
	sha256_update(&keyed->inner, (const char *)pad, BLOCK);
	for (size_t i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	sha256_init(&keyed->outer);
	sha256_update(&keyed->outer, (const char *)pad, BLOCK);
	explicit_bzero(pad, sizeof pad);
}

/* May be called again and again with one key. */
static void
key_apply(uint8_t into[DIGEST_SHA256], const struct keyed *keyed,
	const void *one, size_t one_len, const void *other, size_t other_len)
{
	SHA256Schedule state = keyed->inner;

	sha256_update(&state, one, one_len);
	if (other_len > 0)
		sha256_update(&state, other, other_len);
	sha256_final(&state, (char *)into);
	state = keyed->outer;
	sha256_update(&state, (const char *)into, DIGEST_SHA256);
	sha256_final(&state, (char *)into);
	explicit_bzero(&state, sizeof state);
}

void
digest_hmac_sha256(uint8_t into[DIGEST_SHA256], const void *key, size_t key_len,
	const void *octets, size_t len)
{
	struct keyed keyed;

	key_start(&keyed, key, key_len);
	key_apply(into, &keyed, octets, len, NULL, 0);
	explicit_bzero(&keyed, sizeof keyed);
}

void
digest_pbkdf2_sha256(uint8_t into[DIGEST_SHA256], const void *password,
	size_t password_len, const void *salt, size_t salt_len,
	uint32_t iterations)
{
	static const uint8_t first_block[4] = {0, 0, 0, 1};
	uint8_t round[DIGEST_SHA256];
	struct keyed keyed;

	key_start(&keyed, password, password_len);
	key_apply(round, &keyed, salt, salt_len, first_block, 4);
	memcpy(into, round, DIGEST_SHA256);
	for (uint32_t i = 1; i < iterations; i++) {
		key_apply(round, &keyed, round, sizeof round, NULL, 0);
		for (size_t at = 0; at < DIGEST_SHA256; at++)
			into[at] ^= round[at];
	}
	explicit_bzero(&keyed, sizeof keyed);
	explicit_bzero(round, sizeof round);
}

void
digest_md5(uint8_t into[DIGEST_MD5], const void *one, size_t one_len,
	const void *other, size_t other_len)
{
	MD5_CTX state;

	MD5Init(&state);
	MD5Update(&state, one, one_len);
	if (other_len > 0)
		MD5Update(&state, other, other_len);
	MD5Final(into, &state);
	explicit_bzero(&state, sizeof state);
}

void
digest_hmac_md5(uint8_t into[DIGEST_MD5], const void *key, size_t key_len,
	const void *octets, size_t len)
{
	uint8_t pad[BLOCK] = {0};

	if (key_len > BLOCK)
		digest_md5(pad, key, key_len, NULL, 0);
	else if (key_len > 0)
		memcpy(pad, key, key_len);
	for (size_t i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36;
	digest_md5(into, pad, BLOCK, octets, len);
	for (size_t i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	digest_md5(into, pad, BLOCK, into, DIGEST_MD5);
	explicit_bzero(pad, sizeof pad);
}

bool
digest_is_same(const void *one, const void *other, size_t len)
{
	const unsigned char *left = one, *right = other;
	unsigned char difference = 0;

	for (size_t i = 0; i < len; i++)
		difference |= (unsigned char)(left[i] ^ right[i]);
	return difference == 0;
}

void
digest_hex(char *into, const uint8_t *octets, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*into++ = digits[octets[i] >> 4];
		*into++ = digits[octets[i] & 15];
	}
	*into = 0;
}
