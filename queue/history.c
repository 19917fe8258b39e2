#include <stdio.h>
#include <string.h>
#include "lib/log.h"
#include "queue/runner.h"

/*
 * The lines that analysers of qmail-send's log read: their words stand where they
 * have always stood, and what is new stands at the end. A message has a number
 * here, the inode of its file, which is free for others when it has ended; the id
 * by which everybody else knows it comes last.
 */

/* A word of a line: what is no printable ASCII, a blank or "%" becomes "_". */
static const char *
word(char *into, size_t size, const char *text)
{
	size_t at = 0;

	for (; *text != 0 && at + 1 < size; text++)
		into[at++] = *text == '\n' ? '/'
			     : *text < 33 || *text > 126 || *text == '%'
				     ? '_'
				     : *text;
	into[at] = 0;
	return into;
}

void
history_new(const struct message *message)
{
	const struct envelope *envelope = &message->file.envelope;
	char sender[ENVELOPE_ADDRESS_MAX + 1];

	log_line("new msg %llu id %s", message->inode, message->id);
	log_line("info msg %llu: bytes %llu from <%s> qp %llu uid %u id %s",
		message->inode,
		(unsigned long long)message->file.header.content_octets,
		word(sender, sizeof sender, envelope->reverse_path),
		message->inode, envelope->origin.uid, message->id);
}

void
history_start(const struct message *message, unsigned long delivery,
	enum channel channel, const char *address)
{
	char recipient[ENVELOPE_ADDRESS_MAX + 1];

	log_line("starting delivery %lu: msg %llu to %s %s id %s", delivery,
		message->inode, channel_name(channel),
		word(recipient, sizeof recipient, address), message->id);
}

void
history_outcome(unsigned long delivery, enum outcome outcome, const char *text)
{
	char words[OUTCOME_TEXT_MAX + 1];

	log_line("delivery %lu: %s: %s", delivery,
		outcome == OUTCOME_DEFERRED ? "deferral"
		: outcome == OUTCOME_FAILED ? "failure"
					    : "success",
		word(words, sizeof words, text));
}

void
history_status(const struct runner *runner)
{
	log_line("status: local %u/%u remote %u/%u",
		runner->jobs_out[CHANNEL_LOCAL],
		(unsigned)runner->settings.concurrencylocal,
		runner->jobs_out[CHANNEL_REMOTE],
		(unsigned)runner->settings.concurrencyremote);
}

void
history_bounce(const struct message *message, const char *kind, const char *id)
{
	log_line("%s msg %llu qp %llu id %s report %s", kind, message->inode,
		message->inode, message->id, id);
}

void
history_end(const struct message *message)
{
	log_line("end msg %llu id %s", message->inode, message->id);
}
