#include "tools/sendmail_session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/dots.h"
#include "lib/line.h"
#include "lib/output.h"
#include "smtpd/parameters.h"

#define WAIT_MS (5 * 60 * 1000)

struct talk {
	struct sendmail *work;
	struct line_reader input;
	struct output output;
	bool is_lost, has_mail;
};

/* One reply; printf's manner, at most 900 octets. */
static void __attribute__((format(printf, 2, 3)))
say(struct talk *talk, const char *form, ...)
{
	char line[1000];
	va_list list;

	va_start(list, form);
	int length = vsnprintf(line, sizeof line - 2, form, list);
	va_end(list);
	if (length > (int)sizeof line - 3)
		length = (int)sizeof line - 3;
	memcpy(line + length, "\r\n", 2);
	if (output_put(&talk->output, line, (size_t)length + 2,
		    deadline_after_ms(WAIT_MS)) < 0)
		talk->is_lost = true;
}

static void
forget(struct talk *talk)
{
	sendmail_forget(talk->work);
	talk->has_mail = false;
}

/* --- MAIL and RCPT --- */

/*
 * Reads "FROM:" or "TO:", the path and its parameters. True, or false after the
 * reply.
 */
static bool
read_path(struct talk *talk, const char *text, size_t length, const char *word,
	unsigned flags, enum parameters_command command, struct path *path,
	struct parameters *parameters)
{
	size_t word_length = strlen(word), used = 0;

	if (length > word_length && strncasecmp(text, word, word_length) == 0) {
		text += word_length;
		length -= word_length;
		while (length > 0 && *text == ' ') {
			text++;
			length--;
		}
		used = address_path_scan(text, length, flags, path);
	}
	if (used == 0) {
		say(talk, "501 5.1.%c %s<address> is what I understand",
			command == PARAMETERS_MAIL ? '7' : '3', word);
		return false;
	}
	switch (parameters_scan(
		command, text + used, length - used, parameters)) {
	case PARAMETERS_OK:
		return true;
	case PARAMETERS_UNKNOWN:
		say(talk, "555 5.5.4 a parameter is not known");
		return false;
	default:
		say(talk, "501 5.5.4 a parameter is malformed");
		return false;
	}
}

/* A status of sysexits.h as a reply. */
static void
say_failure(struct talk *talk, int status)
{
	if (status == EX_DATAERR || status == EX_UNAVAILABLE ||
		status == EX_USAGE)
		say(talk, "554 5.6.0 %.600s", talk->work->why);
	else
		say(talk, "451 4.3.0 %.600s", talk->work->why);
}

static void
mail(struct talk *talk, const char *text, size_t length)
{
	struct sendmail *work = talk->work;
	struct parameters parameters;
	struct path path;

	if (talk->has_mail) {
		say(talk, "503 5.5.1 there is a sender already");
		return;
	}
	if (!read_path(talk, text, length,
		    "FROM:", ADDRESS_NULL | ADDRESS_NO_DOMAIN | ADDRESS_UTF8,
		    PARAMETERS_MAIL, &path, &parameters))
		return;
	int status = sendmail_set_path(work, &path);
	if (status == 0) {
		work->envelope.envid = strndup(
			parameters.envid_len > 0 ? parameters.envid : "",
			parameters.envid_len);
		if (work->envelope.envid == NULL)
			status = sendmail_fail(
				work, EX_OSERR, "out of memory", "");
	}
	if (status != 0) {
		say_failure(talk, status);
		forget(talk);
		return;
	}
	work->envelope.body = parameters.body;
	work->envelope.ret = parameters.ret;
	work->envelope.smtputf8 |= parameters.smtputf8;
	talk->has_mail = true;
	say(talk, "250 2.1.0 ok");
}

static void
rcpt(struct talk *talk, const char *text, size_t length)
{
	char orcpt[ENVELOPE_ORCPT_MAX + 1] = "";
	struct parameters parameters;
	struct path path;

	if (!talk->has_mail) {
		say(talk, "503 5.5.1 MAIL first");
		return;
	}
	if (!read_path(talk, text, length,
		    "TO:", ADDRESS_NO_DOMAIN | ADDRESS_UTF8, PARAMETERS_RCPT,
		    &path, &parameters))
		return;
	if (parameters.orcpt_len > 0 &&
		parameters_write_orcpt(
			orcpt, parameters.orcpt, parameters.orcpt_len) == 0) {
		say(talk, "501 5.5.4 ORCPT is malformed");
		return;
	}
	int status = sendmail_add_recipient(
		talk->work, &path, parameters.notify, orcpt);
	if (status == 0)
		say(talk, "250 2.1.5 ok");
	else if (status == EX_DATAERR &&
		 talk->work->envelope.recipients >= ENVELOPE_RECIPIENTS_MAX)
		say(talk, "452 4.5.3 %.600s", talk->work->why);
	else
		say_failure(talk, status);
}

/* --- DATA --- */

/*
 * Takes the content up to its end. SPOOL_OK, or why it was not kept; is_lost
 * where no end came. *seen is what dots_decode noted.
 */
static enum spool_result
take_content(struct talk *talk, unsigned *seen)
{
	struct spool *spool = &talk->work->spool;
	struct dots_decoder decoder;
	enum spool_result result =
		spool_start(spool) < 0 ? SPOOL_WRITE : SPOOL_OK;
	enum dots_result more = DOTS_MORE;
	char piece[4096];

	dots_decode_start(&decoder, DOTS_DATA);
	while (more == DOTS_MORE) {
		size_t length, consumed, produced;
		const char *text = line_buffered(&talk->input, &length);

		if (length == 0) {
			if (line_fill(&talk->input,
				    deadline_after_ms(WAIT_MS)) != LINE_OK) {
				talk->is_lost = true;
				break;
			}
			continue;
		}
		more = dots_decode(&decoder, text, length, &consumed, piece,
			sizeof piece, &produced);
		line_consume(&talk->input, consumed);
		if (result == SPOOL_OK)
			result = spool_put(spool, piece, produced);
	}
	*seen = decoder.seen;
	return result;
}

static void
data(struct talk *talk)
{
	struct sendmail *work = talk->work;
	unsigned seen;

	if (work->envelope.recipients == 0) {
		say(talk, "503 5.5.1 %s first",
			talk->has_mail ? "RCPT" : "MAIL");
		return;
	}
	say(talk, "354 go on, a dot alone ends it");
	if (output_flush(&talk->output, deadline_after_ms(WAIT_MS)) < 0)
		talk->is_lost = true;
	enum spool_result result = take_content(talk, &seen);
	int status = 0;
	if (talk->is_lost)
		;
	else if (result == SPOOL_TOO_LONG)
		say(talk, "552 5.3.4 the message is too long");
	else if (result != SPOOL_OK)
		say(talk, "452 4.3.1 no room for the message");
	else if (seen & (DOTS_BARE_CR | DOTS_BARE_LF))
		say(talk, "554 5.6.0 each line ends in CR LF");
	else if ((status = sendmail_submit(work)) != 0)
		say_failure(talk, status);
	else
		say(talk, "250 2.0.0 ok, queued as %s", work->submission.id);
	forget(talk);
}

/* --- the rest --- */

static void
hello(struct talk *talk, bool is_extended)
{
	forget(talk);
	say(talk, "250%c%s", is_extended ? '-' : ' ', talk->work->me);
	if (!is_extended)
		return;
	static const char *const offered[] = {
		"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE"};
	for (size_t i = 0; i < sizeof offered / sizeof offered[0]; i++)
		say(talk, "250-%s", offered[i]);
	say(talk, "250 ENHANCEDSTATUSCODES");
}

/* Carries out one command; false after the last. */
static bool
command(struct talk *talk, const char *line, size_t length)
{
	static const char *const verbs[] = {"EHLO", "HELO", "MAIL", "RCPT",
		"DATA", "RSET", "NOOP", "VRFY", "QUIT"};
	size_t word = 0, which = 0, count = sizeof verbs / sizeof verbs[0];

	while (word < length && line[word] != ' ')
		word++;
	while (which < count && (strlen(verbs[which]) != word ||
					strncasecmp(line, verbs[which], word)))
		which++;
	while (word < length && line[word] == ' ')
		word++;
	line += word;
	length -= word;
	switch (which) {
	case 0:
	case 1:
		hello(talk, which == 0);
		return true;
	case 2:
		mail(talk, line, length);
		return true;
	case 3:
		rcpt(talk, line, length);
		return true;
	case 4:
		data(talk);
		return true;
	case 5:
		forget(talk);
		/* fallthrough */
	case 6:
		say(talk, "250 2.0.0 ok");
		return true;
	case 7:
		say(talk, "252 2.5.2 send it and see");
		return true;
	case 8:
		say(talk, "221 2.0.0 %s", talk->work->me);
		return false;
	default:
		say(talk, "500 5.5.1 no such command");
		return true;
	}
}

static void
converse(struct talk *talk)
{
	const char *line;
	size_t length;
	bool goes_on = true;

	say(talk, "220 %s ESMTP", talk->work->me);
	while (goes_on && !talk->is_lost) {
		if (line_is_empty(&talk->input) &&
			output_flush(
				&talk->output, deadline_after_ms(WAIT_MS)) < 0)
			break;
		switch (line_read(&talk->input, LINE_COMMAND_MAX,
			deadline_after_ms(WAIT_MS), &line, &length)) {
		case LINE_OK:
			goes_on = command(talk, line, length);
			break;
		case LINE_BARE:
			say(talk, "500 5.5.2 each line ends in CR LF");
			break;
		case LINE_TOO_LONG:
			say(talk, "500 5.5.2 line too long");
			break;
		case LINE_TIMEOUT:
			say(talk, "421 4.4.2 timeout");
			goes_on = false;
			break;
		default:
			goes_on = false;
		}
	}
	output_flush(&talk->output, deadline_after_ms(WAIT_MS));
}

/* True for a connection from elsewhere, or what tcpserver started. */
static bool
is_network(void)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof peer;

	if (getpeername(STDIN_FILENO, (struct sockaddr *)&peer, &size) == 0 &&
		peer.ss_family != AF_UNIX)
		return true;
	return getenv("TCPREMOTEIP") != NULL;
}

int
sendmail_session(struct sendmail *work)
{
	struct talk *talk = calloc(1, sizeof *talk);

	if (talk == NULL)
		return sendmail_fail(work, EX_OSERR, "out of memory", "");
	talk->work = work;
	line_start(&talk->input, STDIN_FILENO);
	output_start(&talk->output, STDOUT_FILENO);
	bool is_refused = is_network();
	if (is_refused) {
		say(talk, "421 4.3.2 this is for programs of this host alone");
		output_flush(&talk->output, deadline_after_ms(WAIT_MS));
	} else {
		converse(talk);
	}
	free(talk);
	return is_refused ? sendmail_fail(work, EX_USAGE,
				    "-bs is not for the network: smtpd is", "")
			  : 0;
}
