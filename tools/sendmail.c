/*
 * sendmail hands a message to the queue, as programs and scripts have always
 * called it; also mailq and newaliases, by those names.
 *
 * Runs as whoever calls it: nothing is set-uid. The kernel tells queue-inject who
 * that is, and it stands in the message's Received field.
 * Is handed the message on descriptor 0.
 * Promises to end with 0 only after the message is durable in the queue; with 75
 * nothing was accepted (or the answer was lost) and the caller tries again.
 * Never writes to the queue, starts a program but the one that the caller's
 * variable QMAILQUEUE names, or looks a user up in NSS.
 */

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>
#include "lib/addresslist.h"
#include "lib/deadline.h"
#include "lib/durable.h"
#include "lib/envelope.h"
#include "lib/escape.h"
#include "lib/fields.h"
#include "lib/home.h"
#include "lib/ident.h"
#include "lib/settings.h"
#include "local/aliases.h"
#include "queue/submit.h"
#include "tools/mail_header.h"
#include "tools/queue_program.h"
#include "tools/queue_show.h"
#include "tools/sendmail_options.h"
#include "tools/spool.h"
#include "tools/users.h"

/* How long the queue may take for one answer, or for our octets. */
#define SUBMIT_WAIT_MS (5 * 60 * 1000)

struct work {
	struct sendmail_options options;
	struct spool spool;
	struct envelope envelope;
	struct home home;
	struct configuration {
		char *me; /* for addresses without a domain */
	} configuration;
	char from[ADDRESS_TEXT_MAX + 1]; /* for a From field */
	struct submission submission;
	/* In the place of a submission: what QMAILQUEUE names, or NULL; and the
	 * message for it, or -1. */
	const char *program;
	int message;
};

static const struct setting settings[] = {
	{.name = "me",
		.kind = SETTING_HOST,
		.offset = offsetof(struct configuration, me),
		.meaning = "this host's name, for addresses without one"},
};

static int
fail(int status, const char *what, const char *about)
{
	char line[1000];

	escape_line(line, sizeof(line), about, strlen(about), ESCAPE_MASK);
	fprintf(stderr, "sendmail: %s%s%s\n", what, line[0] ? ": " : "", line);
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
complete(struct path *path, const struct work *work)
{
	if (path->kind == PATH_MAILBOX || path->kind == PATH_NULL)
		return 0;
	return address_set_domain(
		path, work->configuration.me, strlen(work->configuration.me));
}

/* Fills in reverse-path and work->from. */
static int
set_sender(struct work *work)
{
	const char *text = work->options.sender;
	char name[256], address[ADDRESS_TEXT_MAX + 1];
	const unsigned flags = ADDRESS_NULL | ADDRESS_NO_DOMAIN | ADDRESS_UTF8;
	struct path path;
	size_t length;

	if (text == NULL)
		text = caller_name(name, sizeof(name));
	length = strlen(text);
	if (text[0] == '<'
			? address_path_scan(text, length, flags, &path) !=
				  length
			: address_mailbox_scan(text, length, flags, &path) < 0)
		return fail(EX_USAGE, "not a sender address", text);
	if (complete(&path, work) < 0)
		return fail(EX_TEMPFAIL, "not a host name in control/me",
			work->configuration.me);
	address_write(address, sizeof(address), &path);
	work->envelope.reverse_path = strdup(address);
	if (work->envelope.reverse_path == NULL)
		return fail(EX_OSERR, "out of memory", "");
	if (path.kind == PATH_NULL)
		snprintf(address, sizeof(address), "MAILER-DAEMON@%s",
			work->configuration.me);
	memcpy(work->from, address, sizeof(work->from));
	return 0;
}

/* --- who receives --- */

static int
add_recipient(void *context, const struct path *given)
{
	struct work *work = context;
	struct path path = *given;
	char address[ADDRESS_TEXT_MAX + 1];

	if (complete(&path, work) < 0 || path.kind == PATH_NULL)
		return fail(
			EX_DATAERR, "not a recipient address", given->local);
	address_write(address, sizeof(address), &path);
	for (const char *p = address; *p; p++)
		if (*p & 0x80)
			work->envelope.smtputf8 = 1;
	if (envelope_add_recipient(
		    &work->envelope, address, work->options.notify, "") == 0)
		return 0;
	return errno == E2BIG ? fail(EX_DATAERR, "too many recipients", "")
			      : fail(EX_OSERR, "out of memory", "");
}

static int
set_recipients(struct work *work, const char *block, size_t length)
{
	char bad[200];

	for (char **argument = work->options.recipient; *argument; argument++)
		switch (addresslist_read(*argument, strlen(*argument),
			ADDRESS_NO_DOMAIN | ADDRESS_UTF8, add_recipient, work,
			NULL)) {
		case ADDRESSLIST_OK:
			break;
		case ADDRESSLIST_BAD:
			return fail(EX_DATAERR, "not a recipient address",
				*argument);
		case ADDRESSLIST_STOPPED:
			return EX_DATAERR;
		}
	if (work->options.header_recipients)
		switch (mail_header_recipients(
			block, length, add_recipient, work, bad, sizeof(bad))) {
		case MAIL_HEADER_OK:
			break;
		case MAIL_HEADER_BAD:
			return fail(EX_DATAERR,
				"a header field has an address that is none",
				bad);
		case MAIL_HEADER_STOPPED:
			return EX_DATAERR;
		}
	if (work->envelope.recipients == 0)
		return fail(EX_USAGE, "no recipient given", "");
	return 0;
}

/* --- the message --- */

/*
 * The header as it came: the first octets of the message, to FIELDS_BLOCK_MAX.
 * A header that does not end within them cannot be rewritten.
 */
static int
check_header(const struct work *work, size_t *length)
{
	struct fields fields;
	struct field field;

	*length = work->spool.held < FIELDS_BLOCK_MAX ? work->spool.held
						      : FIELDS_BLOCK_MAX;
	fields_start(&fields, work->spool.memory, *length);
	while (fields_next(&fields, &field))
		;
	if (fields.body_at == *length && !fields.blank &&
		*length < work->spool.octets)
		return fail(EX_DATAERR, "the header is too long", "");
	return 0;
}

static int
send_piece(void *context, const char *octets, size_t length)
{
	struct work *work = context;
	struct submission *submission = &work->submission;

	if (work->program != NULL)
		return durable_write_all(work->message, octets, length) < 0;
	submission->deadline_ms = deadline_after_ms(SUBMIT_WAIT_MS);
	return submit_content(submission, octets, length) < 0;
}

static int
send_header(struct work *work, size_t length, size_t *body_at)
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
		work->configuration.me);
	if (from.len == 0)
		result = fail(EX_USAGE, "-F is too long", "");
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
refused(const struct work *work)
{
	enum submit_code code = work->submission.code;
	int status = EX_TEMPFAIL;

	if (code == SUBMIT_ADDRESS)
		status = EX_DATAERR;
	else if (submit_code_is_permanent(code))
		status = EX_UNAVAILABLE;
	return fail(status, "the queue did not take the message",
		work->submission.text);
}

/* The whole message to where it goes. */
static int
send_message(struct work *work, size_t length)
{
	size_t body_at;
	int status = send_header(work, length, &body_at);

	if (status != 0)
		return status;
	switch (spool_each(&work->spool, body_at, send_piece, work)) {
	case 0:
		return 0;
	case -1:
		return fail(EX_IOERR, "temporary file", strerror(errno));
	default:
		return EX_TEMPFAIL;
	}
}

/* QMAILQUEUE: that program in the place of our queue. */
static int
run_program(struct work *work, size_t length)
{
	struct submission *submission = &work->submission;
	int status;

	if (ident_make(submission->id) < 0)
		return fail(EX_OSERR, "no message id", strerror(errno));
	work->message = queue_program_file();
	if (work->message < 0)
		return fail(EX_TEMPFAIL, "temporary file", strerror(errno));
	status = send_message(work, length);
	if (status == EX_TEMPFAIL)
		fail(status, "temporary file", strerror(errno));
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
submit(struct work *work, size_t length)
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

static int
configure(struct work *work)
{
	char folder[HOME_NAME_MAX], why[400];

	if (home_open(&work->home, why, sizeof(why)) < 0 ||
		settings_read(settings, SETTINGS_COUNT(settings),
			home_path(&work->home, "control", folder),
			&work->configuration, why, sizeof(why)) < 0)
		return fail(EX_TEMPFAIL, why, "");
	return 0;
}

static int
run(struct work *work)
{
	size_t length;
	int status;

	status = set_sender(work);
	if (status != 0)
		return status;
	switch (spool_read(0, work->options.dot_ends, &work->spool)) {
	case SPOOL_OK:
		break;
	case SPOOL_TOO_LONG:
		return fail(EX_DATAERR, "the message is too long", "");
	case SPOOL_READ:
		return fail(EX_IOERR, "standard input", strerror(errno));
	case SPOOL_WRITE:
		return fail(EX_TEMPFAIL, "no room for the message",
			strerror(errno));
	}
	status = check_header(work, &length);
	if (status == 0)
		status = set_recipients(work, work->spool.memory, length);
	if (status != 0)
		return status;
	work->envelope.body = work->spool.eight_bit ? BODY_8BITMIME : BODY_7BIT;
	work->envelope.ret = work->options.ret;
	work->envelope.envid = strdup(work->options.envid);
	if (work->envelope.envid == NULL)
		return fail(EX_OSERR, "out of memory", "");
	return submit(work, length);
}

struct alias_values {
	char *file;
};

static const struct setting alias_settings[] = {
	{.name = "aliasfile",
		.kind = SETTING_TEXT,
		.fallback = "/etc/aliases",
		.offset = offsetof(struct alias_values, file),
		.meaning = "the file of aliases that newaliases compiles"},
};

/* newaliases: users/aliases.cdb, from the file that control/aliasfile names. */
static int
compile_aliases(void)
{
	struct alias_values values = {NULL};
	char control[HOME_NAME_MAX], why[900];
	struct home home;

	if (home_open(&home, why, sizeof why) < 0 ||
		settings_read(alias_settings, SETTINGS_COUNT(alias_settings),
			home_path(&home, "control", control), &values, why,
			sizeof why) < 0)
		return fail(EX_CONFIG, why, "");
	umask(077);
	long count = users_compile(&home, values.file, "aliases.cdb",
		aliases_compile, why, sizeof why);
	if (count >= 0)
		printf("%s: %ld aliases\n", values.file, count);
	settings_free(alias_settings, SETTINGS_COUNT(alias_settings), &values);
	return count < 0 ? fail(EX_DATAERR, why, "") : EX_OK;
}

int
main(int argc, char **argv)
{
	struct work *work = calloc(1, sizeof(*work));
	int status = 0;

	if (work == NULL)
		return fail(EX_OSERR, "out of memory", "");
	signal(SIGPIPE, SIG_IGN);
	work->spool = SPOOL_EMPTY;
	SUBMISSION_CLOSED(&work->submission);
	if (sendmail_options_read(argc, argv, &work->options) < 0) {
		free(work);
		return EX_USAGE;
	}
	switch (work->options.mode) {
	case SENDMAIL_LIST:
		if (queue_show("mailq", SHOW_TEXT, NULL) != 0)
			status = EX_TEMPFAIL;
		break;
	case SENDMAIL_ALIASES:
		status = compile_aliases();
		break;
	case SENDMAIL_FLUSH:
		break;
	case SENDMAIL_SUBMIT:
		status = configure(work);
		if (status == 0)
			status = run(work);
		break;
	}
	settings_free(settings, SETTINGS_COUNT(settings), &work->configuration);
	envelope_free(&work->envelope);
	spool_free(&work->spool);
	free(work);
	return status;
}
