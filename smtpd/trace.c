#include <stdio.h>
#include <string.h>
#include "lib/date.h"
#include "lib/escape.h"
#include "smtpd/trace.h"

#define WORD_MAX 255
#define RECIPIENT_MAX 512

/*
 * A word that stands outside of comments: what has a meaning between words of a
 * Received field (the ";" before the date above all) becomes "?" too.
 */
static const char *
word(char into[WORD_MAX + 1], const char *text)
{
	escape_line(into, WORD_MAX + 1, text, strlen(text), ESCAPE_COMMENT);
	for (char *at = into; *at != 0; at++)
		if (strchr(" ;,<>@", *at) != NULL)
			*at = '?';
	if (*into == 0)
		memcpy(into, "unknown", sizeof "unknown");
	return into;
}

const char *
trace_protocol(
	bool is_extended, bool is_utf8, bool has_tls, bool is_authenticated)
{
	static const char *const WORDS[2][2][2] = {
		{{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}},
		{{"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}},
	};

	if (!is_extended && !is_utf8 && !has_tls && !is_authenticated)
		return "SMTP";
	return WORDS[is_utf8][has_tls][is_authenticated];
}

/* A comment behind the protocol. */
static void
write_login(char *into, size_t size, const char *login)
{
	char shown[WORD_MAX + 1];

	*into = 0;
	if (login == NULL || *login == 0)
		return;
	escape_line(shown, sizeof shown, login, strlen(login), ESCAPE_COMMENT);
	snprintf(into, size, " (login %s)", shown);
}

/* The last clause (RFC 8314 section 4.3). */
static void
write_cipher(char *into, size_t size, const char *cipher)
{
	char shown[WORD_MAX + 1];

	*into = 0;
	if (cipher != NULL && *cipher != 0)
		snprintf(into, size, "\n\ttls %s", word(shown, cipher));
}

size_t
trace_write(char *buffer, size_t size, const struct trace *trace)
{
	char hello[WORD_MAX + 1], name[WORD_MAX + 1], address[WORD_MAX + 1];
	char date[DATE_OCTETS + 1];
	const char *recipient = trace->recipient;
	bool is_ipv6 = strchr(trace->address, ':') != NULL;

	if (recipient != NULL && strlen(recipient) > RECIPIENT_MAX)
		recipient = NULL;
	date_write(date, trace->time_s);
	char from[3 * WORD_MAX + 40] = "";
	if (!trace->is_hidden)
		snprintf(from, sizeof from, "from %s (%s [%s%s])\n\t",
			word(hello, trace->hello), word(name, trace->name),
			is_ipv6 ? "IPv6:" : "", word(address, trace->address));
	char login[WORD_MAX + 20], cipher[WORD_MAX + 20];
	write_login(login, sizeof login, trace->login);
	write_cipher(cipher, sizeof cipher, trace->cipher);
	int made = snprintf(buffer, size,
		"Received: %sby %s with %s%s id %s%s%s%s%s;\n\t%s\n", from,
		trace->me, trace->protocol, login, trace->id,
		recipient != NULL ? "\n\tfor <" : "",
		recipient != NULL ? recipient : "",
		recipient != NULL ? ">" : "", cipher, date);
	if (made < 0 || (size_t)made >= size)
		return 0;
	return (size_t)made;
}
