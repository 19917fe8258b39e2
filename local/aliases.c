#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <skalibs/cdbmake.h>
#include "local/aliases.h"

#define VERSION 1
#define INCLUDE ":include:/"
#define LENGTH(text) (sizeof(text) - 1)

static bool
is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
lower(char *text)
{
	for (; *text != 0; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text - 'A' + 'a');
}

/* --- looking up --- */

enum account_result
aliases_find(const struct cdbfile *file, const char *local,
	char targets[ACCOUNT_TARGETS_MAX])
{
	cdb_data data;
	int found = cdbfile_find(file, local, strlen(local), &data);

	if (found == 0)
		return ACCOUNT_NONE;
	if (found > 0 && data.len > 1 && data.len <= ACCOUNT_TARGETS_MAX &&
		data.s[0] == VERSION &&
		memchr(data.s + 1, 0, data.len - 1) == NULL) {
		memcpy(targets, data.s + 1, data.len - 1);
		targets[data.len - 1] = 0;
		return ACCOUNT_FOUND;
	}
	errno = EBADMSG;
	return ACCOUNT_TROUBLE;
}

/* --- the text --- */

/* Where the text goes on behind what is quoted, to one of the ends or its end. */
static size_t
span_quoted(const char *text, size_t length, char end)
{
	bool is_quoted = false;
	size_t at = 0;

	for (; at < length; at++) {
		if (text[at] == '\\' && is_quoted && at + 1 < length)
			at++;
		else if (text[at] == '"')
			is_quoted = !is_quoted;
		else if (text[at] == end && !is_quoted)
			break;
	}
	return at;
}

static void
trim(const char **text, size_t *length)
{
	while (*length > 0 && is_white((*text)[*length - 1]))
		--*length;
	while (*length > 0 && is_white((*text)[0])) {
		++*text;
		--*length;
	}
}

int
aliases_is_target(const char *text, size_t length)
{
	struct path path;

	if (length >= LENGTH(INCLUDE) &&
		memcmp(text, INCLUDE, LENGTH(INCLUDE)) == 0) {
		for (size_t i = 0; i < length; i++)
			if ((unsigned char)text[i] < 32 || text[i] == 127)
				return 0;
		return length > LENGTH(INCLUDE);
	}
	return length > 0 && text[0] != '|' && text[0] != '/' &&
	       address_mailbox_scan(text, length,
		       ADDRESS_NO_DOMAIN | ADDRESS_UTF8, &path) == 0;
}

static int
add_target(struct alias *alias, const char *text, size_t length, char *why,
	size_t size)
{
	size_t used = strlen(alias->targets);
	/* of a quoted program, too */
	const char *first = text + (length > 1 && text[0] == '"');

	if (*first == '|' || *first == '/') {
		snprintf(why, size,
			"%s: programs and files are not taken here; "
			"alias/.qmail-%s can have them",
			alias->name, alias->name);
		return -1;
	}
	if (!aliases_is_target(text, length)) {
		snprintf(why, size, "%s: \"%.*s\" is not an address",
			alias->name, (int)(length < 100 ? length : 100), text);
		return -1;
	}
	if (length == strlen(alias->name) &&
		strncasecmp(text, alias->name, length) == 0) {
		snprintf(why, size,
			"%s is its own target; to keep a copy, a .qmail file "
			"has \"./Maildir/\"",
			alias->name);
		return -1;
	}
	if (used + length + 2 > sizeof alias->targets) {
		snprintf(why, size,
			"%s: more than %zu octets of targets; "
			":include: names a file of them",
			alias->name, sizeof alias->targets - 1);
		return -1;
	}
	if (used > 0)
		alias->targets[used++] = '\n';
	memcpy(alias->targets + used, text, length);
	alias->targets[used + length] = 0;
	return 0;
}

static int
take_name(struct alias *alias, const char *text, size_t length, char *why,
	size_t size)
{
	struct path path;

	trim(&text, &length);
	if (address_mailbox_scan(text, length, ADDRESS_NO_DOMAIN | ADDRESS_UTF8,
		    &path) < 0 ||
		path.kind == PATH_MAILBOX || path.local_len == 0) {
		snprintf(why, size,
			"\"%.*s\" is not the part of an address before its "
			"\"@\"",
			(int)(length < 100 ? length : 100), text);
		return -1;
	}
	memcpy(alias->name, path.local, path.local_len + 1);
	lower(alias->name);
	return 0;
}

int
aliases_scan(const char *text, size_t length, struct alias *alias, char *why,
	size_t size)
{
	*alias = (struct alias){0};
	trim(&text, &length);
	if (length == 0 || text[0] == '#')
		return 0;
	size_t colon = span_quoted(text, length, ':');
	if (colon == length) {
		snprintf(why, size, "expected \"name: target, target\"");
		return -1;
	}
	if (take_name(alias, text, colon, why, size) < 0)
		return -1;
	text += colon + 1;
	length -= colon + 1;
	for (;;) {
		size_t comma = span_quoted(text, length, ',');
		const char *target = text;
		size_t octets = comma;

		trim(&target, &octets);
		if (octets > 0 &&
			add_target(alias, target, octets, why, size) < 0)
			return -1;
		if (comma == length)
			break;
		text += comma + 1;
		length -= comma + 1;
	}
	if (alias->targets[0] != 0)
		return 1;
	snprintf(why, size, "%s has no target", alias->name);
	return -1;
}

/* --- compiling --- */

/* The names so far, to tell of one that stands twice. */
struct names {
	char **name;
	size_t count, room;
};

static int
compare_names(const void *a, const void *b)
{
	char *const *one = a, *const *other = b;

	return strcmp(*one, *other);
}

static int
add_name(struct names *names, const char *name)
{
	if (names->count == names->room) {
		size_t room = names->room > 0 ? 2 * names->room : 64;
		char **larger = reallocarray(names->name, room, sizeof *larger);

		if (larger == NULL)
			return -1;
		names->name = larger;
		names->room = room;
	}
	names->name[names->count] = strdup(name);
	if (names->name[names->count] == NULL)
		return -1;
	names->count++;
	return 0;
}

/* 0, or -1 with why if one stands twice. */
static int
check_names(struct names *names, char *why, size_t size)
{
	if (names->count > 0)
		qsort(names->name, names->count, sizeof *names->name,
			compare_names);
	for (size_t i = 1; i < names->count; i++)
		if (strcmp(names->name[i - 1], names->name[i]) == 0) {
			snprintf(why, size, "%s stands twice", names->name[i]);
			return -1;
		}
	return 0;
}

static void
free_names(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->name[i]);
	free(names->name);
}

/* The logical line at the start of the text: up to a line feed that no white
 * space follows. The octets of it, the line feed included. */
static size_t
logical_line(const char *text, size_t length, size_t *lines)
{
	size_t at = 0;

	*lines = 0;
	while (at < length) {
		const char *feed = memchr(text + at, '\n', length - at);

		++*lines;
		at = feed == NULL ? length : (size_t)(feed - text) + 1;
		/* comments do not go on, and nothing goes on in an empty line */
		if (at == length || (text[at] != ' ' && text[at] != '\t') ||
			text[0] == '#' || text[0] == '\n')
			break;
	}
	return at;
}

static int
add_alias(cdbmaker *maker, const struct alias *alias)
{
	char data[ACCOUNT_TARGETS_MAX + 1];
	size_t length = strlen(alias->targets);

	data[0] = VERSION;
	memcpy(data + 1, alias->targets, length);
	return cdbmake_add(maker, alias->name, (unsigned)strlen(alias->name),
		       data, (unsigned)length + 1)
		       ? 0
		       : -1;
}

static int
compile_lines(cdbmaker *maker, struct names *names, const char *text,
	size_t length, char *why, size_t size)
{
	size_t number = 1, lines;
	struct alias alias;
	char what[500];

	while (length > 0) {
		size_t octets = logical_line(text, length, &lines);
		int is_alias = octets > ALIASES_ENTRY_MAX ? -1 : 0;

		snprintf(what, sizeof what, "longer than %d octets",
			ALIASES_ENTRY_MAX);
		if (is_alias == 0)
			is_alias = aliases_scan(
				text, octets, &alias, what, sizeof what);
		if (is_alias < 0) {
			snprintf(why, size, "line %zu: %s", number, what);
			return -1;
		}
		if (is_alias > 0 && (add_name(names, alias.name) < 0 ||
					    add_alias(maker, &alias) < 0)) {
			snprintf(why, size, "%s", strerror(errno));
			return -1;
		}
		text += octets;
		length -= octets;
		number += lines;
	}
	return check_names(names, why, size);
}

long
aliases_compile(const char *text, size_t length, int fd, char *why, size_t size)
{
	cdbmaker maker = CDBMAKER_ZERO;
	struct names names = {.count = 0};
	long count = -1;

	if (!cdbmake_start(&maker, fd)) {
		snprintf(why, size, "%s", strerror(errno));
		return -1;
	}
	if (compile_lines(&maker, &names, text, length, why, size) < 0) {
		genalloc_free(diuint32, &maker.hplist);
	} else if (!cdbmake_finish(&maker)) {
		snprintf(why, size, "%s", strerror(errno));
	} else {
		count = (long)names.count;
	}
	free_names(&names);
	return count;
}
