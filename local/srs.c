#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "local/srs.h"
#include "lib/digest.h"

#define DAY_S 86400
/* Days are counted modulo this: two digits. */
#define DAYS 1024
#define HASH_DIGITS 8
#define TAG_OCTETS 5 /* "SRS0=" */

static const char DIGITS[] = "abcdefghijklmnopqrstuvwxyz234567";

/* --- keys --- */

static int
add_key(struct srs *srs, const char *key, size_t length, char *why, size_t size)
{
	if (length < SRS_KEY_MIN || length > SRS_KEY_MAX) {
		snprintf(why, size, "a key has %d to %d octets", SRS_KEY_MIN,
			SRS_KEY_MAX);
		return -1;
	}
	if (srs->keys == SRS_KEYS_MAX) {
		snprintf(why, size, "more than %d keys", SRS_KEYS_MAX);
		return -1;
	}
	for (size_t i = 0; i < length; i++)
		if (key[i] < 33 || key[i] > 126) {
			snprintf(why, size, "a key is printable ASCII");
			return -1;
		}
	memcpy(srs->key[srs->keys], key, length);
	srs->key[srs->keys++][length] = 0;
	return 0;
}

int
srs_read_keys(struct srs *srs, const char *text, size_t length, char *why,
	size_t size)
{
	const char *end = text + length;

	srs_forget(srs);
	while (text < end) {
		const char *lf = memchr(text, '\n', (size_t)(end - text));
		const char *last = lf != NULL ? lf : end;

		while (last > text && (last[-1] == ' ' || last[-1] == '\t' ||
					      last[-1] == '\r'))
			last--;
		if (last > text && *text != '#' &&
			add_key(srs, text, (size_t)(last - text), why, size) <
				0) {
			srs_forget(srs);
			return -1;
		}
		text = lf != NULL ? lf + 1 : end;
	}
	if (srs->keys > 0)
		return 0;
	snprintf(why, size, "holds no key");
	return -1;
}

void
srs_forget(struct srs *srs)
{
	explicit_bzero(srs->key, sizeof srs->key);
	srs->keys = 0;
}

/* --- hash and day --- */

/* The kind is part of it: what another host has us prove as SRS1 must be no SRS0
 * of ours, whose day it could choose. */
static void
make_hash(const char *key, bool is_first, const char *text,
	char hash[HASH_DIGITS + 1])
{
	char lower[ADDRESS_LOCAL_MAX + 2] = {is_first ? '0' : '1'};
	uint8_t digest[DIGEST_SHA256];
	size_t length = 0;
	uint64_t bits = 0;

	for (; text[length] != 0 && length < ADDRESS_LOCAL_MAX; length++)
		lower[length + 1] = (char)tolower((unsigned char)text[length]);
	digest_hmac_sha256(digest, key, strlen(key), lower, length + 1);
	for (unsigned i = 0; i < 5; i++)
		bits = bits << 8 | digest[i];
	for (unsigned i = HASH_DIGITS; i-- > 0; bits >>= 5)
		hash[i] = DIGITS[bits & 31];
	hash[HASH_DIGITS] = 0;
}

/* Whether one of our keys made the hash of what is proved. */
static bool
is_ours(const struct srs *srs, bool is_first, const char *hash,
	const char *text)
{
	char lower[HASH_DIGITS], wanted[HASH_DIGITS + 1];
	bool found = false;

	for (unsigned i = 0; i < HASH_DIGITS; i++)
		lower[i] = (char)tolower((unsigned char)hash[i]);
	for (unsigned i = 0; i < srs->keys; i++) {
		make_hash(srs->key[i], is_first, text, wanted);
		found |= digest_is_same(lower, wanted, HASH_DIGITS);
	}
	return found;
}

/* The value of a digit, or -1. */
static int
digit(char octet)
{
	const char *at = octet != 0
				 ? strchr(DIGITS, tolower((unsigned char)octet))
				 : NULL;

	return at != NULL ? (int)(at - DIGITS) : -1;
}

static unsigned
day_of(int64_t now_s)
{
	return (unsigned)((now_s < 0 ? 0 : now_s) / DAY_S % DAYS);
}

/* --- out --- */

/* 0 or 1 for a local part that begins with such a tag, else -1. */
static int
kind_of(const char *local)
{
	if (strncasecmp(local, "SRS", 3) != 0 ||
		(local[3] != '0' && local[3] != '1') || local[4] == 0 ||
		strchr("=+-", local[4]) == NULL)
		return -1;
	return local[3] - '0';
}

/* What stands behind "SRS1=HASH=", which another host wrote: from the first host
 * on. NULL: it is not of that form. */
static const char *
behind_hash(const char *local)
{
	const char *sign = strchr(local + TAG_OCTETS, '=');

	return sign != NULL && sign[1] != 0 ? sign + 1 : NULL;
}

/* Writes what is proved into text. False: it does not fit. */
static bool
write_proved(const struct path *path, int64_t now_s, char *text, size_t size)
{
	const char *rest = NULL;
	int kind = kind_of(path->local), length;
	unsigned day = day_of(now_s);

	if (kind == 1)
		rest = behind_hash(path->local);
	if (rest != NULL)
		length = snprintf(text, size, "%s", rest);
	else if (kind == 0)
		length = snprintf(text, size, "%s=%s", path->domain,
			path->local + TAG_OCTETS - 1);
	else
		length = snprintf(text, size, "%c%c=%s=%s", DIGITS[day / 32],
			DIGITS[day % 32], path->domain, path->local);
	return length > 0 && (size_t)length < size;
}

size_t
srs_forward(const struct srs *srs, const char *reverse_path, int64_t now_s,
	char buffer[ADDRESS_TEXT_MAX + 1])
{
	char proved[ADDRESS_LOCAL_MAX + 1], hash[HASH_DIGITS + 1];
	struct path path, out = {.kind = PATH_LOCAL};

	if (srs->domain[0] == 0 || srs->keys == 0 ||
		address_mailbox_scan(reverse_path, strlen(reverse_path),
			ADDRESS_UTF8, &path) < 0 ||
		!write_proved(&path, now_s, proved, sizeof proved))
		return 0;
	int kind = kind_of(path.local);
	bool is_first =
		kind < 0 || (kind == 1 && behind_hash(path.local) == NULL);
	make_hash(srs->key[0], is_first, proved, hash);
	int length = snprintf(out.local, sizeof out.local, "SRS%c=%s=%s",
		is_first ? '0' : '1', hash, proved);
	if (length < 0 || (size_t)length >= sizeof out.local)
		return 0;
	out.local_len = (size_t)length;
	if (address_set_domain(&out, srs->domain, strlen(srs->domain)) < 0)
		return 0;
	return address_write(buffer, ADDRESS_TEXT_MAX + 1, &out);
}

/* --- back --- */

/* Writes local@domain, both of which came from the address. */
static enum srs_result
write_mailbox(const char *local, const char *domain, size_t domain_len,
	char buffer[ADDRESS_TEXT_MAX + 1])
{
	struct path out = {.kind = PATH_MAILBOX}, again;

	out.local_len = strlen(local);
	out.domain_len = domain_len;
	if (out.local_len > ADDRESS_LOCAL_MAX || domain_len == 0 ||
		domain_len > ADDRESS_DOMAIN_MAX)
		return SRS_FORGED;
	memcpy(out.local, local, out.local_len + 1);
	memcpy(out.domain, domain, domain_len);
	size_t length = address_write(buffer, ADDRESS_TEXT_MAX + 1, &out);
	if (address_mailbox_scan(buffer, length, ADDRESS_UTF8, &again) < 0)
		return SRS_FORGED;
	(void)address_write(buffer, ADDRESS_TEXT_MAX + 1, &again);
	return SRS_OK;
}

/* TT=DOMAIN=LOCAL */
static enum srs_result
undo_first(const char *proved, int64_t now_s, char buffer[ADDRESS_TEXT_MAX + 1])
{
	int high = digit(proved[0]), low = high < 0 ? -1 : digit(proved[1]);

	if (low < 0 || proved[2] != '=')
		return SRS_FORGED;
	unsigned age =
		(day_of(now_s) + DAYS - (unsigned)(high * 32 + low)) % DAYS;
	/* written a moment before midnight, by a clock a little ahead */
	if (age > SRS_DAYS && age != DAYS - 1)
		return SRS_EXPIRED;
	const char *domain = proved + 3, *sign = strchr(domain, '=');
	if (sign == NULL)
		return SRS_FORGED;
	return write_mailbox(sign + 1, domain, (size_t)(sign - domain), buffer);
}

/* FIRSTHOST=REST, where REST begins with the sign after its SRS0 */
static enum srs_result
undo_second(const char *proved, char buffer[ADDRESS_TEXT_MAX + 1])
{
	char local[ADDRESS_LOCAL_MAX + 1];
	const char *sign = strchr(proved, '=');

	if (sign == NULL || sign[1] == 0 || strchr("=+-", sign[1]) == NULL)
		return SRS_FORGED;
	int length = snprintf(local, sizeof local, "SRS0%s", sign + 1);
	if (length < 0 || (size_t)length >= sizeof local)
		return SRS_FORGED;
	return write_mailbox(local, proved, (size_t)(sign - proved), buffer);
}

enum srs_result
srs_reverse(const struct srs *srs, const struct path *address, int64_t now_s,
	char buffer[ADDRESS_TEXT_MAX + 1])
{
	int kind = kind_of(address->local);

	if (kind < 0 || srs->domain[0] == 0 || srs->keys == 0 ||
		strcasecmp(address->domain, srs->domain) != 0)
		return SRS_NONE;
	const char *hash = address->local + TAG_OCTETS;
	if (strlen(hash) < HASH_DIGITS + 2 || hash[HASH_DIGITS] != '=')
		return SRS_FORGED;
	const char *proved = hash + HASH_DIGITS + 1;
	if (!is_ours(srs, kind == 0, hash, proved))
		return SRS_FORGED;
	return kind == 0 ? undo_first(proved, now_s, buffer)
			 : undo_second(proved, buffer);
}
