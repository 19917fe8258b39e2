#include "lib/addresslist.h"
#include <string.h>

/* An address without its white space; longer ones are no address. */
#define SPEC_MAX (2 * ADDRESS_TEXT_MAX)

/*
 * What stands in the list so far. A mailbox without brackets is gathered in
 * spec; so is a display name, until "<" or ":" shows that it was one.
 */
struct list {
	const char *text;
	size_t len, at;
	unsigned flags;
	int in_group;
	int in_angle;	   /* between "<" and ">" */
	int had_angle;	   /* this element has given its address already */
	int last_was_word; /* the last token was an atom or a quoted string */
	int only_phrase;   /* two words in a row, or too long: no address */
	size_t spec_len;
	char spec[SPEC_MAX];
	int (*each)(void *context, const struct path *path);
	void *context;
};

static void
clear_spec(struct list *list)
{
	list->spec_len = 0;
	list->last_was_word = 0;
	list->only_phrase = 0;
}

static void
append(struct list *list, const char *octets, size_t count)
{
	if (count > SPEC_MAX - list->spec_len) {
		list->only_phrase = 1;
		return;
	}
	memcpy(list->spec + list->spec_len, octets, count);
	list->spec_len += count;
}

/* Gives the address gathered in spec. */
static enum addresslist_result
give(struct list *list, unsigned flags)
{
	struct path path;

	if (list->only_phrase || address_mailbox_scan(list->spec,
					 list->spec_len, flags, &path) == -1)
		return ADDRESSLIST_BAD;
	clear_spec(list);
	if (list->each(list->context, &path) != 0)
		return ADDRESSLIST_STOPPED;
	return ADDRESSLIST_OK;
}

/* A comma, a semicolon or the end: the element is over. */
static enum addresslist_result
end_element(struct list *list)
{
	int had_angle = list->had_angle;

	list->had_angle = 0;
	/* After "<...>" only comments may stand. */
	if (had_angle)
		return list->spec_len == 0 ? ADDRESSLIST_OK : ADDRESSLIST_BAD;
	if (list->spec_len == 0 && !list->only_phrase)
		return ADDRESSLIST_OK;
	return give(list, list->flags & ~(unsigned)ADDRESS_NULL);
}

/* Passes over a comment, nested ones included. 0 if it has no end. */
static int
skip_comment(struct list *list)
{
	size_t depth = 0;

	for (; list->at < list->len; list->at++) {
		char c = list->text[list->at];

		if (c == '\\')
			list->at++;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0) {
			list->at++;
			return 1;
		}
	}
	return 0;
}

static void
begin_word(struct list *list)
{
	if (list->last_was_word)
		list->only_phrase = 1;
	list->last_was_word = 1;
}

/* Takes a quoted string or a literal up to its close. 0 if it has none. */
static int
take_enclosed(struct list *list, char close)
{
	append(list, list->text + list->at++, 1);
	while (list->at < list->len) {
		const char *p = list->text + list->at++;

		if (*p == '\\' && list->at < list->len) {
			append(list, p, 2);
			list->at++;
			continue;
		}
		/* Folds, and white space in a literal, are not part of it. */
		if (*p == '\r' || *p == '\n' ||
			(close == ']' && (*p == ' ' || *p == '\t')))
			continue;
		append(list, p, 1);
		if (*p == close)
			return 1;
	}
	return 0;
}

static void
take_atom(struct list *list)
{
	size_t start = list->at;

	while (list->at < list->len &&
		memchr("()<>[]:;@\\,.\" \t\r\n", list->text[list->at], 18) ==
			NULL)
		list->at++;
	/* A backslash outside of quotes: let the scan of the mailbox refuse. */
	if (list->at == start)
		list->at++;
	begin_word(list);
	append(list, list->text + start, list->at - start);
}

/* ":" ends a route inside of brackets, else the display name of a group. */
static enum addresslist_result
take_colon(struct list *list)
{
	if (list->in_angle) {
		if (list->spec_len == 0 || list->spec[0] != '@')
			return ADDRESSLIST_BAD;
	} else {
		if (list->in_group || list->had_angle)
			return ADDRESSLIST_BAD;
		list->in_group = 1;
	}
	clear_spec(list);
	return ADDRESSLIST_OK;
}

static enum addresslist_result
open_angle(struct list *list)
{
	if (list->in_angle || list->had_angle)
		return ADDRESSLIST_BAD;
	clear_spec(list);
	list->in_angle = 1;
	return ADDRESSLIST_OK;
}

static enum addresslist_result
close_angle(struct list *list)
{
	if (!list->in_angle)
		return ADDRESSLIST_BAD;
	list->in_angle = 0;
	list->had_angle = 1;
	return give(list, list->flags);
}

/* "," between elements, or between the hops of a route. */
static enum addresslist_result
take_comma(struct list *list)
{
	if (!list->in_angle)
		return end_element(list);
	if (list->spec_len > 0 && list->spec[0] != '@')
		return ADDRESSLIST_BAD;
	append(list, ",", 1);
	list->last_was_word = 0;
	return ADDRESSLIST_OK;
}

static enum addresslist_result
end_group(struct list *list)
{
	if (!list->in_group || list->in_angle)
		return ADDRESSLIST_BAD;
	list->in_group = 0;
	return end_element(list);
}

/* Takes the token at list->at. */
static enum addresslist_result
take_token(struct list *list)
{
	const char *p = list->text + list->at;

	switch (*p) {
	case '(':
		return skip_comment(list) ? ADDRESSLIST_OK : ADDRESSLIST_BAD;
	case '"':
		begin_word(list);
		return take_enclosed(list, '"') ? ADDRESSLIST_OK
						: ADDRESSLIST_BAD;
	case '[':
		begin_word(list);
		return take_enclosed(list, ']') ? ADDRESSLIST_OK
						: ADDRESSLIST_BAD;
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		list->at++;
		return ADDRESSLIST_OK;
	case '.':
	case '@':
		append(list, p, 1);
		list->last_was_word = 0;
		list->at++;
		return ADDRESSLIST_OK;
	case ',':
		list->at++;
		return take_comma(list);
	case ':':
		list->at++;
		return take_colon(list);
	case ';':
		list->at++;
		return end_group(list);
	case '<':
		list->at++;
		return open_angle(list);
	case '>':
		list->at++;
		return close_angle(list);
	default:
		take_atom(list);
		return ADDRESSLIST_OK;
	}
}

enum addresslist_result
addresslist_read(const char *text, size_t len, unsigned flags,
	int (*each)(void *context, const struct path *path), void *context,
	size_t *bad_at)
{
	struct list list = {.text = text,
		.len = len,
		.flags = flags,
		.each = each,
		.context = context};
	enum addresslist_result result = ADDRESSLIST_OK;

	while (result == ADDRESSLIST_OK && list.at < list.len)
		result = take_token(&list);
	/* A group that lacks its ";" at the end is taken for complete. */
	if (result == ADDRESSLIST_OK)
		result = list.in_angle ? ADDRESSLIST_BAD : end_element(&list);
	if (result == ADDRESSLIST_BAD && bad_at != NULL)
		*bad_at = list.at < len ? list.at : len;
	return result;
}
