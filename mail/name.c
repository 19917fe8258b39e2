#include "mail/name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "lib/utf8.h"

/* More of a name is not looked at, but its end. */
#define LONG_OCTETS 400
#define TAIL_OCTETS 12

/* The first of a type is the extension that it gets. */
static const struct {
	const char *extension, *type;
} KINDS[] = {
	{"txt", "text/plain"},
	{"html", "text/html"},
	{"htm", "text/html"},
	{"csv", "text/csv"},
	{"ics", "text/calendar"},
	{"md", "text/markdown"},
	{"patch", "text/x-diff"},
	{"diff", "text/x-diff"},
	{"xml", "application/xml"},
	{"json", "application/json"},
	{"pdf", "application/pdf"},
	{"zip", "application/zip"},
	{"gz", "application/gzip"},
	{"tgz", "application/gzip"},
	{"doc", "application/msword"},
	{"docx", "application/vnd.openxmlformats-officedocument"
		 ".wordprocessingml.document"},
	{"xls", "application/vnd.ms-excel"},
	{"xlsx", "application/vnd.openxmlformats-officedocument"
		 ".spreadsheetml.sheet"},
	{"odt", "application/vnd.oasis.opendocument.text"},
	{"ods", "application/vnd.oasis.opendocument.spreadsheet"},
	{"png", "image/png"},
	{"jpg", "image/jpeg"},
	{"jpeg", "image/jpeg"},
	{"gif", "image/gif"},
	{"webp", "image/webp"},
	{"svg", "image/svg+xml"},
	{"mp3", "audio/mpeg"},
	{"ogg", "audio/ogg"},
	{"mp4", "video/mp4"},
	{"eml", "message/rfc822"},
	{"p7s", "application/pkcs7-signature"},
	{"asc", "application/pgp-signature"},
};
#define KIND_COUNT (sizeof(KINDS) / sizeof(KINDS[0]))

static unsigned
code_point(const char *text, size_t length)
{
	const unsigned char *octet = (const unsigned char *)text;

	switch (length) {
	case 1:
		return octet[0];
	case 2:
		return (octet[0] & 0x1fu) << 6 | (octet[1] & 0x3fu);
	case 3:
		return (octet[0] & 0x0fu) << 12 | (octet[1] & 0x3fu) << 6 |
		       (octet[2] & 0x3fu);
	default:
		return (octet[0] & 0x07u) << 18 | (octet[1] & 0x3fu) << 12 |
		       (octet[2] & 0x3fu) << 6 | (octet[3] & 0x3fu);
	}
}

static int
is_bad(unsigned code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) ||
	       (code < 0x80 && strchr(":*?\"<>|", (int)code) != NULL) ||
	       code == 0xad || code == 0x61c || code == 0x180e ||
	       (code >= 0x200b && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
	       (code >= 0xe0000 && code <= 0xe007f);
}

/* Where the extension of a name starts, its dot included; its end if none. */
static size_t
extension_at(const char *name, size_t length)
{
	const char *dot = strrchr(name, '.');

	if (dot == NULL || dot == name || length - (size_t)(dot - name) > 12)
		return length;
	return (size_t)(dot - name);
}

/* The longest sound beginning of at most room octets; text is sound UTF-8. */
static size_t
cut(const char *text, size_t room)
{
	size_t length = strlen(text);

	if (length <= room)
		return length;
	while (room > 0 && ((unsigned char)text[room] & 0xc0) == 0x80)
		room--;
	return room;
}

static size_t
trim(char *name, size_t length)
{
	while (length > 0 && strchr(" .", name[length - 1]) != NULL)
		length--;
	name[length] = 0;
	return length;
}

/* Copies with bad characters replaced. */
static size_t
clean(char *into, size_t room, const char *wanted)
{
	size_t left = strlen(wanted), used = 0, length;

	for (; left > 0 && used + 4 < room; wanted += length, left -= length) {
		length = utf8_scan(wanted, left);
		if (length == 0 || is_bad(code_point(wanted, length))) {
			into[used++] = '_';
			length += length == 0;
			continue;
		}
		memcpy(into + used, wanted, length);
		used += length;
	}
	into[used] = 0;
	return used;
}

static size_t
invent(char *into, const char *type, unsigned number)
{
	const char *extension = NULL;
	size_t i;

	for (i = 0; i < KIND_COUNT && type != NULL && extension == NULL; i++) {
		if (strcasecmp(KINDS[i].type, type) == 0)
			extension = KINDS[i].extension;
	}
	return (size_t)snprintf(into, NAME_MAX_OCTETS + 1, "part-%u%s%s",
		number, extension == NULL ? "" : ".",
		extension == NULL ? "" : extension);
}

size_t
name_for_file(char into[NAME_MAX_OCTETS + 1], const char *wanted,
	const char *type, unsigned number)
{
	char buffer[4 * NAME_MAX_OCTETS], shorter[LONG_OCTETS + 1];
	const char *at, *start = wanted;
	size_t length, extension, tail;

	for (at = wanted; at != NULL && *at != 0; at++) {
		if (*at == '/' || *at == '\\')
			start = at + 1;
	}
	if (start == NULL)
		return invent(into, type, number);
	while (*start == ' ')
		start++;
	/* Of one that is much too long, the beginning and the extension. */
	if (strlen(start) > LONG_OCTETS) {
		memcpy(shorter, start, LONG_OCTETS - TAIL_OCTETS);
		memcpy(shorter + LONG_OCTETS - TAIL_OCTETS,
			start + strlen(start) - TAIL_OCTETS, TAIL_OCTETS + 1);
		start = shorter;
	}
	length = clean(buffer, sizeof(buffer), start);
	length = trim(buffer, length);
	if (length == 0 || strspn(buffer, "_. ") == length)
		return invent(into, type, number);
	if (strchr(".-~", buffer[0]) != NULL)
		buffer[0] = '_';
	extension = extension_at(buffer, length);
	tail = length - extension;
	if (length > NAME_MAX_OCTETS) {
		char kept[16];

		memcpy(kept, buffer + extension, tail + 1);
		extension = cut(buffer, NAME_MAX_OCTETS - tail);
		memcpy(buffer + extension, kept, tail + 1);
		length = trim(buffer, extension + tail);
	}
	memcpy(into, buffer, length + 1);
	return length;
}

void
name_variant(char into[NAME_MAX_OCTETS + 8], const char *name, unsigned try)
{
	size_t at = extension_at(name, strlen(name));

	snprintf(into, NAME_MAX_OCTETS + 8, "%.*s-%u%s", (int)at, name,
		try > 9999 ? 9999 : try, name + at);
}

const char *
name_type(const char *name)
{
	const char *dot = strrchr(name, '.');
	size_t i;

	for (i = 0; i < KIND_COUNT && dot != NULL; i++) {
		if (strcasecmp(KINDS[i].extension, dot + 1) == 0)
			return KINDS[i].type;
	}
	return "application/octet-stream";
}
