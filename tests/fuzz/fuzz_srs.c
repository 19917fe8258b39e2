/*
 * Rewritten addresses: the text is a sender, and an address to be undone. What is
 * written is an address of our domain that gives its sender back, until it is too
 * old; nothing else gives anything.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "local/srs.h"

#define NOW INT64_C(1800000000)
#define DAY 86400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_back(const struct srs *srs, const char *sender, const char *rewritten)
{
	char text[ADDRESS_TEXT_MAX + 1];
	struct path path, back, from;

	assert(address_mailbox_scan(
		       rewritten, strlen(rewritten), ADDRESS_UTF8, &path) == 0);
	assert(strcmp(path.domain, srs->domain) == 0);
	enum srs_result result = srs_reverse(srs, &path, NOW + 3 * DAY, text);
	assert(address_mailbox_scan(
		       sender, strlen(sender), ADDRESS_UTF8, &from) == 0);
	/* an SRS1 address of another's may hold what is none */
	if (strncasecmp(from.local, "SRS", 3) == 0)
		return;
	assert(result == SRS_OK);
	assert(address_mailbox_scan(text, strlen(text), ADDRESS_UTF8, &back) ==
		0);
	assert(strcmp(back.local, from.local) == 0);
	assert(strcmp(back.domain, from.domain) == 0);
	assert(srs_reverse(srs, &path, NOW + (SRS_DAYS + 1) * DAY, text) ==
		SRS_EXPIRED);
	path.local[6] ^= 1;
	assert(srs_reverse(srs, &path, NOW, text) == SRS_FORGED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct srs srs = {
		.domain = "f.test", .keys = 1, .key = {"0123456789abcdef"}};
	char rewritten[ADDRESS_TEXT_MAX + 1], why[200];
	struct srs keys = {.keys = 0};
	struct path path;
	char *text = malloc(size + 1);

	assert(text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	if (srs_forward(&srs, text, NOW, rewritten) > 0)
		check_back(&srs, text, rewritten);
	if (address_mailbox_scan(text, size, ADDRESS_UTF8, &path) == 0) {
		memcpy(path.domain, srs.domain, strlen(srs.domain) + 1);
		path.domain_len = strlen(srs.domain);
		enum srs_result result =
			srs_reverse(&srs, &path, NOW, rewritten);
		assert(result == SRS_NONE || result == SRS_FORGED ||
			result == SRS_EXPIRED ||
			strncasecmp(path.local, "SRS", 3) == 0);
	}
	if (srs_read_keys(&keys, text, size, why, sizeof why) == 0)
		assert(keys.keys > 0 && keys.keys <= SRS_KEYS_MAX);
	else
		assert(keys.keys == 0);
	free(text);
	return 0;
}
