#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "smtpd/patterns.h"

/* A line in its parts: all point into it. */
struct pattern {
	bool is_exception;
	bool is_below; /* the names below domain, not domain itself */
	const char *local, *domain;
	size_t local_len, domain_len; /* 0: any */
};

static bool
has_octets_of_utf8(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return true;
	return false;
}

/* A name of ASCII, a literal, or one with UTF-8 in it as RFC 6531 has them. */
static bool
is_name(const char *text, size_t len)
{
	struct path path;
	char address[ADDRESS_DOMAIN_MAX + 3];

	if (domain_valid(text, len) || domain_is_literal(text, len))
		return true;
	if (!has_octets_of_utf8(text, len) || len > ADDRESS_DOMAIN_MAX)
		return false;
	memcpy(address, "x@", 2);
	memcpy(address + 2, text, len);
	return address_mailbox_scan(address, len + 2, ADDRESS_UTF8, &path) == 0;
}

/* Reads the part for names: ".example.org", "*.example.org", "example.org". */
static int
scan_name(struct pattern *pattern, const char *text, size_t len)
{
	if (len > 0 && *text == '*') {
		text++;
		len--;
		if (len == 0 || *text != '.')
			return -1;
	}
	if (len > 0 && *text == '.') {
		pattern->is_below = true;
		text++;
		len--;
	}
	pattern->domain = text;
	pattern->domain_len = len;
	if (pattern->is_below && !domain_valid(text, len) &&
		!has_octets_of_utf8(text, len))
		return -1;
	return is_name(text, len) ? 0 : -1;
}

static int
scan_address(struct pattern *pattern, const char *text, size_t len)
{
	const char *at = memrchr(text, '@', len);

	if (at == NULL || len == 1)
		return -1;
	pattern->local = text;
	pattern->local_len = (size_t)(at - text);
	if (pattern->local_len > ADDRESS_LOCAL_MAX)
		return -1;
	size_t rest = len - pattern->local_len - 1;
	if (rest == 0)
		return 0;
	return scan_name(pattern, at + 1, rest);
}

static int
scan(const char *line, enum patterns_kind kind, struct pattern *pattern)
{
	size_t len;

	*pattern = (struct pattern){.local = "", .domain = ""};
	line += strspn(line, " \t");
	if (*line == '!') {
		pattern->is_exception = true;
		line++;
	}
	len = strlen(line);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] <= ' ' || line[i] == 127)
			return -1;
	return kind == PATTERNS_NAMES ? scan_name(pattern, line, len)
				      : scan_address(pattern, line, len);
}

int
patterns_check(const struct setting_list *list, enum patterns_kind kind,
	const char *name, char *why, size_t size)
{
	struct pattern pattern;

	for (size_t i = 0; i < list->count; i++) {
		if (scan(list->line[i], kind, &pattern) == 0)
			continue;
		snprintf(why, size,
			"control/%s line %zu: expected %s, found \"%.60s\"",
			name, list->number[i],
			kind == PATTERNS_NAMES
				? "example.org, .example.org or *.example.org, "
				  "perhaps with a ! before it"
				: "user@example.org, user@, @example.org or "
				  "@.example.org, perhaps with a ! before it",
			list->line[i]);
		return -1;
	}
	return 0;
}

/* --- matching --- */

static bool
is_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && strncasecmp(a, b, a_len) == 0;
}

static bool
name_matches(const struct pattern *pattern, const char *name, size_t len)
{
	size_t below = pattern->domain_len + 1;

	if (!pattern->is_below)
		return is_same(pattern->domain, pattern->domain_len, name, len);
	return len > below && name[len - below] == '.' &&
	       is_same(pattern->domain, pattern->domain_len,
		       name + len - pattern->domain_len, pattern->domain_len);
}

static void
note(struct patterns_match *match, const struct pattern *pattern, size_t line)
{
	size_t *into = pattern->is_exception ? &match->exception : &match->line;

	if (*into == 0)
		*into = line;
}

struct patterns_match
patterns_find_address(const struct setting_list *list, const struct path *path)
{
	struct patterns_match match = {0};
	struct pattern pattern;

	if (path->kind == PATH_NULL)
		return match;
	for (size_t i = 0; i < list->count; i++) {
		if (scan(list->line[i], PATTERNS_ADDRESSES, &pattern) < 0)
			continue;
		if ((pattern.local_len == 0 ||
			    is_same(pattern.local, pattern.local_len,
				    path->local, path->local_len)) &&
			(pattern.domain_len == 0 ||
				name_matches(&pattern, path->domain,
					path->domain_len)))
			note(&match, &pattern, list->number[i]);
	}
	return match;
}

struct patterns_match
patterns_find_name(
	const struct setting_list *list, const char *name, size_t len)
{
	struct patterns_match match = {0};
	struct pattern pattern;

	/* "mail.example.org." is the same name (RFC 1034 section 3.1). */
	if (len > 1 && name[len - 1] == '.')
		len--;
	for (size_t i = 0; i < list->count; i++)
		if (scan(list->line[i], PATTERNS_NAMES, &pattern) == 0 &&
			name_matches(&pattern, name, len))
			note(&match, &pattern, list->number[i]);
	return match;
}
