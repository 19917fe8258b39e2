#include "tools/sendmail_submit.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>
#include "lib/addresslist.h"
#include "lib/deadline.h"
#include "lib/durable.h"
#include "lib/escape.h"
#include "lib/fields.h"
#include "lib/ident.h"
#include "lib/settings.h"
#include "tools/mail_header.h"
#include "tools/queue_program.h"

/* How long the queue may take for one answer, or for our octets. */
#define SUBMIT_WAIT_MS (5 * 60 * 1000)

static const struct setting settings[] = {
	{.name = "me",
		.kind = SETTING_HOST,
		.offset = offsetof(struct sendmail, me),
		.meaning = "this host's name, for addresses without one"},
};

int
sendmail_fail(
	struct sendmail *work, int status, const char *what, const char *about)
{
	char line[SENDMAIL_WHY_MAX];
	int length = snprintf(line, sizeof line, "%.480s%s%.480s", what,
		about[0] ? ": " : "", about);

	escape_line(
		work->why, sizeof work->why, line, (size_t)length, ESCAPE_MASK);
	return status;
}

/* --- who sends --- */

/*
 * The caller's name: the first of qmail's variables that is set, else the name
 * in /etc/passwd, read as a file because static programs have no NSS.
 */
static const char *
caller_name(char *buffer, size_t size)
{
	static const char *const variable[] = {
		"QMAILUSER", "MAILUSER", "USER", "LOGNAME"};
	struct passwd *entry;
	FILE *file;

	for (size_t i = 0; i < sizeof(variable) / sizeof(variable[0]); i++) {
		const char *name = getenv(variable[i]);
		if (name != NULL && name[0] != '\0')
			return name;
	}
	snprintf(buffer, size, "anonymous");
	file = fopen("/etc/passwd", "re");
	if (file == NULL)
		return buffer;
	while ((entry = fgetpwent(file)) != NULL)
		if (entry->pw_uid == getuid()) {
			snprintf(buffer, size, "%s", entry->pw_name);
			break;
		}
	fclose(file);
	return buffer;
}

/* Gives an address that came without a domain ours. */
static int
complete(struct path *path, struct sendmail *work)
{
	if (path->kind == PATH_MAILBOX || path->kind == PATH_NULL)
		return 0;
	return address_set_domain(path, work->me, strlen(work->me));
}

/* An address that is not of ASCII alone needs SMTPUTF8 (RFC 6531). */
static void
note_utf8(struct sendmail *work, const char *address)
{
	for (; *address; address++)
		if (*address & 0x80)
			work->envelope.smtputf8 = 1;
}

int
sendmail_set_path(struct sendmail *work, const struct path *given)
{
	char address[ADDRESS_TEXT_MAX + 1];
	struct path path = *given;

	if (complete(&path, work) < 0)
		return sendmail_fail(work, EX_TEMPFAIL,
			"not a host name in control/me", work->me);
	address_write(address, sizeof(address), &path);
	note_utf8(work, address);
	free(work->envelope.reverse_path);
	work->envelope.reverse_path = strdup(address);
	if (work->envelope.reverse_path == NULL)
		return sendmail_fail(work, EX_OSERR, "out of memory", "");
	if (path.kind == PATH_NULL)
		snprintf(
			address, sizeof(address), "MAILER-DAEMON@%s", work->me);
	memcpy(work->from, address, sizeof(work->from));
	return 0;
}

int
sendmail_set_sender(struct sendmail *work, const char *text)
{
	const unsigned flags = ADDRESS_NULL | ADDRESS_NO_DOMAIN | ADDRESS_UTF8;
	struct path path;
	char name[256];
	size_t length;

	if (text == NULL)
		text = caller_name(name, sizeof(name));
	length = strlen(text);
	if (text[0] == '<'
			? address_path_scan(text, length, flags, &path) !=
				  length
			: address_mailbox_scan(text, length, flags, &path) < 0)
		return sendmail_fail(
			work, EX_USAGE, "not a sender address", text);
	return sendmail_set_path(work, &path);
}

/* --- who receives --- */

int
sendmail_add_recipient(struct sendmail *work, const struct path *given,
	uint8_t notify, const char *orcpt)
{
	struct path path = *given;
	char address[ADDRESS_TEXT_MAX + 1];

	if (complete(&path, work) < 0 || path.kind == PATH_NULL)
		return sendmail_fail(work, EX_DATAERR,
			"not a recipient address", given->local);
	address_write(address, sizeof(address), &path);
	note_utf8(work, address);
	if (envelope_add_recipient(&work->envelope, address, notify, orcpt) ==
		0)
		return 0;
	return errno == E2BIG
		       ? sendmail_fail(work, EX_DATAERR,
				 "more than 100000 recipients", "")
		       : sendmail_fail(work, EX_OSERR, "out of memory", "");
}

static int
add_recipient(void *context, const struct path *path)
{
	struct sendmail *work = context;

	return sendmail_add_recipient(work, path, work->options.notify, "");
}

static int
set_arguments(struct sendmail *work)
{
	for (char **argument = work->options.recipient; *argument; argument++)
		switch (addresslist_read(*argument, strlen(*argument),
			ADDRESS_NO_DOMAIN | ADDRESS_UTF8, add_recipient, work,
			NULL)) {
		case ADDRESSLIST_OK:
			break;
		case ADDRESSLIST_BAD:
			return sendmail_fail(work, EX_DATAERR,
				"not a recipient address", *argument);
		case ADDRESSLIST_STOPPED:
			return EX_DATAERR;
		}
	return 0;
}

static int
set_recipients(struct sendmail *work, const char *block, size_t length)
{
	char bad[200];
	int status = set_arguments(work);

	if (status != 0)
		return status;
	if (work->options.header_recipients)
		switch (mail_header_recipients(
			block, length, add_recipient, work, bad, sizeof(bad))) {
		case MAIL_HEADER_OK:
			break;
		case MAIL_HEADER_BAD:
			return sendmail_fail(work, EX_DATAERR,
				"a header field has an address that is none",
				bad);
		case MAIL_HEADER_STOPPED:
			return EX_DATAERR;
		}
	if (work->envelope.recipients == 0)
		return sendmail_fail(work, EX_USAGE, "no recipient given", "");
	return 0;
}

/* --- the message --- */

/* Whether text may be the beginning of a field that goes on behind it. */
static int
may_be_cut_name(const char *text, size_t length)
{
	size_t at = 0;

	while (at < length && text[at] > ' ' && text[at] < 127)
		at++;
	while (at < length && strchr(" \t\r", text[at]) != NULL)
		at++;
	return at == length;
}

int
sendmail_check_header(struct sendmail *work, size_t *length)
{
	struct fields fields;
	struct field field;

	*length = work->spool.held;
	fields_start(&fields, work->spool.memory, *length);
	while (fields_next(&fields, &field))
		;
	if (!fields.blank && *length < work->spool.octets &&
		may_be_cut_name(work->spool.memory + fields.body_at,
			*length - fields.body_at))
		return sendmail_fail(
			work, EX_DATAERR, "the header is too long", "");
	return 0;
}

static int
send_piece(void *context, const char *octets, size_t length)
{
	struct sendmail *work = context;
	struct submission *submission = &work->submission;

	if (work->program != NULL)
		return durable_write_all(work->message, octets, length) < 0;
	submission->deadline_ms = deadline_after_ms(SUBMIT_WAIT_MS);
	return submit_content(submission, octets, length) < 0;
}

static int
send_header(struct sendmail *work, size_t length, size_t *body_at)
{
	char message_id[ADDRESS_DOMAIN_MAX + 1 + 32];
	const char *name = work->options.name;
	stralloc from = STRALLOC_ZERO, header = STRALLOC_ZERO;
	struct mail_header_additions additions = {.time_s = time(NULL)};
	int result = EX_OSERR;

	if (name == NULL)
		name = getenv("NAME") ? getenv("NAME") : "";
	if (mail_header_from(name, work->from, &from) < 0 && errno == EINVAL &&
		work->options.name == NULL) {
		/* The environment's name is a wish, not an order. */
		from.len = 0;
		mail_header_from("", work->from, &from);
	}
	snprintf(message_id, sizeof(message_id), "<%s@%s>", work->submission.id,
		work->me);
	if (from.len == 0)
		result = sendmail_fail(work, EX_USAGE, "-F is too long", "");
	else if (stralloc_0(&from)) {
		additions.from = from.s;
		additions.message_id = message_id;
		if (mail_header_rewrite(work->spool.memory, length, &additions,
			    &header, body_at) == 0)
			result = send_piece(work, header.s, header.len)
					 ? EX_TEMPFAIL
					 : 0;
	}
	stralloc_free(&from);
	stralloc_free(&header);
	return result;
}

/* What queue-inject said, as an exit status. */
static int
refused(struct sendmail *work)
{
	enum submit_code code = work->submission.code;
	int status = EX_TEMPFAIL;

	if (code == SUBMIT_ADDRESS)
		status = EX_DATAERR;
	else if (submit_code_is_permanent(code))
		status = EX_UNAVAILABLE;
	return sendmail_fail(work, status, "the queue did not take the message",
		work->submission.text);
}

/* The whole message to where it goes. */
static int
send_message(struct sendmail *work, size_t length)
{
	size_t body_at;
	int status = send_header(work, length, &body_at);

	if (status != 0)
		return status;
	switch (spool_each(&work->spool, body_at, send_piece, work)) {
	case 0:
		return 0;
	case -1:
		return sendmail_fail(
			work, EX_IOERR, "temporary file", strerror(errno));
	default:
		return EX_TEMPFAIL;
	}
}

/* QMAILQUEUE: that program in the place of our queue. */
static int
run_program(struct sendmail *work, size_t length)
{
	struct submission *submission = &work->submission;
	int status;

	if (ident_make(submission->id) < 0)
		return sendmail_fail(
			work, EX_OSERR, "no message id", strerror(errno));
	work->message = queue_program_file();
	if (work->message < 0)
		return sendmail_fail(
			work, EX_TEMPFAIL, "temporary file", strerror(errno));
	status = send_message(work, length);
	if (status == EX_TEMPFAIL)
		sendmail_fail(work, status, "temporary file", strerror(errno));
	if (status == 0) {
		submission->code = queue_program_run(work->program,
			work->home.path, work->message, &work->envelope,
			submission->text);
		if (submission->code != SUBMIT_ACCEPTED)
			status = refused(work);
	}
	close(work->message);
	return status;
}

static int
submit(struct sendmail *work, size_t length)
{
	char path[HOME_NAME_MAX];
	int status;

	work->program = getenv("QMAILQUEUE");
	if (work->program != NULL && *work->program == 0)
		work->program = NULL;
	if (work->program != NULL)
		return run_program(work, length);
	home_path(&work->home, "socket/submit", path);
	if (submit_open(&work->submission, path, work->spool.octets,
		    deadline_after_ms(SUBMIT_WAIT_MS)) < 0)
		return refused(work);
	status = send_message(work, length);
	if (status != 0) {
		if (work->submission.fd < 0)
			return refused(work);
		submit_abandon(&work->submission);
		return status;
	}
	work->submission.deadline_ms = deadline_after_ms(SUBMIT_WAIT_MS);
	return submit_finish(&work->submission, &work->envelope) < 0
		       ? refused(work)
		       : 0;
}

int
sendmail_submit(struct sendmail *work)
{
	size_t length;
	int status;

	if (work->spool.nul)
		return sendmail_fail(
			work, EX_DATAERR, "the message has a NUL octet", "");
	status = sendmail_check_header(work, &length);
	if (status == 0 && work->envelope.recipients == 0)
		status = set_recipients(work, work->spool.memory, length);
	return status != 0 ? status : submit(work, length);
}

int
sendmail_run(struct sendmail *work)
{
	int status = sendmail_set_sender(work, work->options.sender);

	if (status != 0)
		return status;
	switch (spool_read(0, work->options.dot_ends, &work->spool)) {
	case SPOOL_OK:
		break;
	case SPOOL_TOO_LONG:
		return sendmail_fail(
			work, EX_DATAERR, "the message is too long", "");
	case SPOOL_READ:
		return sendmail_fail(
			work, EX_IOERR, "standard input", strerror(errno));
	case SPOOL_WRITE:
		return sendmail_fail(work, EX_TEMPFAIL,
			"no room for the message", strerror(errno));
	}
	work->envelope.body = work->spool.eight_bit ? BODY_8BITMIME : BODY_7BIT;
	work->envelope.ret = work->options.ret;
	work->envelope.envid = strdup(work->options.envid);
	if (work->envelope.envid == NULL)
		return sendmail_fail(work, EX_OSERR, "out of memory", "");
	return sendmail_submit(work);
}

int
sendmail_configure(struct sendmail *work)
{
	char folder[HOME_NAME_MAX], why[400];

	if (home_open(&work->home, why, sizeof(why)) < 0 ||
		settings_read(settings, SETTINGS_COUNT(settings),
			home_path(&work->home, "control", folder), work, why,
			sizeof(why)) < 0)
		return sendmail_fail(work, EX_TEMPFAIL, why, "");
	return 0;
}

void
sendmail_forget(struct sendmail *work)
{
	envelope_free(&work->envelope);
	spool_free(&work->spool);
}

void
sendmail_free(struct sendmail *work)
{
	settings_free(settings, SETTINGS_COUNT(settings), work);
	sendmail_forget(work);
	free(work);
}
