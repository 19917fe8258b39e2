/* Lists of addresses: whatever is given can be written and read again. */
#include "lib/addresslist.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
check(void *context, const struct path *path)
{
	char text[ADDRESS_TEXT_MAX + 1];
	size_t i, len = address_write(text, sizeof text, path);
	struct path again;

	for (i = 0; i < len; i++)
		assert((unsigned char)text[i] >= 32 && text[i] != 127);
	assert(address_mailbox_scan(text, len, *(unsigned *)context, &again) ==
		0);
	assert(again.kind == path->kind);
	assert(strcmp(again.local, path->local) == 0);
	assert(strcmp(again.domain, path->domain) == 0);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned flags;
	size_t bad_at = 0;

	if (size == 0)
		return 0;
	flags = data[0] & 15;
	addresslist_read((const char *)data + 1, size - 1, flags, check, &flags,
		&bad_at);
	assert(bad_at <= size - 1);
	return 0;
}
