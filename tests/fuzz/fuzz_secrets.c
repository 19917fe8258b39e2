/* A record of users/secrets.cdb: what was read packs into the same octets. */
#include "tools/secrets.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	stralloc again = STRALLOC_ZERO;
	struct secret secret;

	if (secrets_unpack(data, size, &secret) < 0)
		return 0;
	assert(strlen(secret.hash) < sizeof secret.hash);
	assert(strlen(secret.password) < sizeof secret.password);
	assert(secrets_pack(&secret, &again) == 0);
	if (data[0] == 2)
		assert(again.len == size && memcmp(again.s, data, size) == 0);
	stralloc_free(&again);
	return 0;
}
