/* Refusals that are not the last word: another host may do, or the same one once
 * more. */
#include <string.h>
#include "remote/client.h"
#include "remote/client_wire.h"

void
client_put_aside(struct client *client, enum client_aside aside)
{
	client->aside = aside;
	client->outcome = OUTCOME_FAILED;
}

int
client_lacks_tls(struct client *client, const struct client_message *message)
{
	if (!message->requiretls ||
		(client->is_encrypted && client->is_proven &&
			(client->capabilities & CLIENT_REQUIRETLS)))
		return 0;
	client_text(client, client->text,
		"5.7.30 the sender demands TLS all the way (REQUIRETLS), which "
		"is not to be had");
	client_put_aside(client, CLIENT_ASIDE_TLS);
	return 1;
}

int
client_is_disliked(
	const struct client *client, const struct client_message *message)
{
	const struct reply *reply = &client->reply;

	return client->has_v4 && !message->is_welcome &&
	       (reply->code == 550 || reply->code == 554) &&
	       strncmp(reply->enhanced, "5.7.", 4) == 0;
}

int
client_is_disliked_after(const struct client *client)
{
	static const char *const codes[] = {
		"5.7.23", "5.7.24", "5.7.25", "5.7.26"};
	const struct reply *reply = &client->reply;

	if (!client->has_v4 || (reply->code != 550 && reply->code != 554))
		return 0;
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (strcmp(reply->enhanced, codes[i]) == 0)
			return 1;
	return 0;
}

int
client_is_full(const struct client *client)
{
	const struct reply *reply = &client->reply;

	return (reply->code == 452 || reply->code == 552) &&
	       (reply->enhanced[0] == '\0' ||
		       (strncmp(reply->enhanced + 1, ".1.", 3) != 0 &&
			       strncmp(reply->enhanced + 1, ".2.", 3) != 0));
}
