#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <skalibs/cdbmake.h>
#include "local/assign.h"

#define FIELDS 6

/* --- one number or text --- */

/* A number that may be an identity: not 0, not -1. */
static int
scan_id(const char *text, unsigned *id)
{
	char *end;

	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != 0 || errno != 0 ||
		value == 0 || value >= (unsigned)-1)
		return -1;
	*id = (unsigned)value;
	return 0;
}

static int
take_text(char *into, size_t size, const char *text)
{
	size_t length = strlen(text);

	if (length >= size)
		return -1;
	memcpy(into, text, length + 1);
	return 0;
}

/* What is wrong with the six fields, or NULL. */
static const char *
take_fields(char *const field[FIELDS], struct assign *assign)
{
	unsigned uid, gid;

	if (field[0][0] == 0 ||
		take_text(assign->user, sizeof assign->user, field[0]) < 0)
		return "a user's name";
	if (scan_id(field[1], &uid) < 0)
		return "a uid that is not 0";
	if (scan_id(field[2], &gid) < 0)
		return "a gid that is not 0";
	if (field[3][0] != '/' ||
		take_text(assign->home, sizeof assign->home, field[3]) < 0)
		return "an absolute home folder";
	if (strchr(field[4], '/') != NULL ||
		take_text(assign->dash, sizeof assign->dash, field[4]) < 0)
		return "a dash of at most 3 octets";
	if (strchr(field[5], '/') != NULL ||
		take_text(assign->extension, sizeof assign->extension,
			field[5]) < 0)
		return "an extension without \"/\"";
	assign->uid = uid;
	assign->gid = gid;
	return NULL;
}

/* --- looking up --- */

/* Data of the cdb. 0, or -1 with errno EBADMSG. */
static int
unpack(const cdb_data *data, struct assign *assign)
{
	char octets[ASSIGN_LINE_MAX];
	char *field[FIELDS], *at = octets;

	errno = EBADMSG;
	if (data->len == 0 || data->len > sizeof octets ||
		data->s[data->len - 1] != 0)
		return -1;
	memcpy(octets, data->s, data->len);
	for (int i = 0; i < FIELDS; i++) {
		if (at >= octets + data->len)
			return -1;
		field[i] = at;
		at += strlen(at) + 1;
	}
	for (const char *c = octets; c < at; c++)
		if (((unsigned char)*c < 32 && *c != 0) || *c == 127)
			return -1;
	if (at != octets + data->len || take_fields(field, assign) != NULL) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

/* A wildcard's extension goes on with the rest of the local part. */
static enum account_result
add_rest(struct assign *assign, const char *local, size_t length)
{
	size_t have = strlen(assign->extension);

	if (have + strlen(local + length) >= sizeof assign->extension)
		return ACCOUNT_NONE;
	snprintf(assign->extension + have, sizeof assign->extension - have,
		"%s", local + length);
	assign->is_wildcard = true;
	assign->matched = length;
	return ACCOUNT_FOUND;
}

enum account_result
assign_find(
	const struct cdbfile *file, const char *local, struct assign *assign)
{
	char key[ADDRESS_LOCAL_MAX + 2];
	size_t length = strlen(local);
	cdb_data data, wild;

	if (length > ADDRESS_LOCAL_MAX)
		return ACCOUNT_NONE;
	key[0] = '!';
	memcpy(key + 1, local, length + 1);
	*assign = (struct assign){.matched = length};
	int found = cdbfile_find(file, key, length + 2, &data);
	if (found > 0)
		return unpack(&data, assign) == 0 ? ACCOUNT_FOUND
						  : ACCOUNT_TROUBLE;
	int has_wild = found == 0 ? cdbfile_find(file, "", 0, &wild) : -1;
	if (has_wild <= 0)
		return has_wild == 0 ? ACCOUNT_NONE : ACCOUNT_TROUBLE;
	for (size_t at = length + 1; at-- > 0;) {
		if (at > 0 && memchr(wild.s, local[at - 1], wild.len) == NULL)
			continue;
		found = cdbfile_find(file, key, at + 1, &data);
		if (found < 0 || (found > 0 && unpack(&data, assign) < 0))
			return ACCOUNT_TROUBLE;
		if (found > 0)
			return add_rest(assign, local, at);
	}
	return ACCOUNT_NONE;
}

/* --- the text --- */

/* Parts the line at its colons: the name, six fields, and nothing after the last
 * colon that counts. 0 or -1. */
static int
part(char *line, char **name, char *field[FIELDS])
{
	char *at = line;

	*name = at;
	for (int i = 0; i <= FIELDS; i++) {
		char *colon = strchr(at, ':');

		if (colon == NULL)
			return -1;
		*colon = 0;
		if (i > 0)
			field[i - 1] = at;
		at = colon + 1;
	}
	return 0;
}

enum assign_line
assign_line_scan(const char *line, size_t length, struct assign *assign,
	char *name, char *why, size_t size)
{
	char copy[ASSIGN_LINE_MAX + 1], *text, *field[FIELDS];
	const char *wanted =
		"=local or +prefix, six fields, a colon after each";

	if (length == 0)
		return ASSIGN_NOTHING;
	if (line[0] == '.')
		return ASSIGN_END;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)line[i] < 32 || line[i] == 127) {
			snprintf(why, size, "a control character");
			return ASSIGN_BAD;
		}
	*assign = (struct assign){.is_wildcard = line[0] == '+'};
	if (length <= ASSIGN_LINE_MAX && (line[0] == '=' || line[0] == '+')) {
		memcpy(copy, line + 1, length - 1);
		copy[length - 1] = 0;
		if (part(copy, &text, field) == 0 &&
			take_text(name, ADDRESS_LOCAL_MAX + 1, text) == 0)
			wanted = take_fields(field, assign);
	}
	if (wanted != NULL) {
		snprintf(why, size, "expected %s", wanted);
		return ASSIGN_BAD;
	}
	for (char *c = name; *c != 0; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	assign->matched = strlen(name);
	return ASSIGN_ENTRY;
}

struct compiling {
	cdbmaker maker;
	bool is_wild[256];
	long entries;
};

static int
add_entry(struct compiling *compiling, const struct assign *assign,
	const char *name)
{
	char key[ADDRESS_LOCAL_MAX + 2], data[ASSIGN_LINE_MAX + 64];
	size_t length = strlen(name);

	key[0] = '!';
	memcpy(key + 1, name, length + 1);
	int made = snprintf(data, sizeof data, "%s%c%u%c%u%c%s%c%s%c%s",
		assign->user, 0, (unsigned)assign->uid, 0,
		(unsigned)assign->gid, 0, assign->home, 0, assign->dash, 0,
		assign->extension);
	if (assign->is_wildcard && length > 0)
		compiling->is_wild[(unsigned char)name[length - 1]] = true;
	compiling->entries++;
	return cdbmake_add(&compiling->maker, key,
		       (unsigned)(length + (assign->is_wildcard ? 1 : 2)), data,
		       (unsigned)made + 1)
		       ? 0
		       : -1;
}

static int
finish(struct compiling *compiling)
{
	char wild[256];
	unsigned count = 0;

	for (unsigned i = 0; i < 256; i++)
		if (compiling->is_wild[i])
			wild[count++] = (char)i;
	return cdbmake_add(&compiling->maker, "", 0, wild, count) &&
			       cdbmake_finish(&compiling->maker)
		       ? 0
		       : -1;
}

/* Reads line after line, up to the one that ends it. 0, or -1 with why. */
static int
compile_lines(struct compiling *compiling, const char *text, size_t length,
	char *why, size_t size)
{
	char name[ADDRESS_LOCAL_MAX + 1], what[100];
	const char *end = text + length;
	struct assign assign;
	size_t number = 0;

	while (text < end) {
		const char *feed = memchr(text, '\n', (size_t)(end - text));

		number++;
		if (feed == NULL)
			break;
		switch (assign_line_scan(text, (size_t)(feed - text), &assign,
			name, what, sizeof what)) {
		case ASSIGN_END:
			return 0;
		case ASSIGN_BAD:
			snprintf(why, size, "line %zu: %s", number, what);
			return -1;
		case ASSIGN_ENTRY:
			if (add_entry(compiling, &assign, name) < 0) {
				snprintf(why, size, "%s", strerror(errno));
				return -1;
			}
			break;
		case ASSIGN_NOTHING:
			break;
		}
		text = feed + 1;
	}
	snprintf(why, size, "line %zu: expected a last line \".\"", number);
	return -1;
}

long
assign_compile(const char *text, size_t length, int fd, char *why, size_t size)
{
	struct compiling compiling = {.maker = CDBMAKER_ZERO};

	if (!cdbmake_start(&compiling.maker, fd)) {
		snprintf(why, size, "%s", strerror(errno));
		return -1;
	}
	if (compile_lines(&compiling, text, length, why, size) < 0) {
		genalloc_free(diuint32, &compiling.maker.hplist);
		return -1;
	}
	if (finish(&compiling) == 0)
		return compiling.entries;
	snprintf(why, size, "%s", strerror(errno));
	return -1;
}
