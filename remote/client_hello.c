/* The greeting, EHLO, and what it says of the server. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "remote/client.h"
#include "remote/client_wire.h"

/* Takes the words behind AUTH (RFC 4954 section 3). */
static void
take_mechanisms(struct client *client, const char *text, size_t len)
{
	static const struct {
		const char *name;
		enum client_mechanism mechanism;
	} known[] = {
		{"SCRAM-SHA-256", CLIENT_SCRAM_SHA_256},
		{"CRAM-MD5", CLIENT_CRAM_MD5},
		{"PLAIN", CLIENT_PLAIN},
		{"LOGIN", CLIENT_LOGIN},
	};
	size_t at = 0, end;

	for (; at < len; at = end) {
		while (at < len && text[at] == ' ')
			at++;
		for (end = at; end < len && text[end] != ' '; end++)
			;
		for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
			if (strlen(known[i].name) == end - at &&
				strncasecmp(known[i].name, text + at,
					end - at) == 0)
				client->mechanisms |= known[i].mechanism;
	}
}

/* Reads a limit: up to six digits, the first not 0 (RFC 9422 section 3). */
static int
scan_limit(const char *text, size_t len, unsigned *limit)
{
	unsigned value = 0;

	if (len == 0 || len > 6 || text[0] == '0')
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	*limit = value;
	return 0;
}

/* Takes one NAME=VALUE of LIMITS. Others than ours are passed over. */
static int
take_limit(const char *word, size_t len, unsigned *rcpt_max, unsigned *mail_max)
{
	const char *is = memchr(word, '=', len);
	size_t name_len = is != NULL ? (size_t)(is - word) : len;

	if (is == NULL || name_len == 0)
		return -1;
	if (name_len == 7 && strncasecmp(word, "RCPTMAX", 7) == 0)
		return scan_limit(is + 1, len - 8, rcpt_max);
	if (name_len == 7 && strncasecmp(word, "MAILMAX", 7) == 0)
		return scan_limit(is + 1, len - 8, mail_max);
	return 0;
}

/* Takes the words behind LIMITS; none if one of them is not sound. */
static void
take_limits(struct client *client, const char *text, size_t len)
{
	unsigned rcpt_max = 0, mail_max = 0;
	size_t at = 0, end;

	for (; at < len; at = end) {
		while (at < len && text[at] == ' ')
			at++;
		for (end = at; end < len && text[end] != ' '; end++)
			;
		if (end > at && take_limit(text + at, end - at, &rcpt_max,
					&mail_max) < 0)
			return;
	}
	client->rcpt_max = rcpt_max;
	client->mail_max = mail_max;
}

/* Takes one line of the reply to EHLO. */
static void
take_keyword(struct client *client, const char *line, size_t len)
{
	static const struct keyword {
		const char *word;
		unsigned capability;
	} known[] = {
		{"PIPELINING", CLIENT_PIPELINING},
		{"SIZE", CLIENT_SIZE},
		{"8BITMIME", CLIENT_8BITMIME},
		{"ENHANCEDSTATUSCODES", CLIENT_ENHANCED},
		{"DSN", CLIENT_DSN},
		{"SMTPUTF8", CLIENT_SMTPUTF8},
		{"STARTTLS", CLIENT_STARTTLS},
		{"REQUIRETLS", CLIENT_REQUIRETLS},
		{"AUTH", CLIENT_AUTH},
		{"LIMITS", CLIENT_LIMITS},
		{"CHUNKING", CLIENT_CHUNKING},
	};
	char digits[20];
	size_t word_len = 0, i, used = 0;

	while (word_len < len && line[word_len] != ' ')
		word_len++;
	for (i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strlen(known[i].word) == word_len &&
			strncasecmp(known[i].word, line, word_len) == 0)
			break;
	if (i == sizeof known / sizeof known[0])
		return;
	client->capabilities |= known[i].capability;
	if (known[i].capability == CLIENT_AUTH)
		take_mechanisms(client, line + word_len, len - word_len);
	if (known[i].capability == CLIENT_LIMITS)
		take_limits(client, line + word_len, len - word_len);
	if (known[i].capability != CLIENT_SIZE)
		return;
	for (i = word_len + 1; i < len && line[i] >= '0' && line[i] <= '9' &&
			       used < sizeof digits - 1;
		i++)
		digits[used++] = line[i];
	digits[used] = '\0';
	client->size_limit = strtoull(digits, NULL, 10);
}

static void
take_keywords(struct client *client)
{
	const char *line;
	size_t at = 0, len;

	/* what was offered before, in clear perhaps, is forgotten */
	client->capabilities = CLIENT_ESMTP;
	client->mechanisms = 0;
	client->size_limit = 0;
	client->rcpt_max = client->mail_max = 0;
	/* The first line is the server's name. */
	if (!reply_next_line(&client->reply, &at, &line, &len))
		return;
	while (reply_next_line(&client->reply, &at, &line, &len))
		take_keyword(client, line, len);
	if (client->no_bdat)
		client->capabilities &= ~(unsigned)CLIENT_CHUNKING;
}

static enum client_result
say_helo(struct client *client, const char *name)
{
	int class;

	client_put(client, "HELO %s", name);
	class = client_reply(client, client->timeouts.mail_ms);
	if (class != 2)
		return client_next_host(client, class, "after HELO");
	client->capabilities = client->mechanisms = 0;
	return CLIENT_OK;
}

enum client_result
client_hello(struct client *client, const char *name)
{
	int class;

	if (client->helo_only)
		return say_helo(client, name);
	client_put(client, "EHLO %s", name);
	class = client_reply(client, client->timeouts.mail_ms);
	if (class == 2) {
		take_keywords(client);
		return CLIENT_OK;
	}
	client->ehlo_lost = class == -1;
	if (class != 5 || client->broken)
		return client_next_host(client, class, "after EHLO");
	return say_helo(client, name);
}

enum client_result
client_greet(struct client *client, const char *name)
{
	int class = client_reply(client, client->timeouts.greeting_ms);

	if (class != 2)
		return client_next_host(
			client, class, "waiting for the greeting");
	return client_hello(client, name);
}
