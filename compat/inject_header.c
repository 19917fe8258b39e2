#include "compat/inject_header.h"

#include <string.h>
#include <strings.h>
#include "lib/addresslist.h"
#include "lib/escape.h"
#include "lib/fields.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Without their "Resent-". */
static const char *const recipient[] = {"To", "Cc", "Bcc", "Apparently-To"};
static const char *const with_addresses[] = {"From", "Sender", "Reply-To", "To",
	"Cc", "Apparently-To", "Errors-To", "Return-Receipt-To",
	"Mail-Followup-To", "Mail-Reply-To"};
static const char *const removed[] = {"Bcc", "Return-Path", "Content-Length"};

struct making {
	const struct inject_header *inject;
	stralloc *into;
	stralloc visible; /* To and Cc, with commas, for Mail-Followup-To */
	bool is_resent, is_listed;
};

/* The name without "Resent-"; *is_resent says whether that stood there. */
static struct field
plain(const struct field *field, bool *is_resent)
{
	struct field bare = *field;

	*is_resent = field->name_len > 7 &&
		     strncasecmp(field->name, "Resent-", 7) == 0;
	if (*is_resent) {
		bare.name += 7;
		bare.name_len -= 7;
	}
	return bare;
}

static bool
is_in(const struct field *field, const char *const *name, size_t names)
{
	for (size_t i = 0; i < names; i++)
		if (field_is(field, name[i]))
			return true;
	return false;
}

static bool
has(const char *block, size_t len, const char *prefix, const char *name)
{
	char all[40];

	memcpy(all, prefix, strlen(prefix));
	memcpy(all + strlen(prefix), name, strlen(name) + 1);
	return fields_count(block, len, all) > 0;
}

static bool
add(stralloc *into, const char *prefix, const char *name, const char *body)
{
	return stralloc_cats(into, prefix) && stralloc_cats(into, name) &&
	       stralloc_cats(into, ": ") && stralloc_cats(into, body) &&
	       stralloc_cats(into, "\n");
}

/* Whether a line of the lists is this address. */
static bool
is_list(const char *lists, const char *address)
{
	size_t length = strlen(address);

	for (const char *line = lists; *line != 0;) {
		size_t end = strcspn(line, "\n");

		if (end == length && strncasecmp(line, address, end) == 0)
			return true;
		line += end;
		line += *line == '\n';
	}
	return false;
}

static int
note_visible(void *context, const struct path *path)
{
	struct making *making = context;
	char text[ADDRESS_TEXT_MAX + 1];

	address_write(text, sizeof text, path);
	making->is_listed |= is_list(making->inject->followup_lists, text);
	return !((making->visible.len == 0 ||
			 stralloc_cats(&making->visible, ",\n  ")) &&
		 stralloc_cats(&making->visible, text));
}

/* A field with addresses, made whole, or as it stands if it is none. */
static enum inject_result
put_addresses(struct making *making, const struct field *field,
	const struct field *bare, bool is_ours)
{
	const struct inject_header *inject = making->inject;
	bool is_recipient =
		is_ours && is_in(bare, recipient, LENGTH(recipient));
	enum addresslist_result read = ADDRESSLIST_OK;
	stralloc body = STRALLOC_ZERO;
	bool done = rewrite_list(&inject->rewrite, field->body, field->body_len,
			    &body) == 0;

	if (done && is_recipient && inject->each != NULL)
		read = addresslist_read(body.s, body.len,
			ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, inject->each,
			inject->context, NULL);
	if (done && is_recipient && inject->followup_lists != NULL &&
		!field_is(bare, "Bcc"))
		addresslist_read(body.s, body.len, ADDRESS_UTF8, note_visible,
			making, NULL);
	if (done && !is_in(bare, removed, LENGTH(removed)))
		done = stralloc_catb(making->into, field->start,
			       (size_t)(field->body - field->start)) &&
		       stralloc_catb(making->into, body.s, body.len) &&
		       stralloc_cats(making->into, "\n");
	stralloc_free(&body);
	if (!done)
		return INJECT_MEMORY;
	return read == ADDRESSLIST_OK	 ? INJECT_OK
	       : read == ADDRESSLIST_BAD ? INJECT_BAD
					 : INJECT_STOPPED;
}

static enum inject_result
put(struct making *making, const struct field *field)
{
	const struct inject_header *inject = making->inject;
	bool is_resent;
	struct field bare = plain(field, &is_resent);

	if ((inject->drops_from && field_is(&bare, "From")) ||
		(inject->drops_id && field_is(&bare, "Message-ID")))
		return INJECT_OK;
	if (is_in(&bare, with_addresses, LENGTH(with_addresses)) ||
		field_is(&bare, "Bcc"))
		return put_addresses(
			making, field, &bare, is_resent == making->is_resent);
	if (is_in(&bare, removed, LENGTH(removed)))
		return INJECT_OK;
	/* The last line of a message may lack its end. */
	return stralloc_catb(making->into, field->start, field->len) &&
			       (field->start[field->len - 1] == '\n' ||
				       stralloc_cats(making->into, "\n"))
		       ? INJECT_OK
		       : INJECT_MEMORY;
}

/* What comes before the fields that are there. */
static bool
add_missing(struct making *making, const char *block, size_t len)
{
	const struct inject_header *inject = making->inject;
	const char *prefix = making->is_resent ? "Resent-" : "";

	return (has(block, len, prefix, "Date") ||
		       add(making->into, prefix, "Date", inject->date)) &&
	       ((!inject->drops_id && has(block, len, prefix, "Message-ID")) ||
		       add(making->into, prefix, "Message-ID",
			       inject->message_id)) &&
	       ((!inject->drops_from && has(block, len, prefix, "From")) ||
		       add(making->into, prefix, "From", inject->from));
}

/* And what comes after them. */
static bool
add_last(struct making *making, const char *block, size_t len)
{
	const char *prefix = making->is_resent ? "Resent-" : "";

	if (!has(block, len, prefix, "To") && !has(block, len, prefix, "Cc") &&
		!add(making->into, prefix, "Cc", "recipient list not shown: ;"))
		return false;
	if (making->is_listed && !has(block, len, "", "Mail-Followup-To"))
		return stralloc_0(&making->visible) &&
		       add(making->into, "", "Mail-Followup-To",
			       making->visible.s);
	return true;
}

static bool
is_resent_message(const char *block, size_t len)
{
	struct fields fields;
	struct field field;
	bool is_resent = false;

	fields_start(&fields, block, len);
	while (!is_resent && fields_next(&fields, &field))
		plain(&field, &is_resent);
	return is_resent;
}

enum inject_result
inject_header(const struct inject_header *inject, const char *block, size_t len,
	stralloc *into, size_t *body_at, char *bad, size_t size)
{
	struct making making = {.inject = inject,
		.into = into,
		.visible = STRALLOC_ZERO,
		.is_resent = is_resent_message(block, len)};
	enum inject_result result = INJECT_OK;
	struct fields fields;
	struct field field;

	if (!add_missing(&making, block, len))
		return INJECT_MEMORY;
	fields_start(&fields, block, len);
	while (result == INJECT_OK && fields_next(&fields, &field))
		result = put(&making, &field);
	if (result == INJECT_BAD)
		escape_line(bad, size, field.start, field.len, ESCAPE_MASK);
	if (result == INJECT_OK &&
		(!add_last(&making, block, len) || !stralloc_cats(into, "\n")))
		result = INJECT_MEMORY;
	*body_at = fields.body_at;
	stralloc_free(&making.visible);
	return result;
}

int
inject_return_path(const struct rewrite *rewrite, const char *block, size_t len,
	stralloc *into)
{
	struct fields fields;
	struct field field;
	int found = 0;

	fields_start(&fields, block, len);
	while (fields_next(&fields, &field)) {
		char body[1200];

		if (!field_is(&field, "Return-Path"))
			continue;
		size_t length = field_unfold(&field, body, sizeof body);
		if (length < 2 || body[0] != '<' || body[length - 1] != '>')
			continue;
		into->len = 0;
		if (rewrite_address(rewrite, body + 1, length - 2, into) < 0)
			return -1;
		found = 1;
	}
	return found;
}
