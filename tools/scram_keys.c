#include <string.h>
#include "tools/scram.h"

void
scram_derive(struct scram_verifier *verifier, const char *password,
	const uint8_t salt[SCRAM_SALT], uint32_t iterations)
{
	uint8_t salted[DIGEST_SHA256], key[DIGEST_SHA256];

	verifier->iterations = iterations;
	memmove(verifier->salt, salt, SCRAM_SALT);
	digest_pbkdf2_sha256(salted, password, strlen(password), salt,
		SCRAM_SALT, iterations);
	digest_hmac_sha256(key, salted, sizeof salted, "Client Key", 10);
	digest_sha256(verifier->stored_key, key, sizeof key);
	digest_hmac_sha256(
		verifier->server_key, salted, sizeof salted, "Server Key", 10);
	explicit_bzero(salted, sizeof salted);
	explicit_bzero(key, sizeof key);
}

void
scram_make_up(struct scram_verifier *verifier,
	const uint8_t secret[DIGEST_SHA256], const char *name)
{
	uint8_t salt[DIGEST_SHA256];

	verifier->iterations = SCRAM_ITERATIONS;
	digest_hmac_sha256(salt, secret, DIGEST_SHA256, name, strlen(name));
	memcpy(verifier->salt, salt, SCRAM_SALT);
	/* A key that nobody knows the preimage of. */
	digest_hmac_sha256(
		verifier->stored_key, salt, sizeof salt, "stored", 6);
	digest_hmac_sha256(
		verifier->server_key, salt, sizeof salt, "server", 6);
	explicit_bzero(salt, sizeof salt);
}
