#ifndef POP3D_NUMBER_H
#define POP3D_NUMBER_H

/*
 * Decimal numbers as the client and file names spell them: digits alone, at
 * least one, no sign, no space, no overflow.
 */

#include <stddef.h>
#include <stdint.h>

/* Returns 1 with *number, or 0 if text[0..length) is not such a number. */
static inline int
pop3_number(const char *text, size_t length, uint64_t *number)
{
	uint64_t value = 0;

	if (length == 0)
		return 0;
	for (size_t at = 0; at < length; at++) {
		if (text[at] < '0' || text[at] > '9')
			return 0;
		uint64_t digit = (uint64_t)(text[at] - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return 0;
		value = value * 10 + digit;
	}
	*number = value;
	return 1;
}

#endif
