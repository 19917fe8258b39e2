#ifndef SMTPD_TRANSCRIPT_H
#define SMTPD_TRANSCRIPT_H

/*
 * The transcript of a session in the log, for finding out what a client does: on
 * for clients that control/transcript lists, and where the variable SMTPTRACE is
 * set to something (by tcpserver's rules). Each line of the dialogue is one of
 * the log, escaped:
 *
 *   transcript client=192.0.2.1 > EHLO c.example
 *   transcript client=192.0.2.1 < 250-host.example
 *
 * What may be a password is masked: the argument of AUTH behind its mechanism,
 * and lines that follow it and are no commands. The content of messages is left
 * out; there is a line with its length.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/settings.h"

struct session;

struct transcript {
	struct setting_list clients; /* control/transcript */
	bool is_on;
	bool is_secret; /* the last command was AUTH */
};

/* Reads control/transcript. 0, or -1 with a sentence in why. */
int transcript_read(struct session *session, char *why, size_t size);
/* Safe twice. */
void transcript_free(struct session *session);

/* Who the client is is known: turns it on or off. */
void transcript_client(struct session *session);

/* A line of the client, without its end; is_command: it begins with the name of
 * a command. */
void transcript_line(
	struct session *session, const char *line, size_t len, bool is_command);

/* A reply as it is on the wire, with all its lines. */
void
transcript_reply(const struct session *session, const char *wire, size_t len);

/* Octets of content have been received. */
void transcript_content(const struct session *session, uint64_t octets);

/* --- a part, for its test --- */

/*
 * How many octets of a line are to be seen: all of them, or what stands before a
 * secret. *is_secret is as in struct transcript.
 */
size_t transcript_visible(
	bool *is_secret, const char *line, size_t len, bool is_command);

#endif
