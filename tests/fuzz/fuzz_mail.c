/*
 * What mail-show and mail-send do to texts without the library. The first octet
 * chooses; whatever comes in, what goes out is sound, safe and bounded.
 */
#include "mail/charset.h"
#include "mail/draft.h"
#include "mail/harm.h"
#include "mail/html.h"
#include "mail/name.h"
#include "mail/uu.h"
#include "mail/words.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_file_name(const char *name)
{
	const char *at;

	assert(*name != 0 && *name != '.' && *name != '-' && *name != '~');
	assert(strlen(name) <= NAME_MAX_OCTETS + 7);
	assert(utf8_valid(name, strlen(name)));
	for (at = name; *at != 0; at++) {
		assert((unsigned char)*at >= ' ' && *at != 127);
		assert(*at != '/' && *at != '\\' && *at != ':');
	}
	assert(strstr(name, "\xe2\x80\xae") == NULL);
}

static void
check_name(const char *text)
{
	char name[NAME_MAX_OCTETS + 1], again[NAME_MAX_OCTETS + 1];
	char variant[NAME_MAX_OCTETS + 8];
	size_t length = name_for_file(name, text, "text/plain", 7);

	assert(length == strlen(name) && length <= NAME_MAX_OCTETS);
	check_file_name(name);
	name_variant(variant, name, 999);
	check_file_name(variant);
	assert(strcmp(name, variant) != 0);
	/* A name made is one that stays, unless a cut left nothing of it. */
	name_for_file(again, name, NULL, 7);
	assert(strcmp(name, again) == 0 || strcmp(again, "part-7") == 0);
	assert(name_type(name) != NULL);
}

static void
check_html(const char *text, size_t len)
{
	stralloc made = STRALLOC_ZERO, sound = STRALLOC_ZERO;

	char label[HTML_CHARSET_MAX + 1];

	html_charset(text, len, label);
	assert(strlen(label) <= HTML_CHARSET_MAX);
	assert(charset_to_utf8(text, len, "utf-8", &sound) == 0);
	assert(utf8_valid(sound.s, sound.len) && sound.len <= 3 * len);
	assert(html_to_text(sound.s, sound.len, &made) == 0);
	assert(utf8_valid(made.s, made.len));
	assert(made.len == 0 || made.s[made.len - 1] == '\n');
	assert(made.len <= 3 * sound.len + 4);
	stralloc_free(&made);
	stralloc_free(&sound);
}

/* Up to the first NUL a charset, then the text. */
static void
check_charset(const char *text, size_t len)
{
	stralloc made = STRALLOC_ZERO;
	size_t label = strnlen(text, len);

	if (label == len)
		return;
	assert(charset_to_utf8(
		       text + label + 1, len - label - 1, text, &made) == 0);
	assert(utf8_valid(made.s, made.len));
	stralloc_free(&made);
}

static void
check_words(const char *text, size_t len)
{
	stralloc made = STRALLOC_ZERO, again = STRALLOC_ZERO;

	assert(words_join(text, len, &made) == 0);
	assert(words_join(made.s, made.len, &again) == 0);
	assert(made.len == again.len);
	assert(made.len == 0 || memcmp(made.s, again.s, made.len) == 0);
	stralloc_free(&made);
	stralloc_free(&again);
}

/* A value that is taken has no line end, and folds into lines that unfold to it. */
static void
check_value(const char *text)
{
	stralloc made = STRALLOC_ZERO;
	const char *value;
	size_t name, i, line = 70, used = 0;

	if (!draft_value_ok(text))
		return;
	assert(strpbrk(text, "\r\n\t\x1b\x7f") == NULL);
	(void)harm_in_body(text, strlen(text));
	if (draft_header(text, &name, &value) < 0)
		return;
	assert(name <= 70 && text[name] == ':');
	assert(draft_fold(value, name + 1, &made) == 0);
	assert(made.s[made.len - 1] == 0 && made.s[made.len - 2] == '\n');
	for (i = 1; i + 2 < made.len; i++) {
		line = made.s[i] == '\n' ? 0 : line + 1;
		if (made.s[i] == '\n') {
			assert(made.s[i + 1] == ' ');
			continue;
		}
		assert(made.s[i] == value[used++]);
	}
	assert(value[used] == 0);
	stralloc_free(&made);
}

static void
check_text(const char *text, size_t len)
{
	stralloc made = STRALLOC_ZERO;
	int way;

	(void)harm_in_message(text, len);
	(void)draft_message_ok(text, len);
	(void)draft_is_type(text, len);
	if (draft_text(text, len, &made) == 0) {
		assert(made.len <= len + 1);
		way = draft_choose(made.s, made.len, DRAFT_AUTO);
		assert(way == DRAFT_7BIT || way == DRAFT_QUOTED ||
			way == DRAFT_BASE64);
		if (way == DRAFT_7BIT)
			assert(draft_message_ok(made.s, made.len));
	}
	stralloc_free(&made);
}

/* Each file is within the text, behind the one before, and no more than its lines;
 * what is left has none. */
static void
check_uu(const char *text, size_t len)
{
	stralloc made = STRALLOC_ZERO, left = STRALLOC_ZERO;
	struct uu_file file;
	size_t at = 0, taken = 0;

	while (uu_find(text, len, at, &file)) {
		assert(at <= file.start && file.start < file.data);
		assert(file.data < file.end && file.end <= len);
		assert(file.name_len > 0 && file.name > text + file.start);
		made.len = 0;
		assert(uu_decode(text, &file, &made) == 0);
		assert(made.len <= 64 * (file.end - file.data));
		at = file.end;
		taken += file.end - file.start;
	}
	assert(uu_without(text, len, &left) == 0);
	assert(left.len + taken == len);
	stralloc_free(&made);
	stralloc_free(&left);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size < 1)
		return 0;
	text = malloc(size);
	if (text == NULL)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	switch (data[0] % 7) {
	case 0:
		check_name(text);
		break;
	case 1:
		check_html(text, size - 1);
		break;
	case 2:
		check_charset(text, size - 1);
		break;
	case 3:
		check_words(text, size - 1);
		break;
	case 4:
		check_value(text);
		break;
	case 5:
		check_uu(text, size - 1);
		break;
	default:
		check_text(text, size - 1);
	}
	free(text);
	return 0;
}
