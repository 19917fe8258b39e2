#include "mail/show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/fields.h"
#include "mail/charset.h"
#include "mail/name.h"
#include "tools/json.h"

/* Of a field in a list, so many characters at most. */
#define LIST_FROM 30
#define LIST_SUBJECT 60

static const char *const FIELDS[] = {
	"Date", "From", "Sender", "Reply-To", "To", "Cc", "Subject"};
#define FIELD_COUNT (sizeof(FIELDS) / sizeof(FIELDS[0]))

static int
print_text(const struct show_options *options, const char *text, size_t len,
	int lines)
{
	charset_print(stdout, options->charset, text, len, lines);
	return 0;
}

/* A text as JSON; what follows a NUL in it too, as U+FFFD. */
static int
print_json_text(stralloc *text)
{
	size_t i;
	stralloc whole = STRALLOC_ZERO;
	int result = -1;

	for (i = 0; i < text->len; i++) {
		if (text->s[i] == 0 ? !stralloc_cats(&whole, "\xef\xbf\xbd")
				    : !stralloc_catb(&whole, text->s + i, 1))
			goto end;
	}
	if (!stralloc_append(&whole, 0))
		goto end;
	json_text(whole.s);
	result = 0;
end:
	stralloc_free(&whole);
	return result;
}

/* --- one message ---------------------------------------------------------- */

/* Calls print for the fields of the message that are wanted. */
static int
each_field(const struct message *message, const struct show_options *options,
	int (*print)(const struct show_options *options, const char *name,
		stralloc *body, size_t number))
{
	struct fields fields;
	struct field field;
	stralloc body = STRALLOC_ZERO;
	char name[80];
	size_t i, number = 0, len = message->len;
	int result = 0;

	if (len > FIELDS_BLOCK_MAX)
		len = FIELDS_BLOCK_MAX;
	fields_start(&fields, message->octets, len);
	while (result == 0 && fields_next(&fields, &field)) {
		for (i = 0; i < FIELD_COUNT && !options->all_fields; i++) {
			if (field_is(&field, FIELDS[i]))
				break;
		}
		if (!options->all_fields && i == FIELD_COUNT)
			continue;
		snprintf(name, sizeof(name), "%.*s",
			field.name_len < 79 ? (int)field.name_len : 79,
			field.name);
		body.len = 0;
		result =
			message_decode(name, field.body, field.body_len, &body);
		if (result == 0)
			result = print(options, name, &body, number++);
	}
	stralloc_free(&body);
	return result;
}

static int
print_field(const struct show_options *options, const char *name,
	stralloc *body, size_t number)
{
	(void)number;
	print_text(options, name, strlen(name), 0);
	fputs(": ", stdout);
	print_text(options, body->s, body->len, 0);
	putchar('\n');
	return 0;
}

static int
print_json_field(const struct show_options *options, const char *name,
	stralloc *body, size_t number)
{
	(void)options;
	fputs(number > 0 ? ",\n  {\"name\": " : "\n  {\"name\": ", stdout);
	json_text(name);
	fputs(", \"value\": ", stdout);
	if (print_json_text(body) < 0)
		return -1;
	putchar('}');
	return 0;
}

static void
print_part(const struct show_options *options, const struct message_part *part,
	size_t number)
{
	char name[NAME_MAX_OCTETS + 1];

	name_for_file(name, part->name, part->type, (unsigned)number);
	printf("[%zu] ", number);
	print_text(options, name, strlen(name), 0);
	fputs(", ", stdout);
	print_text(options, part->type, strlen(part->type), 0);
	printf(", %zu octets\n", part->size);
}

static int
print_plain(const struct message *message, const struct show_options *options)
{
	stralloc text = STRALLOC_ZERO;
	size_t i, listed = 0;

	if (each_field(message, options, print_field) < 0)
		return -1;
	putchar('\n');
	if (message_text(message, &text) < 0) {
		stralloc_free(&text);
		return -1;
	}
	print_text(options, text.s, text.len, 1);
	for (i = 0; i < message->count; i++) {
		if (message->parts[i].is_text)
			continue;
		if (listed++ == 0 && text.len > 0)
			putchar('\n');
		print_part(options, &message->parts[i], i + 1);
	}
	stralloc_free(&text);
	if (message->more)
		puts("[there is more, too deep or too many to look at]");
	return 0;
}

static void
print_json_parts(const struct message *message)
{
	char name[NAME_MAX_OCTETS + 1];
	size_t i;

	for (i = 0; i < message->count; i++) {
		const struct message_part *part = &message->parts[i];

		printf("%s\n  {\"number\": %zu, \"type\": ", i > 0 ? "," : "",
			i + 1);
		json_text(part->type);
		fputs(", \"name\": ", stdout);
		if (part->name == NULL)
			fputs("null", stdout);
		else
			json_text(part->name);
		fputs(", \"file\": ", stdout);
		name_for_file(name, part->name, part->type, (unsigned)(i + 1));
		json_text(name);
		printf(", \"size\": %zu, \"text\": %s}", part->size,
			part->is_text ? "true" : "false");
	}
}

static int
print_json(const struct message *message, const struct show_options *options)
{
	stralloc text = STRALLOC_ZERO;
	int result = -1;

	fputs("{\"fields\": [", stdout);
	if (each_field(message, options, print_json_field) < 0)
		return -1;
	fputs("],\n \"text\": ", stdout);
	if (message_text(message, &text) == 0 && print_json_text(&text) == 0) {
		fputs(",\n \"parts\": [", stdout);
		print_json_parts(message);
		printf("],\n \"more\": %s}\n",
			message->more ? "true" : "false");
		result = 0;
	}
	stralloc_free(&text);
	return result;
}

int
show_message(const struct message *message, const struct show_options *options)
{
	return options->is_json ? print_json(message, options)
				: print_plain(message, options);
}

/* --- a Maildir ------------------------------------------------------------ */

/* Cuts to so many characters. */
static void
shorten(stralloc *text, size_t characters)
{
	size_t i, count = 0;

	for (i = 0; i < text->len; i++) {
		if (((unsigned char)text->s[i] & 0xc0) == 0x80)
			continue;
		if (count++ == characters) {
			text->len = i;
			return;
		}
	}
}

static int
print_json_entry(const char *block, size_t len,
	const struct folder_entry *entry, size_t number)
{
	static const char *const NAMES[] = {"Date", "From", "To", "Subject"};
	static const char *const KEYS[] = {"date", "from", "to", "subject"};
	stralloc text = STRALLOC_ZERO;
	size_t i;
	int result = 0;

	printf("{\"number\": %zu, \"name\": ", number);
	json_text(entry->unique);
	for (i = 0; i < 4 && result == 0; i++) {
		text.len = 0;
		result = message_field(block, len, NAMES[i], &text);
		printf(", \"%s\": ", KEYS[i]);
		if (result == 0)
			result = print_json_text(&text);
	}
	puts("}");
	stralloc_free(&text);
	return result;
}

static int
print_entry(const char *block, size_t len, size_t number,
	const struct show_options *options)
{
	static const char *const NAMES[] = {"Date", "From", "Subject"};
	static const size_t ROOM[] = {31, LIST_FROM, LIST_SUBJECT};
	stralloc text = STRALLOC_ZERO;
	size_t i;
	int result = 0;

	printf("%4zu", number);
	for (i = 0; i < 3 && result == 0; i++) {
		text.len = 0;
		result = message_field(block, len, NAMES[i], &text);
		shorten(&text, ROOM[i]);
		if (text.len == 0)
			stralloc_copys(&text, "-");
		fputs("  ", stdout);
		print_text(options, text.s, text.len, 0);
	}
	putchar('\n');
	stralloc_free(&text);
	return result;
}

/* Reads the beginning of a message, where its header is. */
static ssize_t
read_block(int fd, char *block)
{
	size_t len = 0;

	while (len < FIELDS_BLOCK_MAX) {
		ssize_t count = read(fd, block + len, FIELDS_BLOCK_MAX - len);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		if (count == 0)
			break;
		len += (size_t)count;
	}
	return (ssize_t)len;
}

int
show_folder(const struct folder *folder, const struct show_options *options)
{
	char *block = malloc(FIELDS_BLOCK_MAX);
	size_t i;
	int result = block == NULL ? -1 : 0;

	for (i = 0; result == 0 && i < folder->count; i++) {
		const struct folder_entry *entry = &folder->entries[i];
		int fd = folder_open(folder, entry);

		if (fd < 0 &&
			(errno == ENOENT || errno == EINVAL || errno == ELOOP))
			continue;
		ssize_t len = fd < 0 ? -1 : read_block(fd, block);
		if (len < 0)
			result = -1;
		else if (options->is_json)
			result = print_json_entry(
				block, (size_t)len, entry, i + 1);
		else
			result =
				print_entry(block, (size_t)len, i + 1, options);
		if (fd >= 0)
			close(fd);
	}
	free(block);
	return result;
}
