#include <stdio.h>
#include <string.h>
#include "lib/base64.h"
#include "lib/utf8.h"
#include "tools/scram.h"

/* The longest proof and channel binding, as base64. */
#define PROOF_TEXT BASE64_TEXT(DIGEST_SHA256)
#define BINDING_MAX (SCRAM_FIRST_MAX + 64)

/* What is left of a message. */
struct text {
	const char *at;
	size_t len;
};

/* Takes the attribute "x=value" from the front, up to a comma or the end. */
static bool
take_attribute(struct text *text, char letter, struct text *value)
{
	if (text->len < 2 || text->at[0] != letter || text->at[1] != '=')
		return false;
	const char *comma = memchr(text->at, ',', text->len);
	size_t whole = comma != NULL ? (size_t)(comma - text->at) : text->len;
	value->at = text->at + 2;
	value->len = whole - 2;
	whole += comma != NULL;
	text->at += whole;
	text->len -= whole;
	return true;
}

/* saslname (RFC 5802 section 7): "=2C" is a comma, "=3D" an equals sign. */
static bool
decode_name(char into[AUTH_NAME_MAX], const struct text *value)
{
	size_t used = 0;

	if (value->len == 0 || !utf8_valid(value->at, value->len))
		return false;
	for (size_t at = 0; at < value->len; at++) {
		char c = value->at[at];

		if (c == '=' && value->len - at >= 3 &&
			memcmp(value->at + at, "=2C", 3) == 0) {
			c = ',';
			at += 2;
		} else if (c == '=' && value->len - at >= 3 &&
			   memcmp(value->at + at, "=3D", 3) == 0) {
			at += 2;
		} else if (c == '=') {
			return false;
		}
		if ((unsigned char)c < 32 || c == 127 ||
			used + 1 >= AUTH_NAME_MAX)
			return false;
		into[used++] = c;
	}
	into[used] = 0;
	return true;
}

static bool
is_nonce(const struct text *value)
{
	if (value->len == 0 || value->len > SCRAM_CLIENT_NONCE_MAX)
		return false;
	for (size_t i = 0; i < value->len; i++)
		if (value->at[i] < 33 || value->at[i] > 126)
			return false;
	return true;
}

/* Extensions that we do not know are optional, and passed over; a mandatory one
 * would have come first, as "m=". */
static bool
are_extensions(struct text text)
{
	struct text value;

	while (text.len > 0) {
		char letter = text.at[0];

		if (!((letter >= 'a' && letter <= 'z') ||
			    (letter >= 'A' && letter <= 'Z')) ||
			letter == 'm' ||
			!take_attribute(&text, letter, &value) ||
			value.len == 0)
			return false;
	}
	return true;
}

/* The flag of channel binding, up to its comma. */
static enum scram_result
take_flag(struct scram *scram, const struct auth_channel *channel,
	struct text *text)
{
	bool can_bind = channel->exporter_len > 0 || channel->end_point_len > 0;
	struct text type;

	scram->binding = NULL;
	scram->binding_len = 0;
	if (text->len >= 2 && (text->at[0] == 'n' || text->at[0] == 'y') &&
		text->at[1] == ',') {
		bool is_y = text->at[0] == 'y';

		text->at += 2;
		text->len -= 2;
		if (scram->is_plus)
			return SCRAM_REFUSED;
		return is_y && can_bind ? SCRAM_REFUSED : SCRAM_OK;
	}
	if (memchr(text->at, ',', text->len) == NULL ||
		!take_attribute(text, 'p', &type))
		return SCRAM_MALFORMED;
	if (!scram->is_plus)
		return SCRAM_REFUSED;
	if (type.len == 12 && memcmp(type.at, "tls-exporter", 12) == 0) {
		scram->binding = channel->exporter;
		scram->binding_len = channel->exporter_len;
	} else if (type.len == 20 &&
		   memcmp(type.at, "tls-server-end-point", 20) == 0) {
		scram->binding = channel->end_point;
		scram->binding_len = channel->end_point_len;
	}
	return scram->binding_len > 0 ? SCRAM_OK : SCRAM_REFUSED;
}

enum scram_result
scram_take_first(struct scram *scram, const struct auth_channel *channel,
	const void *octets, size_t len)
{
	struct text text = {octets, len}, value;

	if (len == 0 || len > SCRAM_FIRST_MAX || memchr(octets, 0, len) != NULL)
		return SCRAM_MALFORMED;
	enum scram_result result = take_flag(scram, channel, &text);
	if (result == SCRAM_MALFORMED)
		return result;
	scram->authorize_as[0] = 0;
	if (text.len >= 1 && text.at[0] == ',') {
		text.at++;
		text.len--;
	} else if (memchr(text.at, ',', text.len) == NULL ||
		   !take_attribute(&text, 'a', &value) ||
		   /* Empty is what some clients send for none. */
		   (value.len > 0 &&
			   !decode_name(scram->authorize_as, &value))) {
		return SCRAM_MALFORMED;
	}
	size_t header = len - text.len;
	memcpy(scram->gs2_header, octets, header);
	scram->gs2_header[header] = 0;
	memcpy(scram->first_bare, text.at, text.len);
	scram->first_bare[text.len] = 0;
	if (!take_attribute(&text, 'n', &value) ||
		!decode_name(scram->name, &value) ||
		!take_attribute(&text, 'r', &value) || !is_nonce(&value) ||
		!are_extensions(text))
		return SCRAM_MALFORMED;
	memcpy(scram->nonce, value.at, value.len);
	scram->nonce[value.len] = 0;
	return result;
}

size_t
scram_write_first(struct scram *scram, const struct scram_verifier *verifier,
	const char *our_nonce)
{
	char salt[BASE64_TEXT(SCRAM_SALT) + 1];
	size_t used = strlen(scram->nonce);

	snprintf(scram->nonce + used, sizeof scram->nonce - used, "%s",
		our_nonce);
	base64_write(salt, sizeof salt, verifier->salt, SCRAM_SALT);
	int made = snprintf(scram->first_reply, sizeof scram->first_reply,
		"r=%s,s=%s,i=%u", scram->nonce, salt,
		(unsigned)verifier->iterations);
	return (size_t)made;
}

/* Whether c= is the header of the first message, and what binds the channel. */
static bool
binds(const struct scram *scram, const struct text *value)
{
	uint8_t got[BINDING_MAX];
	size_t header = strlen(scram->gs2_header);
	ssize_t len = base64_read(got, sizeof got, value->at, value->len);

	return len >= 0 && (size_t)len == header + scram->binding_len &&
	       memcmp(got, scram->gs2_header, header) == 0 &&
	       (scram->binding_len == 0 ||
		       digest_is_same(got + header, scram->binding,
			       scram->binding_len));
}

/* Both signatures are of this: the three messages, the proof left out. */
static size_t
write_authorized(const struct scram *scram, const char *final, size_t len,
	char *into, size_t size)
{
	int made = snprintf(into, size, "%s,%s,%.*s", scram->first_bare,
		scram->first_reply, (int)len, final);

	return made < 0 || (size_t)made >= size ? 0 : (size_t)made;
}

enum scram_result
scram_take_final(struct scram *scram, const struct scram_verifier *verifier,
	const void *octets, size_t len)
{
	char authorized[3 * SCRAM_FIRST_MAX + BASE64_TEXT(BINDING_MAX)];
	struct text text = {octets, len}, binding, nonce, proof_text;
	uint8_t proof[DIGEST_SHA256], key[DIGEST_SHA256];

	if (len == 0 || memchr(octets, 0, len) != NULL ||
		!take_attribute(&text, 'c', &binding) ||
		!take_attribute(&text, 'r', &nonce))
		return SCRAM_MALFORMED;
	/* The proof is the last attribute, extensions stand before it. */
	const char *before = text.at;
	while (text.len > 0 && text.at[0] != 'p')
		if (text.at[0] == 'm' ||
			!take_attribute(&text, text.at[0], &proof_text))
			return SCRAM_MALFORMED;
	if (!are_extensions(
		    (struct text){before, (size_t)(text.at - before)}) ||
		text.len != 2 + PROOF_TEXT)
		return SCRAM_MALFORMED;
	size_t without = len - text.len - 1;
	if (!take_attribute(&text, 'p', &proof_text) ||
		base64_read(proof, sizeof proof, proof_text.at,
			proof_text.len) != DIGEST_SHA256)
		return SCRAM_MALFORMED;
	size_t signed_len = write_authorized(
		scram, octets, without, authorized, sizeof authorized);
	if (signed_len == 0)
		return SCRAM_MALFORMED;
	digest_hmac_sha256(key, verifier->stored_key, DIGEST_SHA256, authorized,
		signed_len);
	for (size_t i = 0; i < DIGEST_SHA256; i++)
		key[i] ^= proof[i];
	digest_sha256(key, key, sizeof key);
	bool is_right =
		digest_is_same(key, verifier->stored_key, DIGEST_SHA256);
	digest_hmac_sha256(scram->signature, verifier->server_key,
		DIGEST_SHA256, authorized, signed_len);
	explicit_bzero(key, sizeof key);
	return is_right && binds(scram, &binding) &&
			       nonce.len == strlen(scram->nonce) &&
			       memcmp(nonce.at, scram->nonce, nonce.len) == 0
		       ? SCRAM_OK
		       : SCRAM_REFUSED;
}

size_t
scram_write_final(const struct scram *scram, char message[SCRAM_MESSAGE_MAX])
{
	memcpy(message, "v=", 2);
	return 2 + base64_write(message + 2, SCRAM_MESSAGE_MAX - 2,
			   scram->signature, DIGEST_SHA256);
}
