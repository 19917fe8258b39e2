#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/address.h"
#include "lib/deadline.h"
#include "lib/escape.h"
#include "local/forward.h"
#include "queue/submit.h"

#define COPY_SIZE 65536
/* How long the queue may take, in milliseconds. */
#define SUBMIT_LIMIT_MS (10 * 60 * 1000)

/* Domains are in lower case; only they may differ in case and mean the same. */
static bool
has_recipient(const struct envelope *envelope, const char *address)
{
	for (uint32_t i = 0; i < envelope->recipients; i++)
		if (strcmp(envelope->recipient[i].address, address) == 0)
			return true;
	return false;
}

int
forward_add(
	struct forward *forward, const char *address, char *why, size_t size)
{
	char text[ADDRESS_TEXT_MAX + 1];
	struct path path;

	if (address_mailbox_scan(address, strlen(address),
		    ADDRESS_NO_DOMAIN | ADDRESS_UTF8, &path) < 0 ||
		(path.kind != PATH_MAILBOX &&
			address_set_domain(&path, forward->host,
				strlen(forward->host)) < 0)) {
		escape_line(text, sizeof text, address, strlen(address),
			ESCAPE_MASK);
		snprintf(why, size, "4.3.5 cannot forward to %s", text);
		return -1;
	}
	(void)address_write(text, sizeof text, &path);
	if (has_recipient(&forward->envelope, text))
		return 0;
	if (forward->envelope.recipients == FORWARD_ADDRESSES_MAX) {
		snprintf(why, size,
			"4.3.5 more than %d addresses to forward to",
			FORWARD_ADDRESSES_MAX);
		return -1;
	}
	if (envelope_add_recipient(&forward->envelope, text, 0, "") == 0)
		return 0;
	snprintf(why, size, "4.3.0 cannot forward: %s", strerror(errno));
	return -1;
}

static bool
has_eight_bit(const char *octets, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)octets[i] >= 0x80)
			return true;
	return false;
}

/* Takes the submission back because the content cannot be read. */
static int
cannot_read(struct submission *submission, int error)
{
	submit_abandon(submission);
	submission->code = SUBMIT_READ;
	snprintf(submission->text, sizeof submission->text,
		"cannot read the message: %s", strerror(error));
	return -1;
}

/* Sends Delivered-To and the content, and notes whether it is 8-bit. 0, or -1:
 * the submission is closed. */
static int
send_content(struct forward *forward, struct submission *submission)
{
	char buffer[COPY_SIZE];
	uint64_t done = 0;
	int length = 0;

	if (forward->address != NULL)
		length = snprintf(buffer, sizeof buffer, "Delivered-To: %s\n",
			forward->address);
	if (submit_content(submission, buffer, (size_t)length) < 0)
		return -1;
	while (done < forward->octets) {
		uint64_t left = forward->octets - done;
		ssize_t got = pread(forward->content, buffer,
			left < COPY_SIZE ? (size_t)left : COPY_SIZE,
			(off_t)(forward->offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) /* 0: shorter than promised */
			return cannot_read(submission, got < 0 ? errno : EIO);
		if (has_eight_bit(buffer, (size_t)got))
			forward->envelope.body = BODY_8BITMIME;
		if (submit_content(submission, buffer, (size_t)got) < 0)
			return -1;
		done += (uint64_t)got;
	}
	return 0;
}

/* One of them alone takes over all that the sender asked for. */
static bool
is_handed_over(const struct forward *forward, bool is_kept)
{
	return !is_kept && !forward->sender->is_list &&
	       forward->envelope.recipients == 1;
}

/* What goes on of the sender's NOTIFY. */
static uint8_t
notify_onward(const struct forward *forward, bool is_kept)
{
	uint8_t notify = forward->notify;

	if (is_handed_over(forward, is_kept) || !(notify & NOTIFY_SUCCESS))
		return notify;
	notify &= (uint8_t)~NOTIFY_SUCCESS;
	return notify != 0 ? notify : NOTIFY_NEVER;
}

/* RFC 3461 section 5.2.7. 0, or -1 with errno ENOMEM. */
static int
fill_parameters(struct forward *forward, bool is_kept)
{
	struct envelope *envelope = &forward->envelope;

	if (forward->sender->is_list)
		return 0;
	envelope->ret = forward->ret;
	envelope->envid = strdup(forward->envid);
	if (envelope->envid == NULL)
		return -1;
	for (uint32_t i = 0; i < envelope->recipients; i++) {
		struct recipient *recipient = &envelope->recipient[i];
		char *orcpt = strdup(forward->orcpt);

		if (orcpt == NULL)
			return -1;
		free(recipient->orcpt);
		recipient->orcpt = orcpt;
		recipient->notify = notify_onward(forward, is_kept);
	}
	return 0;
}

/* Whether any of the addresses is not ours. */
static bool
leaves(const struct forward *forward)
{
	const struct envelope *envelope = &forward->envelope;

	for (uint32_t i = 0; i < envelope->recipients; i++) {
		const char *at = strrchr(envelope->recipient[i].address, '@');

		if (at == NULL ||
			!domains_has(forward->ours, at + 1, strlen(at + 1)))
			return true;
	}
	return false;
}

static int
fill_envelope(struct forward *forward, bool is_kept)
{
	struct envelope *envelope = &forward->envelope;

	envelope->reverse_path = strdup(
		leaves(forward) ? forward->sender->far : forward->sender->near);
	if (envelope->reverse_path == NULL)
		return -1;
	envelope->requiretls = forward->requiretls;

	envelope->origin.kind = ORIGIN_LOCAL;
	envelope->origin.uid = (uint32_t)geteuid();
	envelope->body = BODY_7BIT;
	envelope->smtputf8 = has_eight_bit(
		envelope->reverse_path, strlen(envelope->reverse_path));
	for (uint32_t i = 0; i < envelope->recipients; i++) {
		const char *address = envelope->recipient[i].address;

		envelope->smtputf8 |= has_eight_bit(address, strlen(address));
	}
	return fill_parameters(forward, is_kept);
}

/* 0: it is in the queue; -1: submission->code and text say why not. */
static int
submit(struct forward *forward, struct submission *submission)
{
	uint64_t size = forward->octets + ADDRESS_TEXT_MAX + 16;

	if (submit_open(submission, forward->socket_path, size,
		    deadline_after_ms(SUBMIT_LIMIT_MS)) < 0)
		return -1;
	if (send_content(forward, submission) < 0)
		return -1;
	return submit_finish(submission, &forward->envelope);
}

static enum outcome
outcome_of(const struct forward *forward, bool is_kept)
{
	if (forward->sender->is_list)
		return OUTCOME_DELIVERED;
	return is_handed_over(forward, is_kept) ? OUTCOME_RELAYED_DSN
						: OUTCOME_EXPANDED;
}

enum outcome
forward_submit(
	struct forward *forward, bool is_kept, char text[OUTCOME_TEXT_MAX + 1])
{
	enum outcome outcome = OUTCOME_DEFERRED;
	struct submission *submission = calloc(1, sizeof *submission);

	if (submission == NULL || fill_envelope(forward, is_kept) < 0) {
		snprintf(text, OUTCOME_TEXT_MAX + 1, "4.3.0 out of memory");
		goto done;
	}
	SUBMISSION_CLOSED(submission);
	if (submit(forward, submission) == 0) {
		outcome = outcome_of(forward, is_kept);
		snprintf(text, OUTCOME_TEXT_MAX + 1, "2.0.0 forwarded as %s",
			submission->id);
		goto done;
	}
	if (submit_code_is_permanent(submission->code))
		outcome = OUTCOME_FAILED;
	snprintf(text, OUTCOME_TEXT_MAX + 1, "%s cannot forward: %s",
		outcome == OUTCOME_FAILED ? "5.3.0" : "4.3.0",
		submission->text);
done:
	free(submission);
	forward_free(forward);
	return outcome;
}

void
forward_free(struct forward *forward)
{
	envelope_free(&forward->envelope);
}
