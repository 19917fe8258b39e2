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
	/* The first line is the server's name. */
	if (!reply_next_line(&client->reply, &at, &line, &len))
		return;
	while (reply_next_line(&client->reply, &at, &line, &len))
		take_keyword(client, line, len);
}

enum client_result
client_hello(struct client *client, const char *name)
{
	int class;

	client_put(client, "EHLO %s", name);
	class = client_reply(client, client->timeouts.mail_ms);
	if (class == 2) {
		take_keywords(client);
		return CLIENT_OK;
	}
	if (class != 5 || client->broken)
		return client_next_host(client, class, "after EHLO");
	client_put(client, "HELO %s", name);
	class = client_reply(client, client->timeouts.mail_ms);
	if (class != 2)
		return client_next_host(client, class, "after HELO");
	client->capabilities = client->mechanisms = 0;
	return CLIENT_OK;
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
