#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>
#include "tls/signer_sign.h"

/* Octets of a DigestInfo before the digest, for SHA-256, -384 and -512. */
#define DIGEST_INFO 19

static bool
is_digest(size_t length)
{
	return length == 32 || length == 48 || length == 64;
}

/* DER up to the digest (RFC 8017 section 9.2, note 1). */
static bool
is_digest_info(const uint8_t *octets, size_t length)
{
	static const struct {
		size_t digest;
		uint8_t head[DIGEST_INFO];
	} known[] = {
		{32, {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48,
			     0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
			     0x04, 0x20}},
		{48, {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48,
			     0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00,
			     0x04, 0x30}},
		{64, {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48,
			     0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00,
			     0x04, 0x40}},
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (length == DIGEST_INFO + known[i].digest)
			return memcmp(octets, known[i].head, DIGEST_INFO) == 0;
	return false;
}

/* Unmasks block[0..len) with MGF1 of a seed (RFC 8017 appendix B.2.1). */
static bool
unmask(unsigned char *db, const uint8_t *block, size_t len, const uint8_t *seed,
	size_t hash, const EVP_MD *digest)
{
	unsigned char input[EVP_MAX_MD_SIZE + 4] = {0}, mask[EVP_MAX_MD_SIZE];

	memcpy(input, seed, hash);
	for (size_t i = 0; i < len; i++) {
		if (i % hash == 0) {
			input[hash + 3] = (unsigned char)(i / hash);
			if (EVP_Digest(input, hash + 4, mask, NULL, digest,
				    NULL) != 1)
				return false;
		}
		db[i] = block[i] ^ mask[i % hash];
	}
	return true;
}

/* signer_is_pss with one digest. The block is maskedDB, the hash, and 0xbc; unmasked,
 * DB is zeros, a one, and the salt. */
static bool
is_pss_of(const uint8_t *block, size_t len, int bits, const EVP_MD *digest)
{
	size_t hash = (size_t)EVP_MD_get_size(digest);
	unsigned char db[SIGN_OCTETS_MAX];
	size_t db_len = len - hash - 1;

	if (len < 2 * hash + 2)
		return false;
	if (!unmask(db, block, db_len, block + db_len, hash, digest))
		return false;
	db[0] &= (unsigned char)(0xff >> (8 - (bits - 1) % 8));
	size_t zeros = db_len - hash - 1;
	for (size_t i = 0; i < zeros; i++)
		if (db[i] != 0)
			return false;
	return db[zeros] == 1;
}

bool
signer_is_pss(const uint8_t *block, size_t len, int bits)
{
	/* Other lengths of keys would need another first octet; none is taken. */
	if (bits < 1024 || bits % 8 != 0 || len != (size_t)bits / 8 ||
		len > SIGN_OCTETS_MAX || block[len - 1] != 0xbc ||
		(block[0] & 0x80) != 0)
		return false;
	return is_pss_of(block, len, bits, EVP_sha256()) ||
	       is_pss_of(block, len, bits, EVP_sha384()) ||
	       is_pss_of(block, len, bits, EVP_sha512());
}

static bool
may_sign(EVP_PKEY *key, const struct sign_request *request)
{
	switch (request->kind) {
	case SIGN_RSA:
		return EVP_PKEY_is_a(key, "RSA") &&
		       is_digest_info(request->octets, request->length);
	case SIGN_RSA_PSS:
		return EVP_PKEY_is_a(key, "RSA") &&
		       signer_is_pss(request->octets, request->length,
			       EVP_PKEY_get_bits(key));
	case SIGN_ECDSA:
		return EVP_PKEY_is_a(key, "EC") && is_digest(request->length);
	default:
		return false;
	}
}

static int
padding_of(uint32_t kind)
{
	return kind == SIGN_RSA ? RSA_PKCS1_PADDING : RSA_NO_PADDING;
}

size_t
signer_sign(EVP_PKEY *key, const struct sign_request *request,
	uint8_t octets[SIGN_OCTETS_MAX])
{
	size_t length = SIGN_OCTETS_MAX;

	if (request->length > SIGN_OCTETS_MAX || !may_sign(key, request))
		return 0;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
	if (context == NULL || EVP_PKEY_sign_init(context) != 1 ||
		(request->kind != SIGN_ECDSA &&
			EVP_PKEY_CTX_set_rsa_padding(
				context, padding_of(request->kind)) != 1) ||
		EVP_PKEY_sign(context, octets, &length, request->octets,
			request->length) != 1)
		length = 0;
	EVP_PKEY_CTX_free(context);
	return length;
}
