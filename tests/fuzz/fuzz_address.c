/*
 * Addresses: the first octet gives the flags, the rest is the text. What is
 * accepted must be written and read again as the same path.
 */
#include "lib/address.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct path *path, unsigned flags)
{
	char text[ADDRESS_TEXT_MAX + 1];
	struct path again;
	size_t i, len = address_write(text, sizeof text, path);

	assert(len <= ADDRESS_TEXT_MAX && text[len] == '\0');
	assert(path->local_len <= ADDRESS_LOCAL_MAX);
	assert(path->domain_len <= ADDRESS_DOMAIN_MAX);
	for (i = 0; i < len; i++)
		assert((unsigned char)text[i] >= 32 && text[i] != 127);
	assert(address_mailbox_scan(text, len, flags, &again) == 0);
	assert(again.kind == path->kind);
	assert(again.local_len == path->local_len);
	assert(again.domain_len == path->domain_len);
	assert(memcmp(again.local, path->local, path->local_len + 1) == 0);
	assert(memcmp(again.domain, path->domain, path->domain_len + 1) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned flags;
	struct path path;
	char *text;

	if (size == 0)
		return 0;
	flags = data[0] & 15;
	/* A block of its own, so that reading past it is seen. */
	text = malloc(size);
	if (text == NULL)
		return 0;
	size--;
	memcpy(text, data + 1, size);
	text = realloc(text, size > 0 ? size : 1);
	if (address_path_scan(text, size, flags, &path) > 0)
		check(&path, flags);
	if (address_mailbox_scan(text, size, flags, &path) == 0)
		check(&path, flags);
	assert(!(domain_valid(text, size) && domain_is_literal(text, size)));
	free(text);
	return 0;
}
