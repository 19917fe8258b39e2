#include "remote/route_words.h"
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/address.h"

/* Digits of the number of a line. */
#define NUMBER_DIGITS 9
/* What is shown of a word that is wrong. */
#define SHOWN 60

static int refuse(char *why, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int
refuse(char *why, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, size, format, arguments);
	va_end(arguments);
	for (char *at = why; *at != 0; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	return -1;
}

/* A name without a way out of its folder: letters, digits, "-", "_", and dots
 * not at the front. */
static bool
is_label(const char *text, size_t len)
{
	if (len == 0 || len > ROUTE_LABEL_MAX || text[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') ||
			    (text[i] >= 'A' && text[i] <= 'Z') ||
			    (text[i] >= '0' && text[i] <= '9') ||
			    text[i] == '-' || text[i] == '_' || text[i] == '.'))
			return false;
	return true;
}

/* Each take_… takes the value of one word: 0, or -1 if it is none. */
static int
take_tls(struct route_words *words, const char *value, size_t len)
{
	static const struct {
		const char *word;
		enum route_tls tls;
	} known[] = {
		{"may", ROUTE_TLS_MAY},
		{"none", ROUTE_TLS_NONE},
		{"must", ROUTE_TLS_MUST},
		{"verify", ROUTE_TLS_VERIFY},
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strlen(known[i].word) == len &&
			memcmp(known[i].word, value, len) == 0) {
			words->tls = known[i].tls;
			words->is_tls_set = true;
			return 0;
		}
	return -1;
}

static int
take_auth(struct route_words *words, const char *value, size_t len)
{
	if (!is_label(value, len))
		return -1;
	memcpy(words->auth, value, len);
	return 0;
}

static int
take_certificate(struct route_words *words, const char *value, size_t len)
{
	if (!is_label(value, len))
		return -1;
	memcpy(words->certificate, value, len);
	return 0;
}

static int
take_name(struct route_words *words, const char *value, size_t len)
{
	if (len > ROUTE_NAME_MAX || !domain_valid(value, len))
		return -1;
	for (size_t i = 0; i < len; i++)
		words->name[i] = value[i] >= 'A' && value[i] <= 'Z'
					 ? (char)(value[i] - 'A' + 'a')
					 : value[i];
	return 0;
}

static int
take_source(struct route_words *words, const char *value, size_t len)
{
	char text[INET6_ADDRSTRLEN];

	if (len == 0 || len >= sizeof text || memchr(value, 0, len) != NULL)
		return -1;
	memcpy(text, value, len);
	text[len] = 0;
	if (!words->has_source_v4 &&
		inet_pton(AF_INET, text, &words->source_v4) == 1) {
		words->has_source_v4 = true;
		return 0;
	}
	if (words->has_source_v6 ||
		inet_pton(AF_INET6, text, &words->source_v6) != 1)
		return -1;
	words->has_source_v6 = true;
	return 0;
}

static int
take_unusable(struct route_words *words, const char *value, size_t len)
{
	if (len == 0 || len > NUMBER_DIGITS || value[0] == '0')
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return -1;
		words->unusable =
			words->unusable * 10 + (uint32_t)(value[i] - '0');
	}
	return 0;
}

static int
take_auth_clear(struct route_words *words, const char *value, size_t len)
{
	(void)value;
	words->auth_clear = true;
	return len == 0 ? 0 : -1;
}

static int
take_no_bdat(struct route_words *words, const char *value, size_t len)
{
	(void)value;
	words->no_bdat = true;
	return len == 0 ? 0 : -1;
}

static const struct word {
	const char *text;
	bool may_repeat;
	int (*take)(struct route_words *words, const char *value, size_t len);
	const char *expected;
} table[] = {
	{"tls=", false, take_tls, "none, may, must or verify"},
	{"name=", false, take_name, "a host name"},
	{"certificate=", false, take_certificate,
		"a name of letters, digits, -, _ and ."},
	{"auth=", false, take_auth, "a name of letters, digits, -, _ and ."},
	{"auth-clear", false, take_auth_clear, "nothing after it"},
	{"no-bdat", false, take_no_bdat, "nothing after it"},
	{"source=", true, take_source,
		"one IP address without brackets for each family"},
	{"unusable=", false, take_unusable, "the number of a line"},
};

#define WORDS (sizeof table / sizeof table[0])

static int
take_word(struct route_words *words, bool seen[WORDS], const char *text,
	size_t len, char *why, size_t size)
{
	int shown = len > SHOWN ? SHOWN : (int)len;

	for (size_t i = 0; i < WORDS; i++) {
		size_t head = strlen(table[i].text);

		if (len < head || memcmp(text, table[i].text, head) != 0)
			continue;
		if (seen[i] && !table[i].may_repeat)
			return refuse(why, size, "\"%.*s\" is said twice",
				(int)head, text);
		seen[i] = true;
		if (table[i].take(words, text + head, len - head) == 0)
			return 0;
		return refuse(why, size, "\"%.*s\": expected %s", shown, text,
			table[i].expected);
	}
	return refuse(why, size,
		"\"%.*s\" is no word of a route: expected tls=, name=, "
		"certificate=, auth=, auth-clear, no-bdat or source=",
		shown, text);
}

/* Words that only together have a meaning, or that contradict each other. */
static int
check(struct route_words *words, char *why, size_t size)
{
	if (!words->is_tls_set && words->auth[0] != 0)
		words->tls = ROUTE_TLS_VERIFY;
	if (words->auth_clear && words->auth[0] == 0)
		return refuse(why, size, "auth-clear is said without auth=");
	if (words->tls == ROUTE_TLS_NONE && words->certificate[0] != 0)
		return refuse(why, size,
			"certificate= is said together with tls=none");
	if (words->tls == ROUTE_TLS_NONE && words->name[0] != 0)
		return refuse(
			why, size, "name= is said together with tls=none");
	return 0;
}

static bool
is_blank(char octet)
{
	return octet == ' ' || octet == '\t';
}

int
route_words_read(struct route_words *words, const char *text, size_t len,
	char *why, size_t size)
{
	bool seen[WORDS] = {false};
	size_t at = 0, end;

	*words = ROUTE_WORDS_ZERO;
	for (;;) {
		while (at < len && is_blank(text[at]))
			at++;
		if (at == len)
			return check(words, why, size);
		for (end = at; end < len && !is_blank(text[end]); end++)
			;
		if (take_word(words, seen, text + at, end - at, why, size) < 0)
			return -1;
		at = end;
	}
}

/* Adds what fits; all of it does. */
static void
append(char text[ROUTE_WORDS_SIZE], const char *word, const char *value)
{
	size_t used = strlen(text);

	snprintf(text + used, ROUTE_WORDS_SIZE - used, " %s%s", word, value);
}

size_t
route_words_write(const struct route_words *words, char text[ROUTE_WORDS_SIZE])
{
	static const char *const tls[] = {"may", "none", "must", "verify"};
	bool is_usual = words->tls == (words->auth[0] != 0 ? ROUTE_TLS_VERIFY
							   : ROUTE_TLS_MAY);
	char value[INET6_ADDRSTRLEN];

	text[0] = 0;
	if (!is_usual)
		append(text, "tls=", tls[words->tls]);
	if (words->name[0] != 0)
		append(text, "name=", words->name);
	if (words->certificate[0] != 0)
		append(text, "certificate=", words->certificate);
	if (words->auth[0] != 0)
		append(text, "auth=", words->auth);
	if (words->auth_clear)
		append(text, "auth-clear", "");
	if (words->no_bdat)
		append(text, "no-bdat", "");
	if (words->has_source_v4)
		append(text, "source=",
			inet_ntop(AF_INET, &words->source_v4, value,
				sizeof value));
	if (words->has_source_v6)
		append(text, "source=",
			inet_ntop(AF_INET6, &words->source_v6, value,
				sizeof value));
	if (words->unusable != 0) {
		snprintf(value, sizeof value, "%u", (unsigned)words->unusable);
		append(text, "unusable=", value);
	}
	return strlen(text);
}
