#include "lib/fields.h"
#include <string.h>
#include <strings.h>

static int
is_white(char c)
{
	return c == ' ' || c == '\t';
}

/* The end of the line that begins at `at`, its LF included. */
static size_t
line_end(const struct fields *fields, size_t at)
{
	const char *lf = memchr(fields->block + at, '\n', fields->len - at);

	return lf != NULL ? (size_t)(lf - fields->block) + 1 : fields->len;
}

static int
begins_with(const struct fields *fields, const char *text)
{
	size_t len = strlen(text);

	return fields->len >= len && memcmp(fields->block, text, len) == 0;
}

void
fields_start(struct fields *fields, const char *block, size_t len)
{
	*fields = (struct fields){.block = block, .len = len, .body_at = len};
	if (begins_with(fields, "From ") || begins_with(fields, ">From "))
		fields->at = line_end(fields, 0);
}

/* The octets of the line end at the end of text[0..len): 0, 1 or 2. */
static size_t
ending(const char *text, size_t len)
{
	if (len == 0 || text[len - 1] != '\n')
		return 0;
	return len > 1 && text[len - 2] == '\r' ? 2 : 1;
}

static int
end_header(struct fields *fields, size_t body_at, int blank)
{
	fields->body_at = body_at;
	fields->blank = blank;
	fields->done = 1;
	return 0;
}

/*
 * The colon of the field name that begins text[0..len), or NULL if no name
 * does; *name_len is the name without white space.
 */
static const char *
scan_name(const char *text, size_t len, size_t *name_len)
{
	size_t at = 0;

	while (at < len && text[at] > 32 && text[at] < 127 && text[at] != ':')
		at++;
	*name_len = at;
	while (at < len && is_white(text[at]))
		at++;
	if (*name_len == 0 || at == len || text[at] != ':')
		return NULL;
	return text + at;
}

int
fields_next(struct fields *fields, struct field *field)
{
	const char *start = fields->block + fields->at, *colon;
	size_t end, name_len;

	if (fields->done)
		return 0;
	if (fields->at == fields->len)
		return end_header(fields, fields->len, 0);
	end = line_end(fields, fields->at);
	if (ending(start, end - fields->at) == end - fields->at)
		return end_header(fields, end, 1);
	colon = scan_name(start, end - fields->at, &name_len);
	if (colon == NULL)
		return end_header(fields, fields->at, 0);
	while (end < fields->len && is_white(fields->block[end]))
		end = line_end(fields, end);
	field->start = field->name = start;
	field->len = end - fields->at;
	field->name_len = name_len;
	field->body = colon + 1;
	field->body_len = (size_t)(fields->block + end - field->body);
	field->body_len -= ending(field->body, field->body_len);
	fields->at = end;
	return 1;
}

int
field_is(const struct field *field, const char *name)
{
	return strlen(name) == field->name_len &&
	       strncasecmp(field->name, name, field->name_len) == 0;
}

size_t
field_unfold(const struct field *field, char *buffer, size_t size)
{
	size_t at = 0, i;

	for (i = 0; i < field->body_len && at < size - 1; i++) {
		const char *p = field->body + i;
		size_t left = field->body_len - i;

		if (*p == '\n' || (*p == '\r' && left > 1 && p[1] == '\n'))
			continue;
		if (at > 0 || !is_white(*p))
			buffer[at++] = *p;
	}
	while (at > 0 && is_white(buffer[at - 1]))
		at--;
	buffer[at] = '\0';
	return at;
}

size_t
fields_count(const char *block, size_t len, const char *name)
{
	struct fields fields;
	struct field field;
	size_t count = 0;

	fields_start(&fields, block, len);
	while (fields_next(&fields, &field))
		count += (size_t)field_is(&field, name);
	return count;
}
