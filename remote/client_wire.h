#ifndef REMOTE_CLIENT_WIRE_H
#define REMOTE_CLIENT_WIRE_H

/*
 * Commands and replies of remote/client.h, one at a time: for client.c and the
 * files client_….c alone.
 */

#include "lib/dots.h"
#include "remote/client.h"

/*
 * Puts a command with its CRLF behind what is not yet sent. Returns 0; or -1
 * with the client broken (also for control characters and over-long text, which
 * a caller must not hand on).
 */
int client_put(struct client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Sends what was put, and reads one reply into client->reply. Returns the class
 * of its code, 2 to 5; or -1 with the client broken and client->trouble. A 421
 * is an ordinary 4, but the client is broken after it.
 */
int client_reply(struct client *client, int64_t wait_ms);

/* The same without sending: for a server that spoke out of turn. */
int client_read_reply(struct client *client, int64_t wait_ms);

/* Marks the connection as lost, for a reason. */
void client_break(struct client *client, const char *trouble);

/* Writes the latest reply and the host, as a result's text. */
void
client_reply_text(const struct client *client, char text[OUTCOME_TEXT_MAX + 1]);

/* Writes "SENTENCE (host NAME [ADDRESS])", cut in the sentence if need be. */
void client_text(const struct client *client, char text[OUTCOME_TEXT_MAX + 1],
	const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Sets text and outcome for CLIENT_NEXT_HOST, and returns that: from the latest
 * reply, or from what broke the connection if class is -1. when is a phrase
 * such as "waiting for the greeting". */
enum client_result
client_next_host(struct client *client, int class, const char *when);

/* Says EHLO with our name, HELO if that is refused, and takes what the server
 * offers. Results as client_greet's. */
enum client_result client_hello(struct client *client, const char *name);

/* Puts MAIL, with SIZE=wire_octets and BODY if the server offers them. As
 * client_put. */
int client_put_mail(struct client *client, const struct client_message *message,
	uint64_t wire_octets, int has_8bit);

/* Puts RCPT. */
int client_put_rcpt(
	struct client *client, const struct client_recipient *recipient);

/*
 * Reads all of the content: counts its octets on the wire (for SIZE=) and sets
 * *has_8bit if there is one from 0x80 on (else leaves it). Returns 0, or -1 if it
 * cannot be read.
 */
int client_survey(const struct client_message *message, uint64_t *wire_octets,
	int *has_8bit);

enum client_sending {
	CLIENT_SENDING_DONE,	   /* all of it, and its end */
	CLIENT_SENDING_LOST,	   /* the connection broke before the end */
	CLIENT_SENDING_UNREADABLE, /* the content did: no end was sent */
};

/*
 * Sends the content, as after DATA with its final dot (DOTS_SMTP), or as one chunk
 * of wire_octets as client_survey counted them (DOTS_BDAT). Content that has
 * changed since is unreadable.
 */
enum client_sending
client_send_content(struct client *client, const struct client_message *message,
	enum dots_policy policy, uint64_t wire_octets);

/* --- client_aside.c --- */

/* The message is for another host: outcome failed; client->text is the caller's. */
void client_put_aside(struct client *client, enum client_aside aside);

/* Whether REQUIRETLS is asked and not to be had here: then it is put aside. */
int
client_lacks_tls(struct client *client, const struct client_message *message);

/* Whether the reply to MAIL or RCPT is a refusal by policy (RFC 3463 section 3.8)
 * that is to be heard over IPv4, too; nobody has been accepted. */
int client_is_disliked(
	const struct client *client, const struct client_message *message);

/* The same of the reply to the content: it names our address (RFC 7372). */
int client_is_disliked_after(const struct client *client);

/* Whether the reply to RCPT says "no more recipients now", not "not this one": RFC 5321
 * section 4.5.3.1.10. What the enhanced code puts down to the mailbox (x.2.x)
 * or to the address (x.1.x) is not meant. */
int client_is_full(const struct client *client);

#endif
