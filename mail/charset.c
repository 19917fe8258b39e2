#include "mail/charset.h"

#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "lib/utf8.h"
#include "tools/plain.h"

#define REPLACEMENT "\xef\xbf\xbd"
/* Octets of a longer label mean nothing to anybody. */
#define LABEL_OCTETS 60

/* What senders write, and what they mean. */
static const struct {
	const char *label, *meant;
} MEANT[] = {
	{"iso-8859-1", "windows-1252"},
	{"iso8859-1", "windows-1252"},
	{"latin1", "windows-1252"},
	{"us-ascii", "windows-1252"},
	{"ascii", "windows-1252"},
	{"ansi_x3.4-1968", "windows-1252"},
	{"iso-8859-9", "windows-1254"},
	{"iso-8859-11", "windows-874"},
	{"tis-620", "windows-874"},
	{"gb2312", "gb18030"},
	{"gb_2312-80", "gb18030"},
	{"gbk", "gb18030"},
	{"x-gbk", "gb18030"},
	{"big5", "big5-hkscs"},
	{"ks_c_5601-1987", "cp949"},
	{"euc-kr", "cp949"},
	{"shift_jis", "cp932"},
	{"x-sjis", "cp932"},
	{"iso-2022-jp", "iso-2022-jp-3"},
	{"utf8", "utf-8"},
	{"unicode-1-1-utf-7", "utf-7"},
	{"x-mac-roman", "macintosh"},
};

static const char *
meant(const char *label)
{
	size_t i;

	for (i = 0; i < sizeof(MEANT) / sizeof(MEANT[0]); i++) {
		if (strcasecmp(MEANT[i].label, label) == 0)
			return MEANT[i].meant;
	}
	return label;
}

/* iconv_open takes options after slashes: those are not for strangers. */
static iconv_t
open_from(const char *charset)
{
	if (charset == NULL || *charset == 0 ||
		strlen(charset) > LABEL_OCTETS || strchr(charset, '/') != NULL)
		return (iconv_t)-1;
	return iconv_open("UTF-8", charset);
}

int
charset_known(const char *charset)
{
	iconv_t way = open_from(charset);

	if (way == (iconv_t)-1)
		return 0;
	iconv_close(way);
	return 1;
}

static int
append(stralloc *into, const char *text, size_t len)
{
	if (len == 0 || stralloc_catb(into, text, len))
		return 0;
	errno = ENOMEM;
	return -1;
}

/* Sound UTF-8 as it is, each other octet as U+FFFD. */
static int
append_utf8(const char *text, size_t len, stralloc *into)
{
	size_t start = 0, at = 0, length;

	while (at < len) {
		length = utf8_scan(text + at, len - at);
		if (length > 0) {
			at += length;
			continue;
		}
		if (append(into, text + start, at - start) < 0 ||
			append(into, REPLACEMENT, 3) < 0)
			return -1;
		start = ++at;
	}
	return append(into, text + start, at - start);
}

static int
convert(iconv_t way, const char *text, size_t len, stralloc *into)
{
	char *from = (char *)(uintptr_t)text;
	char buffer[4096], *to;
	size_t room;

	while (len > 0) {
		to = buffer;
		room = sizeof(buffer);
		size_t done = iconv(way, &from, &len, &to, &room);
		int error = errno;

		if (append_utf8(buffer, (size_t)(to - buffer), into) < 0)
			return -1;
		if (done != (size_t)-1 || error == E2BIG)
			continue;
		if (append(into, REPLACEMENT, 3) < 0)
			return -1;
		if (error != EILSEQ)
			break; /* it ends within a character */
		from++;
		len--;
	}
	to = buffer;
	room = sizeof(buffer);
	(void)iconv(way, NULL, NULL, &to, &room);
	return append_utf8(buffer, (size_t)(to - buffer), into);
}

int
charset_to_utf8(
	const char *text, size_t len, const char *charset, stralloc *into)
{
	const char *real = meant(charset == NULL ? "" : charset);
	iconv_t way = (iconv_t)-1;
	int result;

	if (len == 0)
		return 0;
	if (strcasecmp(real, "utf-8") == 0)
		return append_utf8(text, len, into);
	if (strcasecmp(real, "windows-1252") != 0 ||
		strncasecmp(charset, "us-", 3) != 0 || !utf8_valid(text, len))
		way = open_from(real);
	if (way == (iconv_t)-1 && utf8_valid(text, len))
		return append(into, text, len);
	if (way == (iconv_t)-1)
		way = open_from("windows-1252");
	if (way == (iconv_t)-1)
		return append_utf8(text, len, into);
	result = convert(way, text, len, into);
	iconv_close(way);
	return result;
}

/* One line or less of UTF-8, already without control characters. */
static void
print_converted(FILE *file, iconv_t way, char *text, size_t len)
{
	char buffer[1024];

	while (len > 0) {
		char *to = buffer;
		size_t room = sizeof(buffer), skip;
		size_t done = iconv(way, &text, &len, &to, &room);
		int error = errno;

		fwrite(buffer, 1, (size_t)(to - buffer), file);
		if (done != (size_t)-1 || error == E2BIG)
			continue;
		fputc('?', file);
		skip = utf8_scan(text, len);
		skip = skip == 0 ? 1 : skip;
		text += skip;
		len -= skip;
	}
	char *to = buffer;
	size_t room = sizeof(buffer);
	(void)iconv(way, NULL, NULL, &to, &room);
	fwrite(buffer, 1, (size_t)(to - buffer), file);
}

/* A piece without NUL, line end or tab that stays. */
static void
print_piece(FILE *file, iconv_t way, const char *text, int lines)
{
	void (*print)(FILE *, const char *) = lines ? plain_line : plain_text;

	char *made = NULL;
	size_t size = 0;
	FILE *memory;

	if (way == (iconv_t)-1) {
		print(file, text);
		return;
	}
	memory = open_memstream(&made, &size);
	if (memory == NULL)
		return;
	print(memory, text);
	if (fclose(memory) == 0)
		print_converted(file, way, made, size);
	free(made);
}

void
charset_print(FILE *file, const char *charset, const char *text, size_t len,
	int lines)
{
	if (len == 0)
		return;
	const char *end = text + len;
	iconv_t way = (iconv_t)-1;
	stralloc piece = STRALLOC_ZERO;

	if (charset != NULL && strcasecmp(charset, "utf-8") != 0)
		way = iconv_open(charset, "UTF-8");
	while (text < end) {
		const char *at = text;

		while (at < end && *at != 0 &&
			!(lines && (*at == '\n' || *at == '\t')))
			at++;
		size_t count = (size_t)(at - text);
		if (lines && at < end && *at == '\n' && count > 0 &&
			at[-1] == '\r')
			count--;
		piece.len = 0;
		if (!stralloc_catb(&piece, text, count) ||
			!stralloc_append(&piece, 0))
			break;
		print_piece(file, way, piece.s, lines);
		if (at < end)
			fputs(*at == 0	      ? "\\x00"
				: *at == '\n' ? "\n"
					      : "\t",
				file);
		text = at + 1;
	}
	stralloc_free(&piece);
	if (way != (iconv_t)-1)
		iconv_close(way);
}
