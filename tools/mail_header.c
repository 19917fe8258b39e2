#include "tools/mail_header.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include "lib/addresslist.h"
#include "lib/date.h"
#include "lib/escape.h"
#include "lib/fields.h"

#define NAME_MAX_OCTETS 200
/* So many names of Resent- fields are told apart. */
#define RESENT_NAMES_MAX 32

static const char *const recipient_field[] = {"To", "Cc", "Bcc"};
static const char *const resent_field[] = {
	"Resent-To", "Resent-Cc", "Resent-Bcc"};
static const char *const removed_field[] = {
	"Bcc", "Resent-Bcc", "Return-Path", "Content-Length"};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static int
is_one_of(const struct field *field, const char *const *name, size_t names)
{
	for (size_t i = 0; i < names; i++)
		if (field_is(field, name[i]))
			return 1;
	return 0;
}

static int
is_resent_field(const struct field *field)
{
	return field->name_len > 7 &&
	       strncasecmp(field->name, "Resent-", 7) == 0;
}

static int
is_same_name(const struct field *a, const struct field *b)
{
	return a->name_len == b->name_len &&
	       strncasecmp(a->name, b->name, a->name_len) == 0;
}

/*
 * How much of the header holds the newest set of Resent- fields: all, or the part
 * before a trace field or a name that comes again after others, because each
 * resending puts its set before all that stands there. 0: there is none.
 */
static size_t
resent_length(const char *block, size_t length)
{
	struct field field, seen[RESENT_NAMES_MAX];
	struct fields fields;
	unsigned count = 0, last = 0;

	fields_start(&fields, block, length);
	while (fields_next(&fields, &field)) {
		unsigned i = 0;

		if (count > 0 && field_is(&field, "Received"))
			return (size_t)(field.start - block);
		if (!is_resent_field(&field))
			continue;
		while (i < count && !is_same_name(&seen[i], &field))
			i++;
		if (i < count && (i != last || !is_one_of(&field, resent_field,
						       LENGTH(resent_field))))
			return (size_t)(field.start - block);
		if (i == count && count < RESENT_NAMES_MAX)
			seen[count++] = field;
		last = i;
	}
	return count > 0 ? length : 0;
}

enum mail_header_result
mail_header_recipients(const char *block, size_t length,
	int (*each)(void *context, const struct path *path), void *context,
	char *bad, size_t size)
{
	const char *const *wanted = recipient_field;
	struct fields fields;
	struct field field;

	size_t newest = resent_length(block, length);
	if (newest > 0) {
		wanted = resent_field;
		length = newest;
	}
	fields_start(&fields, block, length);
	while (fields_next(&fields, &field)) {
		if (!is_one_of(&field, wanted, LENGTH(recipient_field)))
			continue;
		switch (addresslist_read(field.body, field.body_len,
			ADDRESS_NO_DOMAIN | ADDRESS_UTF8, each, context,
			NULL)) {
		case ADDRESSLIST_OK:
			break;
		case ADDRESSLIST_BAD:
			escape_line(
				bad, size, field.start, field.len, ESCAPE_MASK);
			return MAIL_HEADER_BAD;
		case ADDRESSLIST_STOPPED:
			return MAIL_HEADER_STOPPED;
		}
	}
	return MAIL_HEADER_OK;
}

static int
add_field(
	stralloc *into, const char *prefix, const char *name, const char *body)
{
	return stralloc_cats(into, prefix) && stralloc_cats(into, name) &&
			       stralloc_cats(into, ": ") &&
			       stralloc_cats(into, body) &&
			       stralloc_cats(into, "\n")
		       ? 0
		       : -1;
}

static int
add_missing(const char *block, size_t length,
	const struct mail_header_additions *additions, stralloc *into)
{
	size_t newest = resent_length(block, length);
	const char *prefix = newest > 0 ? "Resent-" : "";
	char date[DATE_OCTETS + 1], name[32];
	const char *const addition[][2] = {
		{"Date", date},
		{"Message-ID", additions->message_id},
		{"From", additions->from},
	};

	if (newest > 0)
		length = newest;
	date_write(date, additions->time_s);
	for (size_t i = 0; i < LENGTH(addition); i++) {
		size_t prefix_length = strlen(prefix);

		memcpy(name, prefix, prefix_length);
		memcpy(name + prefix_length, addition[i][0],
			strlen(addition[i][0]) + 1);
		if (fields_count(block, length, name) == 0 &&
			add_field(into, prefix, addition[i][0],
				addition[i][1]) < 0)
			return -1;
	}
	return 0;
}

int
mail_header_rewrite(const char *block, size_t length,
	const struct mail_header_additions *additions, stralloc *into,
	size_t *body_at)
{
	struct fields fields;
	struct field field;

	if (add_missing(block, length, additions, into) < 0)
		return -1;
	fields_start(&fields, block, length);
	while (fields_next(&fields, &field)) {
		if (is_one_of(&field, removed_field, LENGTH(removed_field)))
			continue;
		if (!stralloc_catb(into, field.start, field.len))
			return -1;
		/* The last line of a message may lack its end. */
		if (field.start[field.len - 1] != '\n' &&
			!stralloc_cats(into, "\n"))
			return -1;
	}
	*body_at = fields.body_at;
	return stralloc_cats(into, "\n") ? 0 : -1;
}

/* An encoded word for each piece of at most 10 characters: under 75 octets. */
static int
add_encoded(const char *name, size_t length, stralloc *into)
{
	static const char digit[] = "0123456789ABCDEF";
	size_t in_word = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)name[i];
		char octet[3] = {'=', digit[c >> 4], digit[c & 15]};

		/* A word ends between characters: RFC 2047 section 5. */
		if (in_word >= 40 && (c & 0xc0) != 0x80) {
			if (!stralloc_cats(into, "?= "))
				return -1;
			in_word = 0;
		}
		if (in_word == 0 && !stralloc_cats(into, "=?utf-8?Q?"))
			return -1;
		if (!stralloc_catb(into, octet, 3))
			return -1;
		in_word += 3;
	}
	return stralloc_cats(into, "?=") ? 0 : -1;
}

static int
add_quoted(const char *name, size_t length, stralloc *into)
{
	if (!stralloc_cats(into, "\""))
		return -1;
	for (size_t i = 0; i < length; i++) {
		if ((name[i] == '"' || name[i] == '\\') &&
			!stralloc_cats(into, "\\"))
			return -1;
		if (!stralloc_catb(into, name + i, 1))
			return -1;
	}
	return stralloc_cats(into, "\"") ? 0 : -1;
}

int
mail_header_from(const char *name, const char *address, stralloc *into)
{
	static const char atom[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "!#$%&'*+-/=?^_`{|}~ ";
	size_t length = strlen(name);
	int eight_bit = 0, done;

	if (length > NAME_MAX_OCTETS) {
		errno = EINVAL;
		return -1;
	}
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)name[i];

		eight_bit |= c >= 0x80;
		if (c < 0x20 || c == 0x7f) {
			errno = EINVAL;
			return -1;
		}
	}
	if (length == 0)
		return stralloc_cats(into, address) ? 0 : -1;
	if (eight_bit)
		done = add_encoded(name, length, into);
	else if (strspn(name, atom) == length)
		done = stralloc_cats(into, name) ? 0 : -1;
	else
		done = add_quoted(name, length, into);
	return done == 0 && stralloc_cats(into, " <") &&
			       stralloc_cats(into, address) &&
			       stralloc_cats(into, ">")
		       ? 0
		       : -1;
}
