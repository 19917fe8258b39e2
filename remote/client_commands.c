/* MAIL and RCPT with what the server offers of parameters. */
#include <stdio.h>
#include <string.h>
#include "lib/envelope.h"
#include "remote/client.h"
#include "remote/client_wire.h"

/* Whether a DSN parameter (as it came in, in xtext) can be sent on. */
static int
is_word(const char *text)
{
	if (text == NULL || *text == '\0')
		return 0;
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text > '~')
			return 0;
	return 1;
}

int
client_put_mail(struct client *client, const struct client_message *message,
	uint64_t wire_octets, int has_8bit)
{
	unsigned can = client->capabilities;
	int dsn = (can & CLIENT_DSN) != 0;
	int envid = dsn && is_word(message->envid);
	char size[32] = "";

	if (can & CLIENT_SIZE)
		snprintf(size, sizeof size, " SIZE=%llu",
			(unsigned long long)wire_octets);
	return client_put(client, "MAIL FROM:<%s>%s%s%s%s%s%s%s",
		strcmp(message->reverse_path, ENVELOPE_DOUBLE_BOUNCE) == 0
			? ""
			: message->reverse_path,
		size,
		(can & CLIENT_8BITMIME) && has_8bit ? " BODY=8BITMIME" : "",
		message->smtputf8 ? " SMTPUTF8" : "",
		message->requiretls ? " REQUIRETLS" : "",
		!dsn || message->ret == 0 ? ""
		: message->ret == 1	  ? " RET=FULL"
					  : " RET=HDRS",
		envid ? " ENVID=" : "", envid ? message->envid : "");
}

int
client_put_rcpt(struct client *client, const struct client_recipient *recipient)
{
	int dsn = (client->capabilities & CLIENT_DSN) != 0;
	int orcpt = dsn && is_word(recipient->orcpt);
	unsigned notify = dsn ? recipient->notify : 0;
	char words[64] = "";

	if (notify & 1)
		snprintf(words, sizeof words, " NOTIFY=NEVER");
	else if (notify & 14)
		snprintf(words, sizeof words, " NOTIFY=%s%s%s%s%s",
			notify & 2 ? "SUCCESS" : "",
			(notify & 2) && (notify & 12) ? "," : "",
			notify & 4 ? "FAILURE" : "",
			(notify & 4) && (notify & 8) ? "," : "",
			notify & 8 ? "DELAY" : "");
	return client_put(client, "RCPT TO:<%s>%s%s%s", recipient->address,
		words, orcpt ? " ORCPT=" : "", orcpt ? recipient->orcpt : "");
}
