#include "mail/harm.h"

#include <string.h>
#include <strings.h>

int
harm_is_address_field(const char *name, size_t len)
{
	static const char *const NAMES[] = {"From", "Sender", "Reply-To", "To",
		"Cc", "Bcc", "Resent-From", "Resent-Sender", "Resent-To",
		"Resent-Cc", "Resent-Bcc"};
	size_t i;

	for (i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		if (strlen(NAMES[i]) == len &&
			strncasecmp(NAMES[i], name, len) == 0)
			return 1;
	}
	return 0;
}

int
harm_in_body(const char *body, size_t len)
{
	const char *end = body + len;
	size_t count = 0;

	while (body < end) {
		body = memchr(body, ':', (size_t)(end - body));
		if (body == NULL)
			break;
		if (++count > HARM_COLONS)
			return 1;
		body++;
	}
	return 0;
}

/* The length of the name that the line begins with, if it is a field's of
 * addresses; else 0. */
static size_t
address_name(const char *line, size_t len)
{
	size_t at, name;

	for (at = 0; at < len && at < 20 && line[at] > ' ' && line[at] != ':';
		at++)
		;
	name = at;
	while (at < len && (line[at] == ' ' || line[at] == '\t'))
		at++;
	if (at == len || line[at] != ':')
		return 0;
	return harm_is_address_field(line, name) ? name : 0;
}

int
harm_in_message(const char *octets, size_t len)
{
	const char *at = octets, *end = octets + len;

	while (at < end) {
		const char *start = at;
		int is_field = address_name(at, (size_t)(end - at)) > 0;

		do {
			at = memchr(at, '\n', (size_t)(end - at));
			at = at == NULL ? end : at + 1;
		} while (is_field && at < end && (*at == ' ' || *at == '\t'));
		if (is_field && harm_in_body(start, (size_t)(at - start)))
			return 1;
	}
	return 0;
}
