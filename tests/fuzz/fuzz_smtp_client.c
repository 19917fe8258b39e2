/*
 * Who the client is: the PROXY header and XCLIENT's argument. A header that is
 * whole is so with anything behind it, and is none when it is cut; an address that
 * is taken can be written and read again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "lib/proxy.h"
#include "smtpd/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_address(const struct network_address *address)
{
	struct network_address again;
	char text[NETWORK_TEXT_MAX];

	network_address_write(address, text);
	assert(network_address_scan(text, strlen(text), &again) == 0);
	assert(again.family == address->family);
	assert(memcmp(again.octet, address->octet, sizeof again.octet) == 0);
}

static void
proxy(const char *text, size_t size)
{
	struct proxy_header header, again;
	enum proxy_result result = proxy_scan(text, size, &header);

	if (result == PROXY_MORE)
		assert(size < PROXY_HEADER_MAX);
	if (result != PROXY_CLIENT && result != PROXY_UNKNOWN)
		return;
	assert(header.octets > 0 && header.octets <= size);
	assert(header.octets <= PROXY_HEADER_MAX);
	assert(proxy_scan(text, header.octets, &again) == result);
	assert(again.octets == header.octets);
	assert(proxy_scan(text, header.octets - 1, &again) == PROXY_MORE);
	if (result == PROXY_CLIENT) {
		check_address(&header.source);
		check_address(&header.destination);
	}
}

static void
check_text(const char *text)
{
	assert(strlen(text) <= SESSION_NAME_MAX);
	for (; *text != 0; text++)
		assert(*text >= 32 && *text < 127);
}

static void
xclient(const char *text, size_t size)
{
	struct network_address address;
	struct xclient got;
	const char *why = NULL;

	if (xclient_scan(&got, text, size, &why) < 0) {
		assert(why != NULL && *why != 0);
		return;
	}
	check_text(got.name);
	check_text(got.hello);
	check_text(got.login);
	assert(got.address[0] == 0 ||
		network_address_scan(
			got.address, strlen(got.address), &address) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A block of its own, so that reading past it is seen. */
	char *text = malloc(size > 0 ? size : 1);

	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	proxy(text, size);
	xclient(text, size);
	free(text);
	return 0;
}
