#include <idn2.h>
#include <stdio.h>
#include <string.h>
#include "lib/address.h"
#include "remote/idn.h"

int
idn_to_ascii(const char *domain, char ascii[IDN_ASCII_MAX + 1],
	int *is_temporary, char *why, size_t size)
{
	uint8_t *made = NULL;
	int result = idn2_lookup_u8((const uint8_t *)domain, &made,
		IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);

	*is_temporary = result == IDN2_MALLOC;
	if (result != IDN2_OK) {
		snprintf(why, size, "%s", idn2_strerror(result));
		return -1;
	}
	const char *text = (const char *)made;
	size_t len = strlen(text);
	/* full stops of other scripts become dots only now */
	int is_domain = len <= IDN_ASCII_MAX && domain_valid(text, len);
	if (is_domain)
		memcpy(ascii, text, len + 1);
	else
		snprintf(why, size, "that is not a domain");
	idn2_free(made);
	return is_domain ? 0 : -1;
}
