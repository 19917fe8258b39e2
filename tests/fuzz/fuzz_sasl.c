/*
 * What a client says in an exchange: the first octet chooses the mechanism and
 * what is known of its TLS, the rest is its messages, divided by 0xfe. Nobody
 * ever logs in, for there is no account; what is read of a message is text, and
 * fits.
 */
#include "lib/base64.h"
#include "tools/sasl.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_base64(const uint8_t *data, size_t size)
{
	uint8_t *octets = malloc(size + 1);
	char *text = malloc(size + 8);

	assert(octets != NULL && text != NULL);
	ssize_t len = base64_read(octets, size, (const char *)data, size);
	if (len >= 0) {
		assert(base64_write(text, size + 8, octets, (size_t)len) ==
			size);
		assert(memcmp(text, data, size) == 0);
	}
	free(octets);
	free(text);
}

/* A message in memory of its own length. */
static enum sasl_next
take(struct sasl *sasl, const uint8_t *data, size_t len,
	struct auth_message *reply)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	assert(copy != NULL);
	memcpy(copy, data, len);
	enum sasl_next next = sasl_take(sasl, copy, len, reply);
	free(copy);
	return next;
}

static void
converse(struct sasl *sasl, const uint8_t *data, size_t size,
	struct auth_message *reply)
{
	enum sasl_next next = SASL_CHALLENGE;

	while (next == SASL_CHALLENGE) {
		const uint8_t *end = memchr(data, 0xfe, size);
		size_t len = end != NULL ? (size_t)(end - data) : size;

		next = take(sasl, data, len, reply);
		assert(strlen(sasl->name) < sizeof sasl->name);
		if (next == SASL_CHALLENGE) {
			assert(reply->kind == AUTH_CHALLENGE);
			assert(reply->length <= SCRAM_MESSAGE_MAX);
		}
		if (end == NULL)
			break;
		data += len + 1;
		size -= len + 1;
	}
	/* Hashing a password is too slow for this. */
	if (next != SASL_READY || sasl->begin->mechanism == AUTH_PLAIN ||
		sasl->begin->mechanism == AUTH_LOGIN)
		return;
	enum auth_verdict verdict = sasl_check(sasl);
	assert(verdict == AUTH_NO || verdict == AUTH_MALFORMED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char none[] = "", me[] = "host.test";
	struct home home = {.path = "/nonexistent"};
	struct auth_settings settings = {.me = me, .program = none};
	struct auth_place place = {.home = &home, .settings = &settings};
	struct auth_message reply = {0};
	struct auth_begin begin = {.timestamp = "<1@host.test>"};
	struct sasl sasl;

	if (size == 0 || size > AUTH_OCTETS_MAX)
		return 0;
	check_base64(data + 1, size - 1);
	begin.mechanism = 1u + data[0] % AUTH_MECHANISMS;
	if (data[0] & 0x40)
		begin.channel.exporter_len = 32;
	if (data[0] & 0x20)
		memcpy(begin.channel.identity, "a@x", 4);
	sasl_start(&sasl, &place, &begin);
	if (data[0] & 0x80) {
		/* Without an initial response. */
		if (sasl_take(&sasl, NULL, 0, &reply) != SASL_CHALLENGE)
			return 0;
	}
	converse(&sasl, data + 1, size - 1, &reply);
	sasl_end(&sasl);
	return 0;
}
