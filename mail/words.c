#include "mail/words.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include "mail/charset.h"

#define CHARSET_MAX 60

static const char BASE64[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	"0123456789+/";

struct word {
	const char *charset, *payload, *end;
	size_t charset_len, payload_len;
	char encoding; /* 'b' or 'q' */
};

/* Reads an encoded word at the start of text. 1, or 0: there is none. */
static int
scan(const char *text, const char *end, struct word *word)
{
	const char *at = text;

	if (end - at < 8 || at[0] != '=' || at[1] != '?')
		return 0;
	word->charset = at += 2;
	while (at < end && at - word->charset <= CHARSET_MAX && *at > ' ' &&
		*at != '?')
		at++;
	word->charset_len = (size_t)(at - word->charset);
	/* RFC 2231 section 5: a language may follow. */
	const char *star = memchr(word->charset, '*', word->charset_len);
	if (star != NULL)
		word->charset_len = (size_t)(star - word->charset);
	if (end - at < 5 || at[0] != '?' || at[2] != '?' ||
		word->charset_len == 0)
		return 0;
	word->encoding = (char)(at[1] | 0x20);
	if (word->encoding != 'b' && word->encoding != 'q')
		return 0;
	word->payload = at += 3;
	while (at < end && *at != '?' && *at != '\n')
		at++;
	word->payload_len = (size_t)(at - word->payload);
	if (end - at < 2 || at[0] != '?' || at[1] != '=')
		return 0;
	word->end = at + 2;
	return 1;
}

static int
no_memory(void)
{
	errno = ENOMEM;
	return -1;
}

static int
hex(char digit)
{
	static const char DIGITS[] = "0123456789abcdef";
	const char *at =
		memchr(DIGITS, digit >= 'A' ? digit | 0x20 : digit, 16);

	return at == NULL ? -1 : (int)(at - DIGITS);
}

static void
read_q(const struct word *word, stralloc *into)
{
	const char *at = word->payload, *end = at + word->payload_len;

	for (; at < end; at++) {
		char octet = *at == '_' ? ' ' : *at;

		if (*at == '=' && end - at > 2 && hex(at[1]) >= 0 &&
			hex(at[2]) >= 0) {
			octet = (char)(hex(at[1]) << 4 | hex(at[2]));
			at += 2;
		}
		into->s[into->len++] = octet;
	}
}

static void
read_b(const struct word *word, stralloc *into)
{
	unsigned bits = 0, count = 0;
	size_t i;

	for (i = 0; i < word->payload_len; i++) {
		const char *at = memchr(BASE64, word->payload[i], 64);

		if (at == NULL)
			continue;
		bits = (bits << 6 | (unsigned)(at - BASE64)) & 0xffffff;
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		into->s[into->len++] = (char)(bits >> count & 0xff);
	}
}

/* Appends the octets of a word. */
static int
read_word(const struct word *word, stralloc *into)
{
	if (!stralloc_readyplus(into, word->payload_len + 1))
		return no_memory();
	if (word->encoding == 'q')
		read_q(word, into);
	else
		read_b(word, into);
	return 0;
}

/* Appends octets as one word of UTF-8. */
static int
write_word(const stralloc *octets, stralloc *into)
{
	size_t i, k;

	if (!stralloc_cats(into, "=?utf-8?B?") ||
		!stralloc_readyplus(into, (octets->len + 2) / 3 * 4 + 2))
		return no_memory();
	for (i = 0; i < octets->len; i += 3) {
		unsigned bits = 0;

		for (k = 0; k < 3; k++)
			bits = bits << 8 |
			       (i + k < octets->len
					       ? (unsigned char)octets->s[i + k]
					       : 0);
		for (k = 0; k < 4; k++)
			into->s[into->len++] =
				i + k > octets->len
					? '='
					: BASE64[bits >> (18 - 6 * k) & 63];
	}
	return stralloc_cats(into, "?=") ? 0 : no_memory();
}

/* Takes what is gathered of one charset over to the text. */
static int
convert(const struct word *word, stralloc *octets, stralloc *text)
{
	char charset[CHARSET_MAX + 2];
	int result;

	memcpy(charset, word->charset, word->charset_len);
	charset[word->charset_len] = 0;
	result = charset_to_utf8(octets->s, octets->len, charset, text);
	octets->len = 0;
	return result;
}

static const char *
skip_space(const char *at, const char *end)
{
	while (at < end && *at != 0 && strchr(" \t\r\n", *at) != NULL)
		at++;
	return at;
}

/* The words from the first on with white space alone between them; *end is where
 * they end. */
static int
join_run(struct word word, const char *limit, const char **end, stralloc *into)
{
	stralloc octets = STRALLOC_ZERO, text = STRALLOC_ZERO;
	struct word next = word;
	int more, result;

	do {
		*end = word.end;
		result = read_word(&word, &octets);
		more = scan(skip_space(word.end, limit), limit, &next);
		if (result == 0 &&
			(!more || next.charset_len != word.charset_len ||
				strncasecmp(next.charset, word.charset,
					word.charset_len) != 0))
			result = convert(&word, &octets, &text);
		word = next;
	} while (more && result == 0);
	if (result == 0)
		result = write_word(&text, into);
	stralloc_free(&octets);
	stralloc_free(&text);
	return result;
}

int
words_join(const char *text, size_t len, stralloc *into)
{
	if (len == 0)
		return 0;
	const char *end = text + len;
	struct word word;

	while (text < end) {
		const char *at = memmem(text, (size_t)(end - text), "=?", 2);

		at = at == NULL ? end : at;
		if (at > text &&
			!stralloc_catb(into, text, (size_t)(at - text)))
			return no_memory();
		text = at;
		if (text == end)
			break;
		if (!scan(text, end, &word)) {
			if (!stralloc_catb(into, text, 2))
				return no_memory();
			text += 2;
		} else if (join_run(word, end, &text, into) < 0) {
			return -1;
		}
	}
	return 0;
}
