#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>
#include "lib/base64.h"
#include "tools/sasl.h"

/* Where no message of a mechanism can be longer. */
#define RESPONSES_MAX 4

void
sasl_start(struct sasl *sasl, const struct auth_place *place,
	const struct auth_begin *begin)
{
	memset(sasl, 0, sizeof *sasl);
	sasl->place = place;
	sasl->begin = begin;
	sasl->exists = AUTH_NO;
}

void
sasl_end(struct sasl *sasl)
{
	explicit_bzero(sasl, sizeof *sasl);
}

static enum sasl_next
challenge(struct auth_message *reply, const void *octets, size_t len)
{
	reply->magic = AUTH_MAGIC;
	reply->kind = AUTH_CHALLENGE;
	reply->verdict = 0;
	reply->length = (uint32_t)len;
	if (len > 0)
		memcpy(reply->octets, octets, len);
	return SASL_CHALLENGE;
}

static enum sasl_next
prompt(struct auth_message *reply, const char *text)
{
	return challenge(reply, text, strlen(text));
}

/* Keeps a name. False if there is none, or one that no account has. */
static bool
take_name(struct sasl *sasl, const void *octets, size_t len)
{
	if (len == 0 || len >= sizeof sasl->name || memchr(octets, 0, len))
		return false;
	memcpy(sasl->name, octets, len);
	sasl->name[len] = 0;
	return true;
}

/* Keeps a password. One that is too long is nobody's, but no error. */
static bool
take_password(struct sasl *sasl, const void *octets, size_t len)
{
	if (len > 0 && memchr(octets, 0, len) != NULL)
		return false;
	if (len == 0 || len >= sizeof sasl->password) {
		sasl->cannot_be = true;
		len = 0;
	}
	if (len > 0)
		memcpy(sasl->password, octets, len);
	sasl->password[len] = 0;
	return true;
}

/* Nobody logs in for another: as whom is left out, or the same name. */
static bool
is_oneself(const char *authorize_as, size_t len, const char *name)
{
	return len == 0 || (len == strlen(name) &&
				   strncasecmp(authorize_as, name, len) == 0);
}

static enum sasl_next
take_plain(struct sasl *sasl, const char *octets, size_t len)
{
	const char *end = octets + len;
	const char *name = memchr(octets, 0, len);
	const char *password =
		name == NULL ? NULL
			     : memchr(name + 1, 0, (size_t)(end - name - 1));

	if (password == NULL ||
		!take_name(sasl, name + 1, (size_t)(password - name - 1)) ||
		!take_password(
			sasl, password + 1, (size_t)(end - password - 1)))
		return SASL_MALFORMED;
	if (!is_oneself(octets, (size_t)(name - octets), sasl->name)) {
		sasl->cannot_be = true;
		sasl->reason = "for somebody else";
	}
	return SASL_READY;
}

static enum sasl_next
take_login(struct sasl *sasl, const void *octets, size_t len,
	struct auth_message *reply)
{
	if (octets == NULL)
		return prompt(reply, "Username:");
	if (sasl->name[0] == 0)
		return take_name(sasl, octets, len) ? prompt(reply, "Password:")
						    : SASL_MALFORMED;
	return take_password(sasl, octets, len) ? SASL_READY : SASL_MALFORMED;
}

/* "name digest", as CRAM-MD5 and APOP have it. */
static enum sasl_next
take_digest(struct sasl *sasl, const char *octets, size_t len)
{
	const size_t digits = 2 * DIGEST_MD5;

	if (len < digits + 2 || octets[len - digits - 1] != ' ' ||
		!take_name(sasl, octets, len - digits - 1))
		return SASL_MALFORMED;
	for (size_t i = 0; i < digits; i++) {
		char c = octets[len - digits + i];

		if (c >= 'A' && c <= 'F')
			c = (char)(c - 'A' + 'a');
		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return SASL_MALFORMED;
		sasl->digest[i] = c;
	}
	sasl->digest[digits] = 0;
	return SASL_READY;
}

static enum sasl_next
take_cram(struct sasl *sasl, const void *octets, size_t len,
	struct auth_message *reply)
{
	uint64_t random[2];

	/* The server speaks first. */
	if (sasl->challenge[0] != 0)
		return take_digest(sasl, octets, len);
	if (octets != NULL)
		return SASL_MALFORMED;
	if (getrandom(random, sizeof random, 0) != sizeof random)
		return SASL_TEMPORARY;
	snprintf(sasl->challenge, sizeof sasl->challenge,
		"<%016llx%016llx.%lld@%.255s>", (unsigned long long)random[0],
		(unsigned long long)random[1], (long long)time(NULL),
		sasl->place->settings->me);
	return prompt(reply, sasl->challenge);
}

static enum sasl_next
take_scram_first(struct sasl *sasl, const void *octets, size_t len,
	struct auth_message *reply)
{
	char nonce[SCRAM_OUR_NONCE + 1];
	uint8_t random[SCRAM_OUR_NONCE / 4 * 3];

	sasl->scram.is_plus = sasl->begin->mechanism == AUTH_SCRAM_SHA_256_PLUS;
	enum scram_result result = scram_take_first(
		&sasl->scram, &sasl->begin->channel, octets, len);
	if (result == SCRAM_MALFORMED ||
		!take_name(sasl, sasl->scram.name, strlen(sasl->scram.name)))
		return SASL_MALFORMED;
	if (result == SCRAM_REFUSED) {
		sasl->cannot_be = true;
		sasl->reason = "channel binding";
		return SASL_READY;
	}
	if (!is_oneself(sasl->scram.authorize_as,
		    strlen(sasl->scram.authorize_as), sasl->name)) {
		sasl->cannot_be = true;
		sasl->reason = "for somebody else";
	}
	sasl->exists =
		auth_find(sasl->place, sasl->name, &sasl->secret, sasl->key);
	if (sasl->exists == AUTH_TEMPORARY ||
		getrandom(random, sizeof random, 0) != sizeof random)
		return SASL_TEMPORARY;
	base64_write(nonce, sizeof nonce, random, sizeof random);
	return challenge(reply, sasl->scram.first_reply,
		scram_write_first(&sasl->scram, &sasl->secret.verifier, nonce));
}

static enum sasl_next
take_scram(struct sasl *sasl, const void *octets, size_t len,
	struct auth_message *reply)
{
	if (octets == NULL)
		return challenge(reply, NULL, 0);
	if (sasl->name[0] == 0)
		return take_scram_first(sasl, octets, len, reply);
	if (len == 0 || len > sizeof sasl->final)
		return SASL_MALFORMED;
	memcpy(sasl->final, octets, len);
	sasl->final_len = len;
	return SASL_READY;
}

static enum sasl_next
take_external(struct sasl *sasl, const void *octets, size_t len,
	struct auth_message *reply)
{
	const char *identity = sasl->begin->channel.identity;

	if (octets == NULL)
		return challenge(reply, NULL, 0);
	if (*identity == 0 || (len > 0 && memchr(octets, 0, len) != NULL) ||
		!take_name(sasl, identity, strlen(identity)))
		return SASL_MALFORMED;
	sasl->cannot_be = !is_oneself(octets, len, identity);
	return SASL_READY;
}

enum sasl_next
sasl_take(struct sasl *sasl, const void *octets, size_t len,
	struct auth_message *reply)
{
	if (sasl->responses++ >= RESPONSES_MAX)
		return SASL_MALFORMED;
	switch (sasl->begin->mechanism) {
	case AUTH_PLAIN:
		if (octets == NULL)
			return challenge(reply, NULL, 0);
		return take_plain(sasl, octets, len);
	case AUTH_LOGIN:
		return take_login(sasl, octets, len, reply);
	case AUTH_CRAM_MD5:
		return take_cram(sasl, octets, len, reply);
	case AUTH_SCRAM_SHA_256:
	case AUTH_SCRAM_SHA_256_PLUS:
		return take_scram(sasl, octets, len, reply);
	case AUTH_EXTERNAL:
		return take_external(sasl, octets, len, reply);
	case AUTH_APOP:
		if (octets == NULL || sasl->begin->timestamp[0] == 0)
			return SASL_MALFORMED;
		return take_digest(sasl, octets, len);
	default:
		return SASL_MALFORMED;
	}
}

static enum auth_verdict
check_digest(struct sasl *sasl)
{
	const struct auth_begin *begin = sasl->begin;
	uint8_t digest[DIGEST_MD5];
	char digits[2 * DIGEST_MD5 + 1];

	sasl->exists =
		auth_find(sasl->place, sasl->name, &sasl->secret, sasl->key);
	if (sasl->exists == AUTH_TEMPORARY)
		return AUTH_TEMPORARY;
	/* Without a password the work is the same, and the answer no. */
	const char *password = sasl->secret.password;
	if (begin->mechanism == AUTH_APOP)
		digest_md5(digest, begin->timestamp, strlen(begin->timestamp),
			password, strlen(password));
	else
		digest_hmac_md5(digest, password, strlen(password),
			sasl->challenge, strlen(sasl->challenge));
	digest_hex(digits, digest, sizeof digest);
	bool is_right = digest_is_same(digits, sasl->digest, sizeof digits);
	if (sasl->exists == AUTH_YES && *password == 0)
		sasl->reason = "no password is kept";
	return is_right && sasl->exists == AUTH_YES && *password != 0 ? AUTH_YES
								      : AUTH_NO;
}

static enum auth_verdict
check_scram(struct sasl *sasl)
{
	/* Refused at its first message. */
	if (sasl->final_len == 0)
		return AUTH_NO;
	enum scram_result result = scram_take_final(&sasl->scram,
		&sasl->secret.verifier, sasl->final, sasl->final_len);
	if (result == SCRAM_MALFORMED)
		return AUTH_MALFORMED;
	return result == SCRAM_OK && sasl->exists == AUTH_YES &&
			       sasl->secret.has_verifier && !sasl->cannot_be
		       ? AUTH_YES
		       : AUTH_NO;
}

enum auth_verdict
sasl_check(struct sasl *sasl)
{
	enum auth_verdict verdict;

	switch (sasl->begin->mechanism) {
	case AUTH_CRAM_MD5:
	case AUTH_APOP:
		return check_digest(sasl);
	case AUTH_SCRAM_SHA_256:
	case AUTH_SCRAM_SHA_256_PLUS:
		return check_scram(sasl);
	case AUTH_EXTERNAL:
		verdict = auth_find(
			sasl->place, sasl->name, &sasl->secret, sasl->key);
		break;
	default:
		verdict = auth_check(sasl->place, sasl->name, sasl->password,
			sasl->begin->client, sasl->key);
		break;
	}
	return verdict == AUTH_YES && sasl->cannot_be ? AUTH_NO : verdict;
}

bool
sasl_farewell(const struct sasl *sasl, struct auth_message *reply)
{
	char message[SCRAM_MESSAGE_MAX];

	if (sasl->begin->mechanism != AUTH_SCRAM_SHA_256 &&
		sasl->begin->mechanism != AUTH_SCRAM_SHA_256_PLUS)
		return false;
	challenge(reply, message, scram_write_final(&sasl->scram, message));
	return true;
}
