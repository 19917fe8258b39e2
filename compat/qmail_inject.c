/*
 * qmail-inject hands a message to the queue as qmail's program of that name does:
 * with its options, its variables, and its way with addresses that are not whole.
 *
 * Runs as whoever calls it: nothing is set-uid.
 * Is handed the message on descriptor 0.
 * Promises what sendmail promises: 0 only after the message is durable; 111 for
 * what may be tried again, 100 for what may not.
 * Never writes to the queue, and starts no program but the one that QMAILQUEUE
 * names.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>
#include "compat/inject.h"
#include "lib/addresslist.h"
#include "lib/fields.h"
#include "lib/outcome.h"
#include "lib/settings.h"

static const struct setting settings[] = {
	{.name = "defaulthost",
		.kind = SETTING_HOST,
		.fallback = "@me",
		.offset = offsetof(struct values, defaulthost),
		.meaning = "qmail-inject gives it to addresses without a host"},
	{.name = "defaultdomain",
		.kind = SETTING_HOST,
		.fallback = "@me",
		.offset = offsetof(struct values, defaultdomain),
		.meaning = "qmail-inject gives it to hosts without a dot"},
	{.name = "plusdomain",
		.kind = SETTING_HOST,
		.fallback = "@me",
		.offset = offsetof(struct values, plusdomain),
		.meaning = "qmail-inject gives it to hosts that end in +"},
	{.name = "idhost",
		.kind = SETTING_HOST,
		.fallback = "@me",
		.offset = offsetof(struct values, idhost),
		.meaning = "the host in Message-IDs of qmail-inject's"},
};

/* An exit status of sendmail's modules, and what stands in why. */
static int
fail_as(const struct inject *inject, int status)
{
	return inject_fail(status == EX_TEMPFAIL || status == EX_OSERR ||
					   status == EX_IOERR
				   ? STATUS_TEMPORARY
				   : STATUS_MISUSE,
		inject->work->why, "");
}

static int
out_of_memory(void)
{
	return inject_fail(STATUS_TEMPORARY, "out of memory", "");
}

/* --- options and variables --- */

static int
read_options(int argc, char **argv, struct inject *inject)
{
	int letter;

	opterr = 0;
	inject->recipients_from = 'A';
	while ((letter = getopt(argc, argv, "+aAhHnNf:")) != -1)
		switch (letter) {
		case 'n':
		case 'N':
			inject->prints = letter == 'n';
			break;
		case 'f':
			inject->sender = optarg;
			break;
		case '?':
			return inject_fail(STATUS_MISUSE,
				"usage: qmail-inject [-a] [-A] [-h] [-H] [-n] "
				"[-N] [-f sender] "
				"[recipient …]",
				"");
		default:
			inject->recipients_from = (char)letter;
		}
	inject->argument = argv + optind;
	return 0;
}

static void
read_letters(struct inject *inject)
{
	const char *letters = getenv("QMAILINJECT");

	for (; letters != NULL && *letters != 0; letters++)
		switch (*letters) {
		case 'c':
			inject->comment_name = true;
			break;
		case 's':
			inject->drops_path = true;
			break;
		case 'f':
			inject->header.drops_from = true;
			break;
		case 'i':
			inject->header.drops_id = true;
			break;
		case 'm':
			inject->verp_message = true;
			break;
		case 'r':
			inject->verp_recipient = true;
			break;
		}
}

static const char *
host_or(const char *variable, const char *other)
{
	const char *value = getenv(variable);

	return value != NULL && domain_valid(value, strlen(value)) ? value
								   : other;
}

static int
configure(struct inject *inject)
{
	char folder[HOME_NAME_MAX], why[400];
	int status = sendmail_configure(inject->work);

	if (status != 0)
		return fail_as(inject, status);
	if (settings_read(settings, SETTINGS_COUNT(settings),
		    home_path(&inject->work->home, "control", folder),
		    &inject->values, why, sizeof why) < 0)
		return inject_fail(STATUS_TEMPORARY, why, "");
	inject->header.rewrite = (struct rewrite){
		.host = host_or("QMAILDEFAULTHOST", inject->values.defaulthost),
		.domain = host_or(
			"QMAILDEFAULTDOMAIN", inject->values.defaultdomain),
		.plus = host_or("QMAILPLUSDOMAIN", inject->values.plusdomain)};
	return 0;
}

/* QMAILMFTFILE: the addresses of lists, one a line. */
static int
read_lists(struct inject *inject)
{
	const char *path = getenv("QMAILMFTFILE");
	size_t length = 0;

	if (path == NULL || *path == 0)
		return 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT
			       ? 0
			       : inject_fail(STATUS_TEMPORARY, "QMAILMFTFILE",
					 strerror(errno));
	while (length < LISTS_MAX) {
		ssize_t got =
			read(fd, inject->lists + length, LISTS_MAX - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		length += (size_t)got;
	}
	close(fd);
	inject->header.followup_lists = inject->lists;
	return 0;
}

/* --- who receives --- */

static int
add_recipient(void *context, const struct path *path)
{
	struct inject *inject = context;

	return sendmail_add_recipient(inject->work, path, 0, "");
}

static int
add_arguments(struct inject *inject)
{
	for (char **argument = inject->argument; *argument != NULL;
		argument++) {
		stralloc text = STRALLOC_ZERO;
		enum addresslist_result result = ADDRESSLIST_STOPPED;

		if (rewrite_list(&inject->header.rewrite, *argument,
			    strlen(*argument), &text) == 0)
			result = addresslist_read(text.s, text.len,
				ADDRESS_NO_DOMAIN | ADDRESS_UTF8, add_recipient,
				inject, NULL);
		stralloc_free(&text);
		if (result == ADDRESSLIST_BAD)
			return inject_fail(
				STATUS_MISUSE, "not a recipient", *argument);
		if (result == ADDRESSLIST_STOPPED)
			return fail_as(inject, EX_DATAERR);
	}
	return 0;
}

/* --- the message --- */

static int
make_header(
	struct inject *inject, size_t length, stralloc *into, size_t *body_at)
{
	struct inject_header *header = &inject->header;
	char from = inject->recipients_from, bad[200];
	struct tm *utc = gmtime(&inject->now);

	if (utc == NULL)
		return out_of_memory();
	date_write(inject->date, inject->now);
	char stamp[20];
	strftime(stamp, sizeof stamp, "%Y%m%d%H%M%S", utc);
	snprintf(inject->message_id, sizeof inject->message_id,
		"<%s.%ld.qmail@%s>", stamp, (long)getpid(),
		host_or("QMAILIDHOST", inject->values.idhost));
	header->date = inject->date;
	header->message_id = inject->message_id;
	header->from = inject->from.s;
	header->context = inject;
	if (from == 'h' || from == 'H' ||
		(from == 'A' && *inject->argument == NULL))
		header->each = add_recipient;
	switch (inject_header(header, inject->work->spool.memory, length, into,
		body_at, bad, sizeof bad)) {
	case INJECT_OK:
		break;
	case INJECT_BAD:
		return inject_fail(STATUS_MISUSE,
			"a field has an address that is none", bad);
	case INJECT_STOPPED:
		return fail_as(inject, EX_DATAERR);
	case INJECT_MEMORY:
		return out_of_memory();
	}
	return from == 'h' ? 0 : add_arguments(inject);
}

static int
put_piece(void *context, const char *octets, size_t length)
{
	return (int)spool_put(context, octets, length);
}

static int
print_piece(void *context, const char *octets, size_t length)
{
	return fwrite(octets, 1, length, context) != length;
}

/* Puts the new header before the body. */
static int
replace_header(struct inject *inject, const stralloc *header, size_t body_at)
{
	struct spool new = SPOOL_EMPTY;

	if (spool_start(&new) < 0 ||
		spool_put(&new, header->s, header->len) != SPOOL_OK ||
		spool_each(&inject->work->spool, body_at, put_piece, &new) !=
			0) {
		spool_free(&new);
		return inject_fail(STATUS_TEMPORARY, "no room for the message",
			strerror(errno));
	}
	spool_free(&inject->work->spool);
	inject->work->spool = new;
	return 0;
}

static int
print(const struct inject *inject)
{
	return spool_each(&inject->work->spool, 0, print_piece, stdout) != 0 ||
			       fflush(stdout) != 0
		       ? inject_fail(STATUS_TEMPORARY, "standard output",
				 strerror(errno))
		       : 0;
}

static int
run(struct inject *inject)
{
	struct sendmail *work = inject->work;
	stralloc header = STRALLOC_ZERO;
	size_t body_at = 0, length;
	int status;

	switch (spool_read(0, 0, &work->spool)) {
	case SPOOL_OK:
		break;
	case SPOOL_TOO_LONG:
		return inject_fail(
			STATUS_MISUSE, "the message is too long", "");
	default:
		return inject_fail(STATUS_TEMPORARY,
			"standard input or its file", strerror(errno));
	}
	status = sendmail_check_header(work, &length);
	if (status != 0)
		return fail_as(inject, status);
	status = inject_set_sender(inject, length);
	if (status == 0)
		status = make_header(inject, length, &header, &body_at);
	if (status == 0)
		status = replace_header(inject, &header, body_at);
	stralloc_free(&header);
	if (status != 0 || inject->prints)
		return status != 0 ? status : print(inject);
	if (work->envelope.recipients == 0)
		return inject_fail(STATUS_MISUSE, "no recipient", "");
	work->envelope.body = work->spool.eight_bit ? BODY_8BITMIME : BODY_7BIT;
	work->envelope.envid = strdup("");
	if (work->envelope.envid == NULL)
		return out_of_memory();
	status = sendmail_submit(work);
	return status == 0 ? 0 : fail_as(inject, status);
}

int
main(int argc, char **argv)
{
	struct inject *inject = calloc(1, sizeof *inject);
	struct sendmail *work = calloc(1, sizeof *work);
	int status;

	if (inject == NULL || work == NULL)
		return out_of_memory();
	signal(SIGPIPE, SIG_IGN);
	work->spool = SPOOL_EMPTY;
	SUBMISSION_CLOSED(&work->submission);
	inject->work = work;
	inject->now = time(NULL);
	status = read_options(argc, argv, inject);
	read_letters(inject);
	if (status == 0)
		status = configure(inject);
	if (status == 0)
		status = read_lists(inject);
	if (status == 0)
		status = run(inject);
	settings_free(settings, SETTINGS_COUNT(settings), &inject->values);
	stralloc_free(&inject->from);
	stralloc_free(&inject->reverse_path);
	sendmail_free(work);
	free(inject);
	return status;
}
