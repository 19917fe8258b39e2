/*
 * Records of the user database: what is accepted must be packed again to the
 * same octets.
 */
#include "lib/accounts.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char packed[2048];
	struct account account;
	size_t length = 0;
	/* A block of its own, so that reading past it is seen. */
	unsigned char *octets = malloc(size > 0 ? size : 1);

	if (octets == NULL)
		return 0;
	memcpy(octets, data, size);
	if (account_unpack(octets, size, &account) == 0) {
		assert(account.home[0] == '/');
		assert(account.maildir[0] != '/' && account.maildir[0] != 0);
		assert(account.uid != 0 && account.gid != 0);
		assert(strstr(account.home, "/../") == NULL);
		assert(strstr(account.maildir, "/../") == NULL);
		assert(account_pack(&account, packed, sizeof packed, &length) ==
			0);
		assert(length == size);
		assert(memcmp(packed, octets, size) == 0);
	}
	free(octets);
	return 0;
}
