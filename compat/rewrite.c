#include "compat/rewrite.h"

#include <stdbool.h>
#include <string.h>

/* Where the host begins in an address: after the last "@" that is not quoted;
 * NULL without one. */
static const char *
host_of(const char *text, size_t len)
{
	const char *at = NULL;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\' && quoted)
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (text[i] == '@' && !quoted)
			at = text + i + 1;
	}
	return at;
}

int
rewrite_address(const struct rewrite *rewrite, const char *text, size_t len,
	stralloc *into)
{
	if (len > 0 && text[0] == '@') {
		const char *colon = memchr(text, ':', len);

		if (colon != NULL) {
			len -= (size_t)(colon + 1 - text);
			text = colon + 1;
		}
	}
	while (len > 0 && (text[len - 1] == '.' || text[len - 1] == '@'))
		len--;
	if (len == 0)
		return 0;
	const char *host = host_of(text, len);
	if (host == NULL) {
		if (!stralloc_catb(into, text, len) ||
			!stralloc_cats(into, "@"))
			return -1;
		/* the default host may need its domain in turn */
		text = rewrite->host;
		len = strlen(text);
	} else {
		if (!stralloc_catb(into, text, (size_t)(host - text)))
			return -1;
		len -= (size_t)(host - text);
		text = host;
	}
	const char *more = NULL;
	if (len > 0 && text[len - 1] == '+') {
		len--;
		more = rewrite->plus;
	} else if (len > 0 && text[0] != '[' &&
		   memchr(text, '.', len) == NULL) {
		more = rewrite->domain;
	}
	return stralloc_catb(into, text, len) &&
			       (more == NULL || more[0] == 0 ||
				       (stralloc_cats(into, ".") &&
					       stralloc_cats(into, more)))
		       ? 0
		       : -1;
}

/* --- lists --- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * The end of what begins at text[i]: a quoted string, a comment, a literal, or one
 * octet. Never beyond len.
 */
static size_t
token_end(const char *text, size_t i, size_t len)
{
	char first = text[i];
	size_t depth = 0;

	if (first != '"' && first != '(' && first != '[')
		return i + 1;
	for (; i < len; i++) {
		if (text[i] == '\\' && i + 1 < len) {
			i++;
			continue;
		}
		if (first == '(' && text[i] == '(')
			depth++;
		else if (first == '(' && text[i] == ')' && --depth == 0)
			return i + 1;
		else if (first == '"' && text[i] == '"' && depth++ > 0)
			return i + 1;
		else if (first == '[' && text[i] == ']')
			return i + 1;
	}
	return len;
}

/*
 * Parts an address from its comments and white space: *address gets the one,
 * *comments (if not NULL) the other, each after a blank.
 */
static bool
strip(const char *text, size_t len, stralloc *address, stralloc *comments)
{
	for (size_t i = 0, end; i < len; i = end) {
		end = token_end(text, i, len);
		if (text[i] == '(') {
			if (comments != NULL &&
				(!stralloc_cats(comments, " ") ||
					!stralloc_catb(
						comments, text + i, end - i)))
				return false;
		} else if (!is_blank(text[i]) &&
			   !stralloc_catb(address, text + i, end - i)) {
			return false;
		}
	}
	return true;
}

/* An address without words between its parts, or with them: "Joe User" alone is
 * none, and stays. */
static bool
is_one_word(const char *text, size_t len)
{
	bool ended = false, joined = true;

	for (size_t i = 0, end; i < len; i = end) {
		end = token_end(text, i, len);
		if (text[i] == '(' || is_blank(text[i])) {
			ended = true;
			continue;
		}
		bool joins = text[i] == '.' || text[i] == '@';
		if (ended && !joined && !joins)
			return false;
		joined = joins;
		ended = false;
	}
	return true;
}

/* One element of a list, without its "," or ";". */
static int
rewrite_element(const struct rewrite *rewrite, const char *text, size_t len,
	stralloc *into)
{
	stralloc old = STRALLOC_ZERO, new = STRALLOC_ZERO,
		 comments = STRALLOC_ZERO;
	size_t from = 0, to = len, blanks = 0;
	bool angle = false, done;

	for (size_t i = 0, end; i < len; i = end) {
		end = token_end(text, i, len);
		if (text[i] == '<' && !angle) {
			angle = true;
			from = end;
		} else if (text[i] == '>' && angle) {
			to = i;
			break;
		}
	}
	while (!angle && blanks < len && is_blank(text[blanks]))
		blanks++;
	done = strip(text + from, to - from, &old, angle ? NULL : &comments) &&
	       rewrite_address(rewrite, old.s, old.len, &new) == 0;
	if (done &&
		(old.len == 0 ||
			(new.len == old.len &&memcmp(new.s, old.s, old.len) ==
				0) ||
			!is_one_word(text + from, to - from)))
		done = stralloc_catb(into, text, len);
	else if (done && angle)
		done = stralloc_catb(into, text, from) &&
		       stralloc_catb(into, new.s, new.len) &&
		       stralloc_catb(into, text + to, len - to);
	else if (done)
		done = stralloc_catb(into, text, blanks) &&
		       stralloc_catb(into, new.s, new.len) &&
		       stralloc_catb(into, comments.s, comments.len);
	stralloc_free(&old);
	stralloc_free(&new);
	stralloc_free(&comments);
	return done ? 0 : -1;
}

int
rewrite_list(const struct rewrite *rewrite, const char *text, size_t len,
	stralloc *into)
{
	size_t start = 0;
	bool angle = false;

	for (size_t i = 0, end; i < len; i = end) {
		end = token_end(text, i, len);
		if (text[i] == '<')
			angle = true;
		else if (text[i] == '>')
			angle = false;
		if (angle ||
			(text[i] != ',' && text[i] != ';' && text[i] != ':'))
			continue;
		/* before a ":" stands the name of a group */
		if (text[i] == ':') {
			if (!stralloc_catb(into, text + start, end - start))
				return -1;
		} else if (rewrite_element(rewrite, text + start, i - start,
				   into) < 0 ||
			   !stralloc_catb(into, text + i, 1)) {
			return -1;
		}
		start = end;
	}
	return rewrite_element(rewrite, text + start, len - start, into);
}
