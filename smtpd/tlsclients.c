#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "smtpd/tlsclients.h"

#define DIGITS 64 /* of a SHA-256 */

/* The line's fingerprint without colons. False if it is none. */
static bool
take_fingerprint(const char *line, char digits[DIGITS + 1])
{
	size_t count = 0;

	for (; *line != 0; line++) {
		if (*line == ':' && count > 0 && count % 2 == 0)
			continue;
		if (strchr("0123456789abcdefABCDEF", *line) == NULL ||
			count == DIGITS)
			return false;
		digits[count++] = *line;
	}
	digits[count] = 0;
	return count == DIGITS;
}

static bool
is_identity(const char *line)
{
	for (const char *at = line; *at != 0; at++)
		if ((unsigned char)*at <= 32 || (unsigned char)*at > 126)
			return false;
	return strpbrk(line, "@.") != NULL;
}

int
tlsclients_check(const struct setting_list *list, char *why, size_t size)
{
	char digits[DIGITS + 1];

	for (size_t i = 0; i < list->count; i++) {
		if (take_fingerprint(list->line[i], digits) ||
			is_identity(list->line[i]))
			continue;
		snprintf(why, size,
			"control/tlsclients line %zu: expected the SHA-256 of "
			"a certificate, 64 hexadecimal digits, or an address "
			"or name with a dot, found \"%.80s\"",
			list->number[i], list->line[i]);
		return -1;
	}
	return 0;
}

size_t
tlsclients_find(const struct setting_list *list, const char *fingerprint,
	const char *identity)
{
	char digits[DIGITS + 1];

	for (size_t i = 0; i < list->count; i++) {
		const char *wanted = identity, *line = list->line[i];

		if (take_fingerprint(line, digits)) {
			wanted = fingerprint;
			line = digits;
		}
		if (*wanted != 0 && strcasecmp(line, wanted) == 0)
			return list->number[i];
	}
	return 0;
}
