#include "mail/message.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <gmime/gmime.h>
#include "lib/fields.h"
#include "mail/charset.h"
#include "mail/harm.h"
#include "mail/html.h"
#include "mail/name.h"
#include "mail/uu.h"
#include "mail/words.h"

void
message_library_start(void)
{
	static const char *const CHARSETS[] = {"utf-8", "windows-1252", NULL};
	GMimeParserOptions *options;

	g_mime_init();
	options = g_mime_parser_options_get_default();
	g_mime_parser_options_set_fallback_charsets(
		options, (const char **)(uintptr_t)CHARSETS);
}

/* --- reading -------------------------------------------------------------- */

static int
read_all(int fd, struct message *message)
{
	size_t room = 0;

	for (;;) {
		if (message->len == room) {
			room = room == 0 ? 65536 : 2 * room;
			char *more = realloc(message->octets, room);
			if (more == NULL)
				return -1;
			message->octets = more;
		}
		ssize_t count = read(fd, message->octets + message->len,
			room - message->len);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return (int)count;
		message->len += (size_t)count;
		if (message->len > MESSAGE_OCTETS_MAX) {
			errno = EFBIG;
			return -1;
		}
	}
}

static char *
copy_utf8(const char *text)
{
	stralloc made = STRALLOC_ZERO;

	if (text == NULL || *text == 0)
		return NULL;
	if (charset_to_utf8(text, strlen(text), NULL, &made) < 0 ||
		!stralloc_append(&made, 0)) {
		stralloc_free(&made);
		return NULL;
	}
	return made.s;
}

/* Messages within a message have no name but their subject. */
static const char *
name_of(GMimeObject *object)
{
	const char *name = NULL;

	if (GMIME_IS_PART(object))
		name = g_mime_part_get_filename(GMIME_PART(object));
	if (name == NULL)
		name = g_mime_object_get_content_disposition_parameter(
			object, "filename");
	if (name == NULL)
		name = g_mime_object_get_content_type_parameter(object, "name");
	return name;
}

/* Counts what is written to it. */
static size_t
content_size(GMimeObject *object)
{
	GMimeStream *null = g_mime_stream_null_new();
	gint64 size;

	if (GMIME_IS_PART(object)) {
		GMimeDataWrapper *content =
			g_mime_part_get_content(GMIME_PART(object));
		if (content != NULL)
			g_mime_data_wrapper_write_to_stream(content, null);
	} else {
		g_mime_object_write_content_to_stream(object, NULL, null);
	}
	size = (gint64)GMIME_STREAM_NULL(null)->written;
	g_object_unref(null);
	return size > 0 ? (size_t)size : 0;
}

static int
is_attachment(GMimeObject *object)
{
	const char *disposition = g_mime_object_get_disposition(object);

	return disposition != NULL && strcasecmp(disposition, "inline") != 0;
}

static int
is_type(GMimeObject *object, const char *type, const char *subtype)
{
	return g_mime_content_type_is_type(
		g_mime_object_get_content_type(object), type, subtype);
}

static int
is_readable(GMimeObject *object)
{
	return GMIME_IS_PART(object) && !is_attachment(object) &&
	       (is_type(object, "text", "plain") ||
		       is_type(object, "text", "html") ||
		       is_type(object, "message", "delivery-status"));
}

/* Whether there is text of this subtype in an object or, not too deep, below. */
static int
has_text(GMimeObject *object, const char *subtype, unsigned depth)
{
	int i, count;

	if (!GMIME_IS_MULTIPART(object))
		return is_readable(object) && is_type(object, "text", subtype);
	if (depth >= MESSAGE_DEPTH_MAX)
		return 0;
	count = g_mime_multipart_get_count(GMIME_MULTIPART(object));
	if (count > MESSAGE_PARTS_MAX)
		count = MESSAGE_PARTS_MAX;
	for (i = 0; i < count; i++) {
		if (has_text(g_mime_multipart_get_part(
				     GMIME_MULTIPART(object), i),
			    subtype, depth + 1))
			return 1;
	}
	return 0;
}

/* Which of the alternatives is read: plain text, else HTML; -1: none. */
static int
choose(GMimeMultipart *multipart, unsigned depth)
{
	static const char *const SUBTYPES[] = {"plain", "html"};
	int i, count = g_mime_multipart_get_count(multipart);
	size_t subtype;

	for (subtype = 0; subtype < 2; subtype++) {
		for (i = 0; i < count && i < MESSAGE_PARTS_MAX; i++) {
			if (has_text(g_mime_multipart_get_part(multipart, i),
				    SUBTYPES[subtype], depth + 1))
				return i;
		}
	}
	return -1;
}

static int
add_part(struct message *message, GMimeObject *object, int is_shown)
{
	struct message_part *part;

	if (message->count == MESSAGE_PARTS_MAX) {
		message->more = 1;
		return 0;
	}
	part = &message->parts[message->count++];
	char *type = g_mime_content_type_get_mime_type(
		g_mime_object_get_content_type(object));
	part->type = copy_utf8(type);
	g_free(type);
	if (part->type == NULL)
		return -1;
	for (char *at = part->type; *at != 0; at++)
		*at = g_ascii_tolower(*at);
	part->name = copy_utf8(name_of(object));
	part->charset = copy_utf8(
		g_mime_object_get_content_type_parameter(object, "charset"));
	part->is_text = is_shown && is_readable(object);
	part->object = object;
	part->size = content_size(object);
	return 0;
}

static int
walk(struct message *message, GMimeObject *object, int is_shown, unsigned depth)
{
	int i, count, chosen;

	if (!GMIME_IS_MULTIPART(object))
		return add_part(message, object, is_shown);
	if (depth >= MESSAGE_DEPTH_MAX) {
		message->more = 1;
		return 0;
	}
	GMimeMultipart *multipart = GMIME_MULTIPART(object);
	int is_choice = is_type(object, "multipart", "alternative");
	chosen = is_choice ? choose(multipart, depth) : -1;
	count = g_mime_multipart_get_count(multipart);
	for (i = 0; i < count && !message->more; i++) {
		if (walk(message, g_mime_multipart_get_part(multipart, i),
			    is_shown && (!is_choice || i == chosen),
			    depth + 1) < 0)
			return -1;
	}
	return 0;
}

/* Makes a part of a file in the text of part number i. */
static int
add_uu(struct message *message, const char *text, const struct uu_file *file)
{
	stralloc name = STRALLOC_ZERO, octets = STRALLOC_ZERO;
	struct message_part *part;

	if (message->count == MESSAGE_PARTS_MAX) {
		message->more = 1;
		return 0;
	}
	if (uu_decode(text, file, &octets) < 0 || !stralloc_ready(&octets, 1) ||
		charset_to_utf8(file->name, file->name_len, NULL, &name) < 0 ||
		!stralloc_append(&name, 0)) {
		stralloc_free(&octets);
		stralloc_free(&name);
		return -1;
	}
	part = &message->parts[message->count++];
	part->octets = octets.s;
	part->size = octets.len;
	part->name = name.s;
	part->type = strdup(name_type(name.s));
	return part->type == NULL ? -1 : 0;
}

/* Looks for files in the texts. */
static int
find_uu(struct message *message)
{
	size_t i, count = message->count, at;
	stralloc text = STRALLOC_ZERO;
	struct uu_file file;
	int result = 0;

	for (i = 0; i < count && result == 0; i++) {
		if (!message->parts[i].is_text ||
			strcmp(message->parts[i].type, "text/plain") != 0)
			continue;
		text.len = 0;
		result = message_content(&message->parts[i], &text);
		for (at = 0; result == 0 && !message->more &&
			     uu_find(text.s, text.len, at, &file);
			at = file.end)
			result = add_uu(message, text.s, &file);
	}
	stralloc_free(&text);
	return result;
}

int
message_read(int fd, struct message *message)
{
	GMimeStream *stream;
	GMimeParser *parser;
	GMimeMessage *root;
	GMimeObject *top;

	memset(message, 0, sizeof(*message));
	if (read_all(fd, message) < 0)
		return -1;
	if (harm_in_message(message->octets, message->len)) {
		errno = ELOOP;
		return -1;
	}
	message->parts = calloc(MESSAGE_PARTS_MAX, sizeof(*message->parts));
	if (message->parts == NULL)
		return -1;
	stream = g_mime_stream_mem_new_with_buffer(
		message->octets, message->len);
	parser = g_mime_parser_new_with_stream(stream);
	g_object_unref(stream);
	root = message->len == 0
		       ? NULL
		       : g_mime_parser_construct_message(parser, NULL);
	g_object_unref(parser);
	if (root == NULL) {
		errno = EBADMSG;
		return -1;
	}
	message->root = root;
	top = g_mime_message_get_mime_part(root);
	if (top != NULL &&
		(walk(message, top, 1, 0) < 0 || find_uu(message) < 0)) {
		errno = ENOMEM;
		return -1;
	}
	return 0;
}

void
message_free(struct message *message)
{
	size_t i;

	for (i = 0; message->parts != NULL && i < message->count; i++) {
		free(message->parts[i].type);
		free(message->parts[i].name);
		free(message->parts[i].charset);
		free(message->parts[i].octets);
	}
	free(message->parts);
	free(message->octets);
	if (message->root != NULL)
		g_object_unref(message->root);
	memset(message, 0, sizeof(*message));
}

/* --- contents ------------------------------------------------------------- */

int
message_content(const struct message_part *part, stralloc *into)
{
	if (part->octets != NULL)
		return stralloc_catb(into, part->octets, part->size) ? 0 : -1;
	GMimeStream *stream = g_mime_stream_mem_new();
	GByteArray *bytes =
		g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
	int result = 0;

	if (GMIME_IS_PART(part->object)) {
		GMimeDataWrapper *content =
			g_mime_part_get_content(GMIME_PART(part->object));
		if (content != NULL)
			g_mime_data_wrapper_write_to_stream(content, stream);
	} else {
		g_mime_object_write_content_to_stream(
			GMIME_OBJECT(part->object), NULL, stream);
	}
	if (bytes->len > 0 &&
		!stralloc_catb(into, (const char *)bytes->data, bytes->len)) {
		errno = ENOMEM;
		result = -1;
	}
	g_object_unref(stream);
	return result;
}

/* Appends text with LF for CRLF, and an LF at its end. */
static int
append_lines(stralloc *into, const char *text, size_t len)
{
	size_t i, start = 0;

	for (i = 0; i + 1 < len; i++) {
		if (text[i] != '\r' || text[i + 1] != '\n')
			continue;
		if (i > start && !stralloc_catb(into, text + start, i - start))
			return -1;
		start = i + 1;
	}
	if (len > start && !stralloc_catb(into, text + start, len - start))
		return -1;
	if (len > 0 && text[len - 1] != '\n' && !stralloc_catb(into, "\n", 1))
		return -1;
	return 0;
}

static int
part_text(const struct message_part *part, stralloc *into)
{
	stralloc octets = STRALLOC_ZERO, left = STRALLOC_ZERO;
	stralloc text = STRALLOC_ZERO;
	const stralloc *from;
	char label[HTML_CHARSET_MAX + 1] = "";
	int is_html = strcmp(part->type, "text/html") == 0, result = -1;

	if (message_content(part, &octets) < 0)
		goto end;
	if (is_html && part->charset == NULL)
		html_charset(octets.s, octets.len, label);
	if (!is_html && uu_without(octets.s, octets.len, &left) < 0)
		goto end;
	from = is_html ? &octets : &left;
	if (charset_to_utf8(from->s, from->len,
		    part->charset != NULL ? part->charset : label, &text) < 0)
		goto end;
	if (is_html)
		result = html_to_text(text.s, text.len, into);
	else
		result = append_lines(into, text.s, text.len);
end:
	stralloc_free(&octets);
	stralloc_free(&left);
	stralloc_free(&text);
	return result;
}

int
message_text(const struct message *message, stralloc *into)
{
	size_t i, first = into->len, before;

	for (i = 0; i < message->count; i++) {
		if (!message->parts[i].is_text)
			continue;
		before = into->len;
		if (before > first && !stralloc_catb(into, "\n", 1))
			return -1;
		size_t start = into->len;
		if (part_text(&message->parts[i], into) < 0)
			return -1;
		if (into->len == start)
			into->len = before;
	}
	return 0;
}

/* --- fields --------------------------------------------------------------- */

static char *
decode(const char *name, const char *text)
{
	InternetAddressList *list;
	char *made;

	if (!harm_is_address_field(name, strlen(name)) ||
		harm_in_body(text, strlen(text)))
		return g_mime_utils_header_decode_text(NULL, text);
	list = internet_address_list_parse(NULL, text);
	if (list == NULL)
		return g_mime_utils_header_decode_text(NULL, text);
	made = internet_address_list_to_string(list, NULL, FALSE);
	g_object_unref(list);
	return made;
}

int
message_decode(const char *name, const char *body, size_t len, stralloc *into)
{
	struct field field = {.body = body, .body_len = len};
	stralloc joined = STRALLOC_ZERO;
	char *text = malloc(len + 1), *made;
	int result;

	if (text == NULL)
		return -1;
	result = words_join(text, field_unfold(&field, text, len + 1), &joined);
	free(text);
	if (result < 0 || !stralloc_append(&joined, 0)) {
		stralloc_free(&joined);
		return -1;
	}
	made = decode(name, joined.s);
	stralloc_free(&joined);
	if (made == NULL)
		return 0;
	result = charset_to_utf8(made, strlen(made), NULL, into);
	g_free(made);
	return result;
}

int
message_field(const char *block, size_t len, const char *name, stralloc *into)
{
	struct fields fields;
	struct field field;

	fields_start(&fields, block, len);
	while (fields_next(&fields, &field)) {
		if (field_is(&field, name))
			return message_decode(
				name, field.body, field.body_len, into);
	}
	return 0;
}
