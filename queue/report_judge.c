#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "lib/address.h"
#include "lib/escape.h"
#include "queue/report.h"

/* What a reply text says of itself: code, status, words, who said it. */

/* The status that goes with a reply code which came without one. */
static const struct {
	const char *code, *detail;
} KNOWN[] = {{"421", "3.2"}, {"450", "2.0"}, {"452", "3.1"}, {"500", "5.2"},
	{"501", "5.4"}, {"502", "5.1"}, {"503", "5.1"}, {"504", "5.4"},
	{"521", "3.2"}, {"530", "7.0"}, {"534", "7.0"}, {"535", "7.8"},
	{"551", "1.6"}, {"552", "2.2"}, {"553", "1.3"}, {"555", "5.4"},
	{"556", "1.10"}};

static bool
is_reply(const char *text)
{
	return text[0] >= '2' && text[0] <= '5' && isdigit((int)text[1]) &&
	       isdigit((int)text[2]) && (text[3] == ' ' || text[3] == 0);
}

/* One to three digits. Returns how many, or 0. */
static size_t
count_digits(const char *text)
{
	size_t count = strspn(text, "0123456789");

	return count <= 3 ? count : 0;
}

/* The octets of a status code that text begins with, or 0. */
static size_t
scan_status(const char *text)
{
	size_t length = 2, digits;

	if ((text[0] != '2' && text[0] != '4' && text[0] != '5') ||
		text[1] != '.')
		return 0;
	digits = count_digits(text + length);
	length += digits;
	if (digits == 0 || text[length] != '.')
		return 0;
	digits = count_digits(text + length + 1);
	length += 1 + digits;
	if (digits == 0 || (text[length] != ' ' && text[length] != 0))
		return 0;
	return length;
}

static void
find_status(const char *text, char class, char status[REPORT_STATUS_SIZE])
{
	const char *code = is_reply(text) ? text : NULL;
	const char *at = code == NULL ? text : text + 3;
	const char *detail = "0.0";

	at += strspn(at, " ");
	size_t length = scan_status(at);
	for (size_t i = 0; code && i < sizeof KNOWN / sizeof KNOWN[0]; i++)
		if (strncmp(code, KNOWN[i].code, 3) == 0)
			detail = KNOWN[i].detail;
	if (length > 0)
		snprintf(status, REPORT_STATUS_SIZE, "%c.%.*s", class,
			(int)length - 2, at + 2);
	else
		snprintf(status, REPORT_STATUS_SIZE, "%c.%s", class, detail);
}

/* Copies text[0..length) if it fits. */
static bool
copy(char *into, size_t size, const char *text, size_t length)
{
	if (length >= size)
		return false;
	memcpy(into, text, length);
	into[length] = 0;
	return true;
}

/*
 * Takes " (host NAME [ADDRESS])" or " (host [ADDRESS])" from the end. Returns the
 * length of what stands before it, or of all if there is none.
 */
static size_t
take_host(const char *text, struct report_verdict *verdict)
{
	static const char START[] = " (host ";
	size_t length = strlen(text);
	const char *at = NULL, *next = text;

	while ((next = strstr(next, START)) != NULL)
		at = next++;
	if (at == NULL || length < 3 || strcmp(text + length - 2, "])") != 0)
		return length;
	const char *name = at + strlen(START);
	const char *open = memrchr(name, '[', (size_t)(text + length - name));
	if (open == NULL || (open > name && open[-1] != ' '))
		return length;
	size_t name_length = open > name ? (size_t)(open - name) - 1 : 0;
	size_t address_length = (size_t)(text + length - 2 - open) - 1;
	if (strspn(open + 1, "0123456789abcdefABCDEF.:") != address_length ||
		address_length == 0 ||
		(name_length > 0 && !domain_valid(name, name_length)) ||
		!copy(verdict->host, sizeof verdict->host, name, name_length))
		return length;
	if (!copy(verdict->address, sizeof verdict->address, open + 1,
		    address_length)) {
		verdict->host[0] = 0;
		return length;
	}
	return (size_t)(at - text);
}

void
report_judge(const char *text, char class, struct report_verdict *verdict)
{
	size_t prefix = strlen(REPORT_EXPIRED_TEXT);

	memset(verdict, 0, sizeof *verdict);
	find_status(text, class, verdict->status);
	if (strncmp(text, REPORT_EXPIRED_TEXT, prefix) == 0)
		text += prefix;
	size_t length = take_host(text, verdict);
	verdict->is_smtp = is_reply(text) && verdict->address[0] != 0;
	escape_line(verdict->words, sizeof verdict->words, text, length,
		ESCAPE_MASK);
}
