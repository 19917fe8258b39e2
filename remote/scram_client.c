#include "remote/scram_client.h"
#include <stdio.h>
#include <string.h>
#include "lib/base64.h"

/* "n,," in base64: no binding, and none to be had. */
#define HEADER "n,,"
#define HEADER_BASE64 "biws"

/* What the server's first message says. */
struct offer {
	char nonce[SCRAM_CLIENT_NONCE + 1];
	uint8_t salt[SCRAM_CLIENT_SALT];
	size_t salt_len;
	uint32_t rounds;
};

/* saslname (RFC 5802 section 5.1): a comma and an equals sign are written
 * otherwise. */
static int
write_name(char *to, size_t size, const char *user)
{
	size_t used = 0;

	for (; *user != 0; user++) {
		char one[4] = {*user};

		if (*user == ',')
			memcpy(one, "=2C", 4);
		else if (*user == '=')
			memcpy(one, "=3D", 4);
		if (used + strlen(one) >= size)
			return -1;
		memcpy(to + used, one, strlen(one) + 1);
		used += strlen(one);
	}
	return used > 0 ? 0 : -1;
}

size_t
scram_client_first(struct scram_client *scram, const char *user,
	const char *own_nonce, char message[SCRAM_CLIENT_MESSAGE])
{
	char name[SCRAM_CLIENT_MESSAGE - 64];

	if (write_name(name, sizeof name, user) < 0 ||
		strlen(own_nonce) != SCRAM_CLIENT_OWN)
		return 0;
	memcpy(scram->nonce, own_nonce, SCRAM_CLIENT_OWN + 1);
	snprintf(scram->first_bare, sizeof scram->first_bare, "n=%s,r=%s", name,
		own_nonce);
	int len = snprintf(
		message, SCRAM_CLIENT_MESSAGE, HEADER "%s", scram->first_bare);
	return len > 0 && len < SCRAM_CLIENT_MESSAGE ? (size_t)len : 0;
}

/* Takes "x=value" from the front, up to a comma or the end. *value points to it.
 * Returns its length, or 0. */
static size_t
take_attribute(const char **at, char letter, const char **value)
{
	const char *text = *at;

	if (text[0] != letter || text[1] != '=')
		return 0;
	size_t len = strcspn(text + 2, ",");
	*value = text + 2;
	*at = text + 2 + len + (text[2 + len] == ',');
	return len;
}

static bool
read_rounds(const char *text, size_t len, uint32_t *rounds)
{
	*rounds = 0;
	if (len > 9)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*rounds = *rounds * 10 + (uint32_t)(text[i] - '0');
	}
	return *rounds >= SCRAM_CLIENT_ROUNDS_MIN &&
	       *rounds <= SCRAM_CLIENT_ROUNDS_MAX;
}

static bool
read_offer(
	const struct scram_client *scram, const char *text, struct offer *offer)
{
	const char *value;
	size_t len = take_attribute(&text, 'r', &value);

	/* ours is in front, and something of the server's follows */
	if (len <= SCRAM_CLIENT_OWN || len > SCRAM_CLIENT_NONCE ||
		memcmp(value, scram->nonce, SCRAM_CLIENT_OWN) != 0)
		return false;
	memcpy(offer->nonce, value, len);
	offer->nonce[len] = 0;
	len = take_attribute(&text, 's', &value);
	if (len == 0)
		return false;
	ssize_t salt = base64_read(offer->salt, sizeof offer->salt, value, len);
	if (salt <= 0)
		return false;
	offer->salt_len = (size_t)salt;
	len = take_attribute(&text, 'i', &value);
	/* what may follow are extensions, all of them optional */
	return len > 0 && read_rounds(value, len, &offer->rounds);
}

/* The proof, and the signature that the server must give (RFC 5802 section 3). */
static void
make_proof(struct scram_client *scram, const char *password,
	const struct offer *offer, const char *authorized,
	uint8_t proof[DIGEST_SHA256])
{
	uint8_t salted[DIGEST_SHA256], key[DIGEST_SHA256],
		stored[DIGEST_SHA256];
	size_t len = strlen(authorized);

	digest_pbkdf2_sha256(salted, password, strlen(password), offer->salt,
		offer->salt_len, offer->rounds);
	digest_hmac_sha256(proof, salted, sizeof salted, "Client Key", 10);
	digest_sha256(stored, proof, DIGEST_SHA256);
	digest_hmac_sha256(key, stored, sizeof stored, authorized, len);
	for (size_t i = 0; i < DIGEST_SHA256; i++)
		proof[i] ^= key[i];
	digest_hmac_sha256(key, salted, sizeof salted, "Server Key", 10);
	digest_hmac_sha256(
		scram->server_signature, key, sizeof key, authorized, len);
	explicit_bzero(salted, sizeof salted);
	explicit_bzero(stored, sizeof stored);
	explicit_bzero(key, sizeof key);
}

size_t
scram_client_final(struct scram_client *scram, const char *password,
	const char *server_first, size_t len,
	char message[SCRAM_CLIENT_MESSAGE])
{
	char server[SCRAM_CLIENT_SERVER_FIRST + 1];
	char without[SCRAM_CLIENT_NONCE + 16];
	char authorized[SCRAM_CLIENT_MESSAGE + sizeof server + sizeof without];
	char proof_text[BASE64_TEXT(DIGEST_SHA256) + 1];
	uint8_t proof[DIGEST_SHA256];
	struct offer offer;

	if (len > SCRAM_CLIENT_SERVER_FIRST ||
		memchr(server_first, 0, len) != NULL)
		return 0;
	memcpy(server, server_first, len);
	server[len] = 0;
	if (!read_offer(scram, server, &offer))
		return 0;
	snprintf(without, sizeof without, "c=" HEADER_BASE64 ",r=%s",
		offer.nonce);
	snprintf(authorized, sizeof authorized, "%s,%s,%s", scram->first_bare,
		server, without);
	make_proof(scram, password, &offer, authorized, proof);
	base64_write(proof_text, sizeof proof_text, proof, sizeof proof);
	int made = snprintf(
		message, SCRAM_CLIENT_MESSAGE, "%s,p=%s", without, proof_text);
	return made > 0 && made < SCRAM_CLIENT_MESSAGE ? (size_t)made : 0;
}

bool
scram_client_check(
	const struct scram_client *scram, const char *server_final, size_t len)
{
	uint8_t signature[DIGEST_SHA256];

	/* extensions may follow the signature */
	const char *comma = memchr(server_final, ',', len);
	if (comma != NULL)
		len = (size_t)(comma - server_final);
	return len > 2 && memcmp(server_final, "v=", 2) == 0 &&
	       base64_read(signature, sizeof signature, server_final + 2,
		       len - 2) == DIGEST_SHA256 &&
	       digest_is_same(
		       signature, scram->server_signature, DIGEST_SHA256);
}
