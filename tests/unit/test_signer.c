#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <string.h>
#include "tls/signer_sign.h"

#define BITS 2048
#define SIZE (BITS / 8)

/* A context for an operation with the public half of the key. */
static EVP_PKEY_CTX *public(EVP_PKEY *key, const EVP_MD *digest, int padding)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);

	assert_int_equal(EVP_PKEY_verify_init(context), 1);
	if (padding != 0)
		assert_int_equal(
			EVP_PKEY_CTX_set_rsa_padding(context, padding), 1);
	if (digest != NULL)
		assert_int_equal(
			EVP_PKEY_CTX_set_signature_md(context, digest), 1);
	return context;
}

/* What a signature of OpenSSL's own has in it: the encoded message. */
static void
encoded_of(EVP_PKEY *key, const EVP_MD *digest, uint8_t block[SIZE])
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
	uint8_t hash[64] = {1, 2, 3}, signature[SIZE];
	size_t size = sizeof signature;

	assert_int_equal(EVP_PKEY_sign_init(context), 1);
	EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING);
	EVP_PKEY_CTX_set_signature_md(context, digest);
	EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST);
	assert_int_equal(EVP_PKEY_sign(context, signature, &size, hash,
				 (size_t)EVP_MD_get_size(digest)),
		1);
	EVP_PKEY_CTX_free(context);
	context = EVP_PKEY_CTX_new(key, NULL);
	size = SIZE;
	assert_int_equal(EVP_PKEY_encrypt_init(context), 1);
	EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING);
	assert_int_equal(
		EVP_PKEY_encrypt(context, block, &size, signature, SIZE), 1);
	EVP_PKEY_CTX_free(context);
}

static void
pss(void **state)
{
	const EVP_MD *digest[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
	EVP_PKEY *key = *state;
	uint8_t hash[64] = {1, 2, 3}, signature[SIGN_OCTETS_MAX];
	struct sign_request request = {.kind = SIGN_RSA_PSS, .length = SIZE};

	for (int i = 0; i < 3; i++) {
		encoded_of(key, digest[i], request.octets);
		assert_true(signer_is_pss(request.octets, SIZE, BITS));
		assert_int_equal(signer_sign(key, &request, signature), SIZE);
		EVP_PKEY_CTX *context =
			public(key, digest[i], RSA_PKCS1_PSS_PADDING);
		assert_int_equal(EVP_PKEY_verify(context, signature, SIZE, hash,
					 (size_t)EVP_MD_get_size(digest[i])),
			1);
		EVP_PKEY_CTX_free(context);
		/* nothing of it but the salt may be another */
		size_t hash_len = (size_t)EVP_MD_get_size(digest[i]);
		size_t salt = SIZE - 1 - 2 * hash_len;
		for (size_t at = 0; at < SIZE; at++) {
			if (at >= salt && at < salt + hash_len)
				continue;
			request.octets[at] ^= 0x10;
			if (signer_is_pss(request.octets, SIZE, BITS))
				fail_msg("octet %zu may change", at);
			request.octets[at] ^= 0x10;
		}
		assert_false(signer_is_pss(request.octets, SIZE - 1, BITS));
		assert_false(signer_is_pss(request.octets, 1, BITS));
		assert_false(signer_is_pss(request.octets, SIZE, BITS - 1));
	}
}

/* What was encrypted to the key is not decrypted by any kind of request. */
static void
no_decryption(void **state)
{
	EVP_PKEY *key = *state;
	int padding[] = {RSA_PKCS1_PADDING, RSA_PKCS1_OAEP_PADDING};
	uint8_t secret[48], signature[SIGN_OCTETS_MAX];

	RAND_bytes(secret, sizeof secret);
	for (int i = 0; i < 200; i++) {
		struct sign_request request = {.length = SIZE};
		EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
		size_t size = SIZE;

		EVP_PKEY_encrypt_init(context);
		EVP_PKEY_CTX_set_rsa_padding(context, padding[i % 2]);
		assert_int_equal(EVP_PKEY_encrypt(context, request.octets,
					 &size, secret, sizeof secret),
			1);
		EVP_PKEY_CTX_free(context);
		for (request.kind = 0; request.kind < 5; request.kind++)
			assert_int_equal(
				signer_sign(key, &request, signature), 0);
	}
}

static void
digest_info(void **state)
{
	static const uint8_t head[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
		0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
		0x04, 0x20};
	struct sign_request request = {.kind = SIGN_RSA, .length = 51};
	uint8_t signature[SIGN_OCTETS_MAX];
	EVP_PKEY *key = *state;

	memcpy(request.octets, head, sizeof head);
	memset(request.octets + sizeof head, 7, 32);
	assert_int_equal(signer_sign(key, &request, signature), SIZE);
	EVP_PKEY_CTX *context = public(key, EVP_sha256(), RSA_PKCS1_PADDING);
	assert_int_equal(EVP_PKEY_verify(context, signature, SIZE,
				 request.octets + sizeof head, 32),
		1);
	EVP_PKEY_CTX_free(context);
	for (request.length = 0; request.length <= SIGN_OCTETS_MAX + 1;
		request.length++)
		if (request.length != 51)
			assert_int_equal(
				signer_sign(key, &request, signature), 0);
	request.length = 51;
	for (size_t i = 0; i < sizeof head; i++) {
		request.octets[i] ^= 1;
		assert_int_equal(signer_sign(key, &request, signature), 0);
		request.octets[i] ^= 1;
	}
	request.kind = SIGN_ECDSA;
	request.length = 32;
	assert_int_equal(signer_sign(key, &request, signature), 0);
}

static void
ecdsa(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	struct sign_request request = {.kind = SIGN_ECDSA, .length = 32};
	uint8_t signature[SIGN_OCTETS_MAX];

	(void)state;
	memset(request.octets, 9, 32);
	size_t length = signer_sign(key, &request, signature);
	assert_in_range(length, 60, 72);
	EVP_PKEY_CTX *context = public(key, NULL, 0);
	assert_int_equal(
		EVP_PKEY_verify(context, signature, length, request.octets, 32),
		1);
	EVP_PKEY_CTX_free(context);
	for (request.length = 0; request.length <= SIGN_OCTETS_MAX + 1;
		request.length++)
		if (request.length != 32 && request.length != 48 &&
			request.length != 64)
			assert_int_equal(
				signer_sign(key, &request, signature), 0);
	request.length = 32;
	request.kind = SIGN_RSA;
	assert_int_equal(signer_sign(key, &request, signature), 0);
	EVP_PKEY_free(key);
}

static int
make_key(void **state)
{
	*state = EVP_RSA_gen(BITS);
	return *state == NULL;
}

static int
free_key(void **state)
{
	EVP_PKEY_free(*state);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pss),
		cmocka_unit_test(no_decryption),
		cmocka_unit_test(digest_info),
		cmocka_unit_test(ecdsa),
	};

	return cmocka_run_group_tests(tests, make_key, free_key);
}
