/*
 * One message over a client's connection: from MAIL to the reply after the final
 * dot or chunk, with or without PIPELINING.
 *
 * BDAT is said only when a recipient is accepted: a server that refuses it without
 * reading the chunk would take the sender's text for commands.
 */
#include <stdio.h>
#include <string.h>
#include "lib/envelope.h"
#include "remote/client.h"
#include "remote/client_wire.h"

/* How long a server that broke off may take to say why. */
#define LAST_WORDS_MS 2000

/* The state of one call. */
struct transfer {
	struct client *client;
	struct client_message *message;
	size_t next; /* the first recipient not yet looked at */
	size_t sent; /* RCPT commands */
	size_t accepted;
	int mail_open; /* the reply to MAIL has not been read */
	int mail_refused;
	int full;     /* the server wants no more recipients */
	int disliked; /* a refusal is to be heard over IPv4 before it counts */
	int data_sent;
	int untouched; /* CLIENT_NEXT_HOST is the way out */
	const char *phase;
	uint64_t wire_octets;
	int has_8bit;
	char text[OUTCOME_TEXT_MAX + 1];
};

static int
is_pending(const struct client_recipient *recipient)
{
	return recipient->state == CLIENT_UNSENT ||
	       recipient->state == CLIENT_AGAIN;
}

static void
tell(struct transfer *transfer, size_t index, enum outcome outcome)
{
	struct client_message *message = transfer->message;

	/* A server with DSN sends the reports that NOTIFY asked for. */
	if (outcome == OUTCOME_RELAYED &&
		message->recipient[index].notify != 0 &&
		(transfer->client->capabilities & CLIENT_DSN))
		outcome = OUTCOME_RELAYED_DSN;
	message->recipient[index].state = CLIENT_DECIDED;
	message->result(message->context, index, outcome, transfer->text);
}

/* Tells transfer->text to all that were accepted, and with pending to those not
 * decided either. */
static void
tell_all(struct transfer *transfer, enum outcome outcome, int pending)
{
	size_t i;

	for (i = 0; i < transfer->message->recipients; i++) {
		const struct client_recipient *recipient =
			&transfer->message->recipient[i];

		if (recipient->state == CLIENT_ACCEPTED ||
			(pending && is_pending(recipient)))
			tell(transfer, i, outcome);
	}
}

static enum outcome
outcome_of(int class)
{
	return class == 2   ? OUTCOME_RELAYED
	       : class == 5 ? OUTCOME_FAILED
			    : OUTCOME_DEFERRED;
}

/* A reply of a class that the command cannot have. */
static void
out_of_step(struct transfer *transfer)
{
	client_break(transfer->client, "a reply that does not fit");
}

/* The connection is lost, or the server closes it: all that are undecided are
 * deferred. */
static void
tell_lost(struct transfer *transfer)
{
	const struct client *client = transfer->client;

	if (client->reply.complete && client->reply.code == 421)
		client_reply_text(client, transfer->text);
	else
		client_text(client, transfer->text,
			"4.4.2 connection lost %s: %s", transfer->phase,
			client->trouble);
	tell_all(transfer, OUTCOME_DEFERRED, 1);
}

/* Looks at the content as far as what the server offers makes it matter. */
static int
survey(struct transfer *transfer)
{
	transfer->has_8bit = transfer->message->body_8bit;
	if (!(transfer->client->capabilities &
		    (CLIENT_SIZE | CLIENT_8BITMIME | CLIENT_CHUNKING)))
		return 0;
	return client_survey(
		transfer->message, &transfer->wire_octets, &transfer->has_8bit);
}

static int
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text >= 0x80)
			return 0;
	return 1;
}

/* Whether this message can be given to this server at all; else has told why
 * not. Single recipients may be told here, too. */
static int
check(struct transfer *transfer)
{
	const struct client_message *message = transfer->message;
	const struct client *client = transfer->client;
	const char *why = NULL;
	int utf8 = (client->capabilities & CLIENT_SMTPUTF8) != 0;
	size_t i;

	if (!utf8 && (message->smtputf8 || !is_ascii(message->reverse_path)))
		why = "5.6.7 the message needs SMTPUTF8, which the server "
		      "does not offer";
	else if (client->size_limit > 0 &&
		 transfer->wire_octets > client->size_limit)
		why = "5.3.4 the message is larger than the server takes";
	if (why != NULL) {
		client_text(client, transfer->text, "%s", why);
		tell_all(transfer, OUTCOME_FAILED, 1);
		return 0;
	}
	client_text(client, transfer->text,
		"5.6.7 the address needs SMTPUTF8, which the server does not "
		"offer");
	for (i = 0; i < message->recipients; i++)
		if (is_pending(&message->recipient[i]) && !utf8 &&
			!is_ascii(message->recipient[i].address))
			tell(transfer, i, OUTCOME_FAILED);
	return 1;
}

/*
 * Takes the reply to MAIL. Returns 0 if the transaction goes on (mail_refused
 * perhaps), or -1 if the connection is lost: nothing is told, another may take
 * the message.
 */
static int
take_mail_reply(struct transfer *transfer)
{
	struct client *client = transfer->client;
	int class = client_reply(client, client->timeouts.mail_ms);

	transfer->mail_open = 0;
	if (class == 3) {
		out_of_step(transfer);
		class = -1;
	}
	if (class == -1 || client->broken) {
		client_next_host(client, class, "after MAIL");
		transfer->untouched = 1;
		return -1;
	}
	if (class != 2) {
		transfer->mail_refused = 1;
		client->transaction = 0;
	}
	if (class != 2 && client_is_disliked(client, transfer->message)) {
		transfer->disliked = 1;
		client_reply_text(client, client->text);
	} else if (class != 2) {
		client_reply_text(client, transfer->text);
		tell_all(transfer, outcome_of(class), 1);
	}
	return 0;
}

static int
take_rcpt_reply(struct transfer *transfer, size_t index)
{
	struct client *client = transfer->client;
	int class = client_reply(client, client->timeouts.rcpt_ms);

	transfer->phase = "after RCPT";
	if (class == 3)
		out_of_step(transfer);
	if (client->broken)
		return -1;
	if (transfer->mail_refused)
		return 0; /* all have been told */
	if (class == 2) {
		transfer->message->recipient[index].state = CLIENT_ACCEPTED;
		transfer->accepted++;
		transfer->message->is_welcome = 1;
	} else if (transfer->accepted > 0 && client_is_full(client)) {
		transfer->full = 1;
	} else if (client_is_disliked(client, transfer->message)) {
		/* not told, so it is sent again, here or there */
		transfer->disliked = 1;
		client_reply_text(client, client->text);
	} else {
		client_reply_text(client, transfer->text);
		tell(transfer, index, outcome_of(class));
	}
	return 0;
}

/* Octets of a RCPT command, or a few more. */
static size_t
rcpt_octets(const struct client_recipient *recipient)
{
	size_t orcpt = recipient->orcpt != NULL ? strlen(recipient->orcpt) : 0;

	return strlen(recipient->address) + orcpt + 64;
}

/*
 * Chooses the next recipients to be sent at once: so few that the system takes
 * them even if the server reads nothing before its replies are read. Returns how
 * many; *last is set if there are none after them in this transaction.
 */
static size_t
choose(struct transfer *transfer, size_t batch[CLIENT_BATCH], int *last)
{
	const struct client_message *message = transfer->message;
	const struct client *client = transfer->client;
	size_t max =
		client->capabilities & CLIENT_PIPELINING ? CLIENT_BATCH : 1;
	size_t count = 0, octets = 0;

	*last = 0;
	for (; transfer->next < message->recipients; transfer->next++) {
		const struct client_recipient *recipient =
			&message->recipient[transfer->next];

		if (!is_pending(recipient))
			continue;
		if (client->rcpt_max > 0 && transfer->sent == client->rcpt_max)
			break;
		octets += rcpt_octets(recipient);
		if (count == max || (count > 0 && octets > CLIENT_BATCH_OCTETS))
			return count;
		batch[count++] = transfer->next;
		transfer->sent++;
	}
	*last = 1;
	return count;
}

/* Sends a batch, after MAIL perhaps and before DATA perhaps, and takes the
 * replies but for that to DATA. Returns 0, or -1 if the connection is lost. */
static int
send_batch(
	struct transfer *transfer, const size_t *batch, size_t count, int last)
{
	struct client *client = transfer->client;
	size_t i;

	for (i = 0; i < count; i++)
		client_put_rcpt(
			client, &transfer->message->recipient[batch[i]]);
	if (last && (client->capabilities & CLIENT_PIPELINING) &&
		!(client->capabilities & CLIENT_CHUNKING)) {
		client_put(client, "DATA");
		transfer->data_sent = 1;
	}
	if (transfer->mail_open && take_mail_reply(transfer) == -1)
		return -1;
	for (i = 0; i < count; i++)
		if (take_rcpt_reply(transfer, batch[i]) == -1)
			return -1;
	return 0;
}

/* MAIL and RCPT. Returns 0, or -1 if the connection is lost. */
static int
send_envelope(struct transfer *transfer)
{
	struct client *client = transfer->client;
	size_t batch[CLIENT_BATCH], count;
	int last = 0;

	transfer->mail_open = 1;
	client->transaction = 1;
	client->mails++;
	client_put_mail(client, transfer->message, transfer->wire_octets,
		transfer->has_8bit);
	if (!(client->capabilities & CLIENT_PIPELINING) &&
		take_mail_reply(transfer) == -1)
		return -1;
	while (!last && !transfer->full && !transfer->mail_refused) {
		count = choose(transfer, batch, &last);
		if (send_batch(transfer, batch, count, last) == -1)
			return -1;
	}
	return 0;
}

/* The content could not be sent to its end, so the server does not have it. It
 * may have said why. */
static void
tell_cut_short(struct transfer *transfer)
{
	struct client *client = transfer->client;
	int class = client_read_reply(client, LAST_WORDS_MS);

	if (class == 4 || class == 5) {
		client_reply_text(client, transfer->text);
		tell_all(transfer, outcome_of(class), 0);
	}
	transfer->phase = "while the message was sent";
	tell_lost(transfer);
}

/* All was sent: what does the server say? */
static void
take_final_reply(struct transfer *transfer)
{
	struct client *client = transfer->client;
	int class = client_reply(client, client->timeouts.final_ms);

	/* A server may keep what a chunk that failed belongs to. */
	client->transaction =
		(client->capabilities & CLIENT_CHUNKING) && class != 2;
	if (class == 3) {
		out_of_step(transfer);
		class = -1;
	}
	if (class == 5 && client_is_disliked_after(client)) {
		transfer->disliked = 1;
		transfer->accepted = 0;
		client_reply_text(client, client->text);
		return;
	}
	if (class == -1) {
		transfer->message->possible_duplicate = 1;
		client_text(client, transfer->text,
			"4.4.2 connection lost after the final %s, before the "
			"reply: the message may arrive twice: %s",
			client->capabilities & CLIENT_CHUNKING ? "chunk"
							       : "dot",
			client->trouble);
	} else {
		client_reply_text(client, transfer->text);
	}
	tell_all(transfer, outcome_of(class), 0);
}

static void
send_to_accepted(struct transfer *transfer, enum dots_policy policy)
{
	switch (client_send_content(transfer->client, transfer->message, policy,
		transfer->wire_octets)) {
	case CLIENT_SENDING_DONE:
		take_final_reply(transfer);
		return;
	case CLIENT_SENDING_LOST:
		tell_cut_short(transfer);
		return;
	case CLIENT_SENDING_UNREADABLE:
		client_break(transfer->client, "content cannot be read");
		client_text(transfer->client, transfer->text,
			"4.3.0 the message cannot be read from the queue");
		tell_all(transfer, OUTCOME_DEFERRED, 1);
		return;
	}
}

/* Sends the message as one chunk (RFC 3030 section 2). */
static void
send_chunk(struct transfer *transfer)
{
	struct client *client = transfer->client;

	transfer->phase = "at BDAT";
	if (client_put(client, "BDAT %llu LAST",
		    (unsigned long long)transfer->wire_octets) == -1)
		tell_lost(transfer);
	else
		send_to_accepted(transfer, DOTS_BDAT);
}

/* Sends DATA, if it was not, and the message. */
static void
send_data(struct transfer *transfer)
{
	struct client *client = transfer->client;
	int class;

	transfer->phase = "after DATA";
	if (!transfer->data_sent && transfer->accepted == 0)
		return;
	if (!transfer->data_sent)
		client_put(client, "DATA");
	class = client_reply(client, client->timeouts.data_ms);
	if (class == 2)
		out_of_step(transfer);
	if (client->broken) {
		tell_lost(transfer);
	} else if (class != 3) {
		client_reply_text(client, transfer->text);
		tell_all(transfer, outcome_of(class), 0);
	} else if (transfer->accepted > 0) {
		send_to_accepted(transfer, DOTS_SMTP);
	} else {
		/* An offer for no one: an empty message, and its refusal. */
		client_put(client, ".");
		client_reply(client, client->timeouts.final_ms);
		client->transaction = 0;
	}
}

static void
send_content(struct transfer *transfer)
{
	if (!(transfer->client->capabilities & CLIENT_CHUNKING))
		send_data(transfer);
	else if (transfer->accepted > 0)
		send_chunk(transfer);
}

static enum client_result
finish(struct transfer *transfer)
{
	struct client_message *message = transfer->message;
	size_t i;

	if (transfer->disliked && transfer->accepted == 0 &&
		!transfer->client->broken) {
		client_put_aside(transfer->client, CLIENT_ASIDE_POLICY);
		return CLIENT_NEXT_HOST;
	}
	if (transfer->untouched)
		return CLIENT_NEXT_HOST;
	message->again = 0;
	for (i = 0; i < message->recipients; i++)
		if (is_pending(&message->recipient[i])) {
			message->recipient[i].state = CLIENT_AGAIN;
			message->again++;
		}
	return transfer->client->broken ? CLIENT_CLOSE : CLIENT_OK;
}

static size_t
count_pending(const struct client_message *message)
{
	size_t i, count = 0;

	for (i = 0; i < message->recipients; i++)
		count += (size_t)is_pending(&message->recipient[i]);
	return count;
}

enum client_result
client_send_message(struct client *client, struct client_message *message)
{
	struct transfer transfer = {
		.client = client, .message = message, .phase = "after MAIL"};

	client->aside = CLIENT_ASIDE_NONE;
	message->possible_duplicate = 0;
	message->again = 0;
	reply_begin(&client->reply);
	if (client->broken)
		return client_next_host(client, -1, "before MAIL");
	if (survey(&transfer) == -1) {
		client_text(client, transfer.text,
			"4.3.0 the message cannot be read from the queue");
		tell_all(&transfer, OUTCOME_DEFERRED, 1);
		return CLIENT_OK;
	}
	if (client_lacks_tls(client, message))
		return CLIENT_NEXT_HOST;
	if (!check(&transfer) || count_pending(message) == 0)
		return CLIENT_OK;
	if (client->transaction && client_reset(client) != CLIENT_OK)
		return CLIENT_NEXT_HOST;
	if (send_envelope(&transfer) == 0)
		send_content(&transfer);
	else if (!transfer.untouched)
		tell_lost(&transfer);
	return finish(&transfer);
}
