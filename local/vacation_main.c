/*
 * vacation answers mail while its owner is away, once a sender:
 * vacation [-t days] [-a address] [-s subject] file
 *
 * Runs as the owner of the mail, from a .qmail file, in the home.
 * Is handed the message on descriptor 0 and the delivery's variables; the file
 * holds the text of the answer.
 * Promises to answer no list, no program and no report (RFC 3834), nobody twice in
 * the time, and with the null reverse-path, so that nobody answers the answer.
 * Never lets the mail itself fail: what is not to be answered, or cannot be, is done
 * with 0; a wrong call, and what may be better later, is 111.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/date.h"
#include "lib/durable.h"
#include "lib/escape.h"
#include "lib/ident.h"
#include "lib/outcome.h"
#include "local/command.h"
#include "local/vacation.h"

#define SEEN_FILE ".vacation-seen"
#define DAYS 7
#define DAYS_MAX 365
#define DAY_S 86400
#define TEXT_MAX 65536

struct options {
	int64_t days;
	const char *subject; /* NULL: "Auto: " and the message's */
	const char *file;
};

static int
usage(void)
{
	fputs("usage: vacation [-t days] [-a address] ... [-s subject] file\n",
		stderr);
	return STATUS_TEMPORARY;
}

static int
complain(const char *what)
{
	fprintf(stderr, "vacation: %s: %s\n", what, strerror(errno));
	return STATUS_TEMPORARY;
}

static int
read_options(int argc, char **argv, struct options *options,
	struct vacation *vacation)
{
	char *end;
	int option;

	*options = (struct options){.days = DAYS};
	while ((option = getopt(argc, argv, "t:a:s:")) != -1) {
		switch (option) {
		case 't':
			errno = 0;
			options->days = strtol(optarg, &end, 10);
			if (errno != 0 || *end != 0 || options->days < 1 ||
				options->days > DAYS_MAX)
				return usage();
			break;
		case 'a':
			if (vacation_add_name(vacation, optarg) < 0)
				return usage();
			break;
		case 's':
			options->subject = optarg;
			break;
		default:
			return usage();
		}
	}
	if (optind != argc - 1)
		return usage();
	options->file = argv[optind];
	return 0;
}

/* The text of the answer, with a NUL; owned. */
static char *
read_text(const char *name, size_t *length)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return NULL;
	char *text = malloc(TEXT_MAX + 1);
	ssize_t got = -1;
	if (text != NULL && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		got = pread(fd, text, TEXT_MAX, 0);
	else if (text != NULL)
		errno = EINVAL;
	close(fd);
	if (got < 0) {
		free(text);
		return NULL;
	}
	*length = (size_t)got;
	text[got] = 0;
	return text;
}

/* Writes a text with the message's subject wherever it says $SUBJECT. */
static void
write_text(FILE *out, const char *text, const char *subject)
{
	static const char mark[] = "$SUBJECT";
	const char *at;

	while ((at = strstr(text, mark)) != NULL) {
		fprintf(out, "%.*s%s", (int)(at - text), text, subject);
		text = at + strlen(mark);
	}
	fputs(text, out);
	if (*text != 0 && text[strlen(text) - 1] != '\n')
		fputc('\n', out);
}

static void
write_subject(FILE *out, const struct options *options,
	const struct vacation *vacation)
{
	char subject[VACATION_SUBJECT_MAX];

	if (options->subject == NULL) {
		fprintf(out, "Subject: Auto: %s\n", vacation->subject);
		return;
	}
	(void)escape_line(subject, sizeof subject, options->subject,
		strlen(options->subject), ESCAPE_MASK);
	fprintf(out, "Subject: %s\n", subject);
}

/* Writes the answer into a file without a name. The descriptor, or -1. */
static int
write_answer(const struct options *options, const struct vacation *vacation,
	const char *sender, const char *recipient, const char *host,
	const char *text)
{
	char date[DATE_OCTETS + 1], ident[IDENT_LENGTH + 1];
	int file = memfd_create("answer", MFD_CLOEXEC);
	FILE *out = file < 0 ? NULL : fdopen(dup(file), "w");

	if (out == NULL || ident_make(ident) < 0)
		return -1;
	date_write(date, time(NULL));
	fprintf(out, "From: <%s>\nTo: <%s>\n", recipient, sender);
	write_subject(out, options, vacation);
	fprintf(out, "Date: %s\nMessage-ID: <%s@%s>\n", date, ident, host);
	if (vacation->ident[0] != 0)
		fprintf(out, "In-Reply-To: %s\nReferences: %s%s%s\n",
			vacation->ident, vacation->references,
			vacation->references[0] != 0 ? "\n " : "",
			vacation->ident);
	fputs("Auto-Submitted: auto-replied\n"
	      "MIME-Version: 1.0\n"
	      "Content-Type: text/plain; charset=utf-8\n"
	      "Content-Transfer-Encoding: 8bit\n\n",
		out);
	write_text(out, text, vacation->subject);
	return fclose(out) == 0 ? file : -1;
}

static int
send_answer(const struct options *options, const struct vacation *vacation,
	const char *sender, const char *recipient)
{
	char to[1001], *address[] = {to, NULL};
	size_t length;
	struct stat st;
	const char *host = command_variable("HOST");
	char *text = read_text(options->file, &length);

	if (host == NULL || text == NULL)
		return host == NULL ? STATUS_TEMPORARY
				    : complain(options->file);
	int file =
		write_answer(options, vacation, sender, recipient, host, text);
	free(text);
	if (file < 0 || fstat(file, &st) < 0)
		return complain("the answer");
	snprintf(to, sizeof to, "%s", sender);
	return command_send(
		"vacation", "", address, file, 0, (uint64_t)st.st_size, 0);
}

static int
answer(const struct options *options, const struct vacation *vacation,
	const char *sender, const char *recipient)
{
	int seen;
	int64_t length;

	switch (vacation_note(AT_FDCWD, SEEN_FILE, sender, time(NULL),
		options->days * DAY_S, &seen, &length)) {
	case VACATION_SEEN:
		printf("vacation: no answer: the sender has had one\n");
		return 0;
	case VACATION_FAILED:
		return complain(SEEN_FILE);
	case VACATION_NEW:
		break;
	}
	int status = send_answer(options, vacation, sender, recipient);
	if (status != 0)
		vacation_forget(seen, length);
	close(seen);
	return status == STATUS_MISUSE ? 0 : status;
}

int
main(int argc, char **argv)
{
	struct vacation vacation = {.names = 0};
	struct options options;
	const char *why;
	size_t length;

	int status = read_options(argc, argv, &options, &vacation);
	if (status != 0)
		return status;
	const char *sender = command_variable("SENDER");
	const char *recipient = command_variable("RECIPIENT");
	if (sender == NULL || recipient == NULL ||
		vacation_add_name(&vacation, recipient) < 0)
		return STATUS_TEMPORARY;
	char *block = command_header(&length);
	if (block == NULL)
		return STATUS_TEMPORARY;
	bool may = vacation_may_answer(&vacation, block, length, sender, &why);
	free(block);
	if (may)
		return answer(&options, &vacation, sender, recipient);
	printf("vacation: no answer: %s\n", why);
	return 0;
}
