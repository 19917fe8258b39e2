#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "lib/ident.h"

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

#define TIME_LENGTH 11

static void
write_base32(char *into, unsigned length, uint64_t value)
{
	while (length-- > 0) {
		into[length] = alphabet[value & 31];
		value >>= 5;
	}
}

int
ident_make(char id[IDENT_LENGTH + 1])
{
	struct timespec now;
	uint64_t random;

	if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
		return -1;
	clock_gettime(CLOCK_REALTIME, &now);
	write_base32(id, TIME_LENGTH,
		(uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	write_base32(id + TIME_LENGTH, IDENT_LENGTH - TIME_LENGTH, random);
	id[IDENT_LENGTH] = 0;
	return 0;
}

int
ident_valid(const char *text, size_t length)
{
	if (length != IDENT_LENGTH)
		return 0;
	for (size_t i = 0; i < length; i++)
		if (text[i] == 0 || strchr(alphabet, text[i]) == NULL)
			return 0;
	return 1;
}

uint64_t
ident_time_us(const char *id)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < TIME_LENGTH; i++)
		value = value << 5 |
			(uint64_t)(strchr(alphabet, id[i]) - alphabet);
	return value;
}
