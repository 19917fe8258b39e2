#include "mail/compose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <gmime/gmime.h>
#include "lib/address.h"
#include "lib/addresslist.h"
#include "mail/harm.h"

struct work {
	const struct composition *from;
	struct composed *into;
	GMimeMessage *message;
	const char *what, *why;
};

static int
refuse(struct work *work, const char *what, const char *why)
{
	work->what = what;
	work->why = why;
	errno = EINVAL;
	return -1;
}

static int
no_memory(void)
{
	errno = ENOMEM;
	return -1;
}

/* --- addresses ------------------------------------------------------------ */

static int
count_address(void *context, const struct path *path)
{
	size_t *count = context;

	(void)path;
	(*count)++;
	return 0;
}

/*
 * Appends the addresses of a list, groups' members too, to *into. What GMime reads
 * counts, if lib/addresslist.h reads as many: neither alone decides where a
 * message goes. Returns how many, or -1.
 */
static int
take_list(struct work *work, InternetAddressList *list, const char *text,
	stralloc *into)
{
	char buffer[ADDRESS_TEXT_MAX + 1];
	struct path path;
	int i, more, count = 0;

	for (i = 0; i < internet_address_list_length(list); i++) {
		InternetAddress *address =
			internet_address_list_get_address(list, i);

		if (INTERNET_ADDRESS_IS_GROUP(address)) {
			more = take_list(work,
				internet_address_group_get_members(
					INTERNET_ADDRESS_GROUP(address)),
				text, into);
			if (more < 0)
				return -1;
			count += more;
			continue;
		}
		const char *addr = internet_address_mailbox_get_idn_addr(
			INTERNET_ADDRESS_MAILBOX(address));
		if (addr == NULL || address_mailbox_scan(addr, strlen(addr),
					    ADDRESS_NO_DOMAIN, &path) < 0)
			return refuse(work, text,
				"has an address that is none, or that is not "
				"of "
				"ASCII before its @");
		address_write(buffer, sizeof(buffer), &path);
		if (!stralloc_cats(into, buffer) || !stralloc_append(into, 0))
			return no_memory();
		count++;
	}
	return count;
}

/* Reads a list of addresses; its members to *list, owned by the caller. */
static int
read_addresses(struct work *work, const char *text, stralloc *into,
	InternetAddressList **list)
{
	size_t expected = 0;
	int count;

	*list = NULL;
	if (!draft_value_ok(text) || harm_in_body(text, strlen(text)))
		return refuse(work, text, "cannot stand in a field");
	if (addresslist_read(text, strlen(text),
		    ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, count_address, &expected,
		    NULL) != ADDRESSLIST_OK)
		return refuse(work, text, "is no list of addresses");
	*list = internet_address_list_parse(NULL, text);
	if (*list == NULL)
		return refuse(work, text, "is no list of addresses");
	count = take_list(work, *list, text, into);
	if (count >= 0 && (size_t)count != expected)
		count = refuse(work, text, "is no clear list of addresses");
	if (count < 0) {
		g_object_unref(*list);
		*list = NULL;
	}
	return count;
}

static int
add_recipients(struct work *work, const char *const *texts, size_t count,
	InternetAddressList *field)
{
	InternetAddressList *list;
	size_t i;

	for (i = 0; i < count; i++) {
		if (read_addresses(
			    work, texts[i], &work->into->recipients, &list) < 0)
			return -1;
		if (field != NULL)
			internet_address_list_append(field, list);
		g_object_unref(list);
	}
	return 0;
}

static int
set_from(struct work *work)
{
	const char *from = work->from->from;
	InternetAddressList *list;
	int count;

	if (from == NULL)
		return stralloc_append(&work->into->sender, 0) ? 0
							       : no_memory();
	count = read_addresses(work, from, &work->into->sender, &list);
	if (count < 0)
		return -1;
	if (count == 1)
		internet_address_list_append(
			g_mime_message_get_from(work->message), list);
	g_object_unref(list);
	return count == 1 ? 0 : refuse(work, from, "is not one address");
}

static int
set_recipients(struct work *work)
{
	const struct composition *from = work->from;
	InternetAddressList *to = g_mime_message_get_to(work->message);
	InternetAddressList *cc = g_mime_message_get_cc(work->message);

	if (add_recipients(work, from->to, from->to_count, to) < 0 ||
		add_recipients(work, from->cc, from->cc_count, cc) < 0 ||
		add_recipients(work, from->bcc, from->bcc_count, NULL) < 0)
		return -1;
	if (work->into->recipients.len == 0)
		return refuse(work, "", "there is no recipient");
	if (internet_address_list_length(to) == 0 &&
		internet_address_list_length(cc) == 0) {
		InternetAddress *group =
			internet_address_group_new("undisclosed-recipients");
		internet_address_list_add(to, group);
		g_object_unref(group);
	}
	return 0;
}

/* --- other fields --------------------------------------------------------- */

/* As it stands, for structure must not be encoded; folded at its spaces. */
static int
append_ascii(struct work *work, const char *name, const char *value)
{
	GMimeHeaderList *list =
		g_mime_object_get_header_list(GMIME_OBJECT(work->message));
	stralloc raw = STRALLOC_ZERO;

	if (draft_fold(value, strlen(name) + 1, &raw) < 0) {
		stralloc_free(&raw);
		return -1;
	}
	g_mime_header_list_append(list, name, "", NULL);
	g_mime_header_set_raw_value(
		g_mime_header_list_get_header_at(
			list, g_mime_header_list_get_count(list) - 1),
		raw.s);
	stralloc_free(&raw);
	return 0;
}

static int
set_header(struct work *work, const char *text)
{
	const char *value;
	size_t len;
	char name[80];

	if (!draft_value_ok(text))
		return refuse(work, text, "cannot stand in a field");
	if (draft_header(text, &len, &value) < 0)
		return refuse(work, text, "is no field that may be added");
	memcpy(name, text, len);
	name[len] = 0;
	if (harm_is_address_field(name, len)) {
		InternetAddressList *list;
		stralloc unused = STRALLOC_ZERO;
		int count = read_addresses(work, value, &unused, &list);

		stralloc_free(&unused);
		if (count < 0)
			return -1;
		g_object_unref(list);
	} else if (!g_mime_utils_text_is_8bit(
			   (const unsigned char *)value, strlen(value))) {
		return append_ascii(work, name, value);
	}
	g_mime_object_append_header(
		GMIME_OBJECT(work->message), name, value, "utf-8");
	return 0;
}

/* The domain of the sender, or this host's name. */
static void
set_message_id(struct work *work)
{
	const char *at = strrchr(work->into->sender.s, '@');
	char host[256];
	char *id;

	if (gethostname(host, sizeof(host)) < 0)
		host[0] = 0;
	host[sizeof(host) - 1] = 0;
	if (at == NULL && !domain_valid(host, strlen(host)))
		memcpy(host, "localhost", 10);
	id = g_mime_utils_generate_message_id(at != NULL ? at + 1 : host);
	g_mime_message_set_message_id(work->message, id);
	g_free(id);
}

static int
set_fields(struct work *work)
{
	const struct composition *from = work->from;
	GDateTime *now = g_date_time_new_now_local();
	size_t i;

	g_mime_message_set_date(work->message, now);
	g_date_time_unref(now);
	if (set_from(work) < 0 || set_recipients(work) < 0)
		return -1;
	if (from->subject != NULL) {
		if (!draft_value_ok(from->subject))
			return refuse(
				work, from->subject, "cannot stand in a field");
		g_mime_message_set_subject(
			work->message, from->subject, "utf-8");
	}
	set_message_id(work);
	for (i = 0; i < from->header_count; i++) {
		if (set_header(work, from->headers[i]) < 0)
			return -1;
	}
	return 0;
}

/* --- parts ---------------------------------------------------------------- */

/* A part with this content, which is copied, in this encoding. */
static GMimePart *
make_part(const char *type, const char *octets, size_t len,
	GMimeContentEncoding encoding)
{
	char *word = g_strndup(type, strcspn(type, "/"));
	GMimePart *part =
		g_mime_part_new_with_type(word, type + strcspn(type, "/") + 1);
	GMimeStream *stream =
		g_mime_stream_mem_new_with_buffer(len > 0 ? octets : "", len);
	GMimeDataWrapper *content = g_mime_data_wrapper_new_with_stream(
		stream, GMIME_CONTENT_ENCODING_DEFAULT);

	g_free(word);
	g_mime_part_set_content(part, content);
	g_mime_part_set_content_encoding(part, encoding);
	g_object_unref(content);
	g_object_unref(stream);
	return part;
}

/* CRLF line ends, which text in base64 has (RFC 2045 section 6.8). */
static int
canonical(const stralloc *text, stralloc *into)
{
	size_t i, start = 0;

	for (i = 0; i < text->len; i++) {
		if (text->s[i] != '\n')
			continue;
		if (!stralloc_catb(into, text->s + start, i - start) ||
			!stralloc_catb(into, "\r\n", 2))
			return no_memory();
		start = i + 1;
	}
	return 0;
}

/* A part of text; NULL if it cannot be. */
static GMimeObject *
make_text(struct work *work, const stralloc *from, const char *type)
{
	static const GMimeContentEncoding ENCODINGS[] = {
		[DRAFT_7BIT] = GMIME_CONTENT_ENCODING_7BIT,
		[DRAFT_8BIT] = GMIME_CONTENT_ENCODING_8BIT,
		[DRAFT_QUOTED] = GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE,
		[DRAFT_BASE64] = GMIME_CONTENT_ENCODING_BASE64,
	};
	stralloc text = STRALLOC_ZERO, crlf = STRALLOC_ZERO;
	const stralloc *content = &text;
	GMimePart *part = NULL;
	int encoding;

	if (draft_text(from->s, from->len, &text) < 0) {
		if (errno == EINVAL)
			refuse(work, "", "the text is no UTF-8, or has a NUL");
		goto end;
	}
	encoding = draft_choose(text.s, text.len, work->from->encoding);
	if (encoding < 0) {
		refuse(work, "", "the text cannot be sent in that encoding");
		goto end;
	}
	if (encoding == DRAFT_BASE64) {
		if (canonical(&text, &crlf) < 0)
			goto end;
		content = &crlf;
	}
	part = make_part(type, content->s, content->len, ENCODINGS[encoding]);
	g_mime_object_set_content_type_parameter(
		GMIME_OBJECT(part), "charset", "utf-8");
end:
	stralloc_free(&text);
	stralloc_free(&crlf);
	return part == NULL ? NULL : GMIME_OBJECT(part);
}

/* Takes over both; multipart/SUBTYPE with them in it. */
static GMimeObject *
join(const char *subtype, GMimeObject *first, GMimeObject *second)
{
	GMimeMultipart *multipart = g_mime_multipart_new_with_subtype(subtype);

	if (first != NULL) {
		g_mime_multipart_add(multipart, first);
		g_object_unref(first);
	}
	if (second != NULL) {
		g_mime_multipart_add(multipart, second);
		g_object_unref(second);
	}
	return GMIME_OBJECT(multipart);
}

/* Text, HTML, or both as alternatives; an empty text if there is neither. */
static GMimeObject *
make_body(struct work *work)
{
	static const stralloc NONE = STRALLOC_ZERO;
	const struct composition *from = work->from;
	GMimeObject *text = NULL, *html = NULL;

	if (from->text != NULL || from->html == NULL) {
		text = make_text(work, from->text != NULL ? from->text : &NONE,
			"text/plain");
		if (text == NULL)
			return NULL;
	}
	if (from->html == NULL)
		return text;
	html = make_text(work, from->html, "text/html");
	if (html == NULL) {
		if (text != NULL)
			g_object_unref(text);
		return NULL;
	}
	return text == NULL ? html : join("alternative", text, html);
}

static GMimeObject *
make_attachment(struct work *work, const struct attachment *from)
{
	GMimePart *part;
	GMimeParam *name;

	if (!draft_value_ok(from->name) || *from->name == 0) {
		refuse(work, from->name, "cannot be the name of a file");
		return NULL;
	}
	if (!draft_is_type(from->type, strlen(from->type)) ||
		strncasecmp(from->type, "multipart/", 10) == 0 ||
		strncasecmp(from->type, "message/", 8) == 0) {
		refuse(work, from->type, "cannot be the type of an attachment");
		return NULL;
	}
	part = make_part(from->type, from->octets, from->len,
		GMIME_CONTENT_ENCODING_BASE64);
	g_mime_object_set_disposition(GMIME_OBJECT(part), "attachment");
	g_mime_object_set_content_disposition_parameter(
		GMIME_OBJECT(part), "filename", from->name);
	name = g_mime_param_list_get_parameter(
		g_mime_content_disposition_get_parameters(
			g_mime_object_get_content_disposition(
				GMIME_OBJECT(part))),
		"filename");
	g_mime_param_set_charset(name, "utf-8");
	g_mime_param_set_encoding_method(
		name, GMIME_PARAM_ENCODING_METHOD_RFC2231);
	return GMIME_OBJECT(part);
}

static int
set_content(struct work *work)
{
	GMimeObject *top = make_body(work), *part;
	size_t i;

	for (i = 0; top != NULL && i < work->from->attachment_count; i++) {
		part = make_attachment(work, &work->from->attachments[i]);
		if (part == NULL) {
			g_object_unref(top);
			return -1;
		}
		if (i == 0)
			top = join("mixed", top, NULL);
		g_mime_multipart_add(GMIME_MULTIPART(top), part);
		g_object_unref(part);
	}
	if (top == NULL)
		return -1;
	g_mime_message_set_mime_part(work->message, top);
	g_object_unref(top);
	return 0;
}

/* --- all of it ------------------------------------------------------------ */

static int
write_message(struct work *work)
{
	GMimeStream *stream = g_mime_stream_mem_new();
	GByteArray *bytes =
		g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
	int result = 0;

	g_mime_object_write_to_stream(
		GMIME_OBJECT(work->message), NULL, stream);
	if (!stralloc_catb(&work->into->message, (const char *)bytes->data,
		    bytes->len))
		result = no_memory();
	g_object_unref(stream);
	if (result == 0 && !draft_message_ok(work->into->message.s,
				   work->into->message.len))
		return refuse(work, "", "a field or a line is too long");
	return result;
}

int
compose(const struct composition *from, struct composed *composed,
	const char **what, const char **why)
{
	struct work work = {.from = from, .into = composed};
	int result, error;

	memset(composed, 0, sizeof(*composed));
	work.message = g_mime_message_new(TRUE);
	result = set_fields(&work);
	if (result == 0)
		result = set_content(&work);
	if (result == 0)
		result = write_message(&work);
	error = errno;
	g_object_unref(work.message);
	*what = work.what;
	*why = work.why;
	errno = error;
	return result;
}

void
compose_free(struct composed *composed)
{
	stralloc_free(&composed->message);
	stralloc_free(&composed->recipients);
	stralloc_free(&composed->sender);
}
