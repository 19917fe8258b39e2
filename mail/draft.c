#include "mail/draft.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include "lib/utf8.h"

#define LINE_MAX_OCTETS 998
#define WORD_MAX 900
#define VALUE_MAX 60000

int
draft_value_ok(const char *text)
{
	size_t len = strlen(text), word = 0, i;

	if (len > VALUE_MAX || !utf8_valid(text, len))
		return 0;
	for (i = 0; i < len; i++) {
		unsigned char octet = (unsigned char)text[i];

		if (octet < ' ' || octet == 127 ||
			(octet == 0xc2 && (unsigned char)text[i + 1] < 0xa0))
			return 0;
		/* What is no ASCII is encoded, in pieces. */
		word = octet == ' ' || octet >= 128 ? 0 : word + 1;
		if (word > WORD_MAX)
			return 0;
	}
	return 1;
}

static int
begins(const char *name, size_t len, const char *with)
{
	size_t prefix = strlen(with);

	return len >= prefix && strncasecmp(name, with, prefix) == 0;
}

int
draft_header(const char *text, size_t *name_len, const char **value)
{
	static const char *const OURS[] = {"From", "To", "Cc", "Bcc", "Subject",
		"Date", "Message-ID", "MIME-Version", "Received",
		"Return-Path"};
	const char *colon = strchr(text, ':');
	size_t len, i;

	if (colon == NULL || colon == text)
		return -1;
	len = (size_t)(colon - text);
	if (len > 70)
		return -1;
	for (i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return -1;
	}
	for (i = 0; i < sizeof(OURS) / sizeof(OURS[0]); i++) {
		if (strlen(OURS[i]) == len && begins(text, len, OURS[i]))
			return -1;
	}
	if (begins(text, len, "Content-") || begins(text, len, "Resent-"))
		return -1;
	for (colon++; *colon == ' '; colon++)
		;
	*name_len = len;
	*value = colon;
	return *colon == 0 ? -1 : 0;
}

int
draft_fold(const char *value, size_t used, stralloc *into)
{
	size_t word;

	for (; *value != 0; value += word) {
		/* A word with the spaces before it; white space alone would be no
		 * line of a field. */
		word = strspn(value, " ");
		word += strcspn(value + word, " ");
		if (value[word + strspn(value + word, " ")] == 0)
			word = strlen(value);
		int is_folded = used + 1 + word > 76 && *value == ' ';
		if (is_folded)
			used = 0;
		if ((is_folded && !stralloc_cats(into, "\n")) ||
			(*value != ' ' && !stralloc_cats(into, " ")) ||
			!stralloc_catb(into, value, word))
			break;
		used += 1 + word;
	}
	if (*value == 0 && stralloc_cats(into, "\n") &&
		stralloc_append(into, 0))
		return 0;
	errno = ENOMEM;
	return -1;
}

int
draft_encoding_named(const char *name)
{
	static const struct {
		const char *name;
		enum draft_encoding encoding;
	} NAMES[] = {
		{"7bit", DRAFT_7BIT},
		{"8bit", DRAFT_8BIT},
		{"quoted-printable", DRAFT_QUOTED},
		{"base64", DRAFT_BASE64},
		{"auto", DRAFT_AUTO},
	};
	size_t i;

	for (i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		if (strcasecmp(NAMES[i].name, name) == 0)
			return (int)NAMES[i].encoding;
	}
	return -1;
}

int
draft_choose(const char *text, size_t len, enum draft_encoding wanted)
{
	size_t i, high = 0, line = 0;
	int is_rough = 0, is_separator = 0;

	for (i = 0; i < len; i++) {
		if (line == 0 && len - i >= 5 &&
			memcmp(text + i, "From ", 5) == 0)
			is_separator = 1;
		high += (unsigned char)text[i] >= 128;
		line = text[i] == '\n' ? 0 : line + 1;
		is_rough |= text[i] == '\r' || line > LINE_MAX_OCTETS;
	}
	if (wanted == DRAFT_QUOTED || wanted == DRAFT_BASE64)
		return (int)wanted;
	if (wanted == DRAFT_8BIT || wanted == DRAFT_7BIT)
		return is_rough || (wanted == DRAFT_7BIT && high > 0)
			       ? -1
			       : (int)wanted;
	if (is_separator || high > len / 5)
		return DRAFT_BASE64;
	return is_rough || high > 0 ? DRAFT_QUOTED : DRAFT_7BIT;
}

int
draft_text(const char *text, size_t len, stralloc *into)
{
	size_t i, start = 0;

	if (len == 0)
		return 0;
	if (!utf8_valid(text, len) || memchr(text, 0, len) != NULL) {
		errno = EINVAL;
		return -1;
	}
	if (!stralloc_readyplus(into, len + 1)) {
		errno = ENOMEM;
		return -1;
	}
	for (i = 0; i < len; i++) {
		if (text[i] != '\r' || i + 1 == len || text[i + 1] != '\n')
			continue;
		memcpy(into->s + into->len, text + start, i - start);
		into->len += i - start;
		start = i + 1;
	}
	if (len > start) {
		memcpy(into->s + into->len, text + start, len - start);
		into->len += len - start;
	}
	if (text[len - 1] != '\n')
		into->s[into->len++] = '\n';
	return 0;
}

int
draft_message_ok(const char *message, size_t len)
{
	size_t i, line = 0;
	int in_header = 1;

	for (i = 0; i < len; i++) {
		if (message[i] == '\n') {
			in_header = in_header && line > 0;
			line = 0;
			continue;
		}
		if (++line > LINE_MAX_OCTETS || message[i] == 0 ||
			message[i] == '\r' ||
			(in_header && (unsigned char)message[i] >= 128))
			return 0;
	}
	return 1;
}

int
draft_is_type(const char *text, size_t len)
{
	size_t i, slashes = 0;

	for (i = 0; i < len; i++) {
		if (text[i] == '/')
			slashes++;
		else if (text[i] <= ' ' || text[i] > '~' ||
			 strchr("()<>@,;:\\\"[]?=", text[i]) != NULL)
			return 0;
	}
	return len > 2 && len < 200 && slashes == 1 && text[0] != '/' &&
	       text[len - 1] != '/';
}
