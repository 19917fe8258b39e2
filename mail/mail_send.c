/*
 * mail-send composes a message of what its arguments name, and hands it to a
 * sendmail command.
 *
 * Runs as whoever sends the mail.
 * Is handed texts, files and addresses.
 * Promises that the message is sound MIME, goes to those that were named and to
 * nobody else, and names in it none of --bcc; that no value becomes a field of its
 * own; and, on 0, that sendmail took it.
 * Never writes a file, and never runs a shell.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include "mail/attach.h"
#include "mail/compose.h"
#include "mail/charset.h"
#include "mail/message.h"
#include "mail/name.h"
#include "mail/submit.h"
#include "tools/plain.h"

struct call {
	struct composition made;
	const char *text_path, *html_path, *charset, *sendmail;
	const char **attached; /* what --attach was given */
	size_t attached_count;
	bool is_print;
	bool input_is_taken;
	size_t left; /* octets that files may still have */
};

static int
usage(void)
{
	fputs("usage: mail-send [--from ADDRESS] [--to LIST] [--cc LIST]"
	      " [--bcc LIST]\n"
	      "                 [--subject TEXT] [--header 'NAME: VALUE']\n"
	      "                 [--text FILE | -] [--html FILE | -]"
	      " [--attach FILE[:TYPE]]\n"
	      "                 [--charset NAME] [--encoding NAME]"
	      " [--sendmail PROGRAM]\n"
	      "                 [--print] [LIST ...]\n",
		stderr);
	return EX_USAGE;
}

static int
complain(const char *what, const char *why, int status)
{
	fputs("mail-send: ", stderr);
	if (*what != 0) {
		char shown[200];

		snprintf(shown, sizeof(shown), "%s", what);
		plain_text(stderr, shown);
		fputs(strlen(what) < sizeof(shown) ? ": " : "...: ", stderr);
	}
	fprintf(stderr, "%s\n", why);
	return status;
}

/* --- arguments ------------------------------------------------------------ */

/* Options with a value, and where it goes: one, or one more of a list. */
struct option {
	const char *name;
	const char **one;
	const char **list;
	size_t *count;
};

static int
take_option(const struct option *options, const char *name, const char *value)
{
	for (; options->name != NULL; options++) {
		if (strcmp(options->name, name) != 0)
			continue;
		if (options->one != NULL && *options->one != NULL)
			return -1;
		if (options->one != NULL)
			*options->one = value;
		else
			options->list[(*options->count)++] = value;
		return 0;
	}
	return -1;
}

static int
parse(struct call *call, int argc, char **argv)
{
	struct composition *made = &call->made;
	const char *encoding = NULL;
	const struct option options[] = {
		{"--from", &made->from, NULL, NULL},
		{"--subject", &made->subject, NULL, NULL},
		{"--text", &call->text_path, NULL, NULL},
		{"--html", &call->html_path, NULL, NULL},
		{"--charset", &call->charset, NULL, NULL},
		{"--encoding", &encoding, NULL, NULL},
		{"--sendmail", &call->sendmail, NULL, NULL},
		{"--to", NULL, made->to, &made->to_count},
		{"--cc", NULL, made->cc, &made->cc_count},
		{"--bcc", NULL, made->bcc, &made->bcc_count},
		{"--header", NULL, made->headers, &made->header_count},
		{"--attach", NULL, call->attached, &call->attached_count},
		{NULL, NULL, NULL, NULL},
	};
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		if (strcmp(argv[i], "--print") == 0) {
			call->is_print = true;
			continue;
		}
		if (i + 1 >= argc ||
			take_option(options, argv[i], argv[i + 1]) < 0)
			return -1;
		i++;
	}
	for (; i < argc; i++)
		made->to[made->to_count++] = argv[i];
	if (encoding != NULL) {
		int named = draft_encoding_named(encoding);

		if (named < 0)
			return -1;
		made->encoding = (enum draft_encoding)named;
	}
	return 0;
}

/* --- files ---------------------------------------------------------------- */

static int
read_file(struct call *call, const char *path, stralloc *into)
{
	if (strcmp(path, "-") == 0) {
		if (call->input_is_taken)
			return complain(
				path, "can be read only once", EX_USAGE);
		call->input_is_taken = true;
	}
	if (attach_read(path, into, &call->left) == 0)
		return EX_OK;
	if (errno == EFBIG)
		return complain(path, "the files are more than 128 megabytes",
			EX_DATAERR);
	return complain(path, strerror(errno),
		errno == ENOMEM ? EX_TEMPFAIL : EX_NOINPUT);
}

/* Reads a text and makes it UTF-8. */
static int
read_text(struct call *call, const char *path, stralloc *into)
{
	stralloc octets = STRALLOC_ZERO;
	int status;

	if (call->charset == NULL)
		return read_file(call, path, into);
	status = read_file(call, path, &octets);
	if (status == EX_OK &&
		charset_to_utf8(octets.s, octets.len, call->charset, into) < 0)
		status = complain(path, strerror(errno), EX_TEMPFAIL);
	if (status == EX_OK &&
		memmem(into->s, into->len, "\xef\xbf\xbd", 3) != NULL)
		status = complain(path, "is not in that charset", EX_DATAERR);
	stralloc_free(&octets);
	return status;
}

/* Reads one file that is to be attached; *octets stays with the caller. */
static int
read_attachment(struct call *call, const char *given, stralloc *octets,
	struct attachment *into)
{
	const char *type, *slash;
	size_t len = attach_split(given, &type);
	char *path = strndup(given, len);
	int status;

	if (path == NULL)
		return complain(given, strerror(errno), EX_TEMPFAIL);
	status = read_file(call, path, octets);
	free(path);
	if (status != EX_OK)
		return status;
	slash = memrchr(given, '/', len);
	into->name = strndup(slash == NULL ? given : slash + 1,
		len - (slash == NULL ? 0 : (size_t)(slash + 1 - given)));
	if (into->name == NULL)
		return complain(given, strerror(errno), EX_TEMPFAIL);
	into->type = type != NULL ? type : name_type(into->name);
	/* A message in base64 is none (RFC 2046 section 5.2.1). */
	if (type == NULL && strncmp(into->type, "message/", 8) == 0)
		into->type = "application/octet-stream";
	into->octets = octets->s;
	into->len = octets->len;
	return EX_OK;
}

/* --- the message ---------------------------------------------------------- */

static int
hand_over(const struct call *call, const struct composed *composed)
{
	const char *program =
		call->sendmail != NULL ? call->sendmail : KEEPMAIL_SENDMAIL;
	int status;

	if (call->is_print) {
		fwrite(composed->message.s, 1, composed->message.len, stdout);
		if (fflush(stdout) == EOF || ferror(stdout))
			return complain("", "cannot write", EX_IOERR);
		return EX_OK;
	}
	status = submit(program, composed);
	if (status < 0)
		return complain(program, strerror(errno),
			errno == ENOMEM || errno == EAGAIN ? EX_TEMPFAIL
							   : EX_UNAVAILABLE);
	return status;
}

static int
compose_and_send(const struct call *call)
{
	struct composed composed;
	const char *what, *why;
	int status;

	if (compose(&call->made, &composed, &what, &why) == 0)
		status = hand_over(call, &composed);
	else if (errno == EINVAL)
		status = complain(what, why, EX_DATAERR);
	else
		status = complain("", strerror(errno), EX_TEMPFAIL);
	compose_free(&composed);
	return status;
}

static int
send_message(
	struct call *call, stralloc *octets, struct attachment *attachments)
{
	stralloc text = STRALLOC_ZERO, html = STRALLOC_ZERO;
	size_t i;
	int status = EX_OK;

	if (call->text_path == NULL && call->html_path == NULL &&
		call->attached_count == 0)
		call->text_path = "-";
	if (call->text_path != NULL) {
		status = read_text(call, call->text_path, &text);
		call->made.text = &text;
	}
	if (status == EX_OK && call->html_path != NULL) {
		status = read_text(call, call->html_path, &html);
		call->made.html = &html;
	}
	for (i = 0; status == EX_OK && i < call->attached_count; i++)
		status = read_attachment(
			call, call->attached[i], &octets[i], &attachments[i]);
	call->made.attachments = attachments;
	call->made.attachment_count = call->attached_count;
	if (status == EX_OK)
		status = compose_and_send(call);
	stralloc_free(&text);
	stralloc_free(&html);
	return status;
}

int
main(int argc, char **argv)
{
	size_t most = (size_t)argc, i;
	struct call call = {.left = ATTACH_OCTETS_MAX};
	const char **lists = calloc(5 * most, sizeof(*lists));
	stralloc *octets = calloc(most, sizeof(*octets));
	struct attachment *attachments = calloc(most, sizeof(*attachments));
	int status;

	if (lists == NULL || octets == NULL || attachments == NULL)
		return complain("", strerror(ENOMEM), EX_TEMPFAIL);
	call.made.to = lists;
	call.made.cc = lists + most;
	call.made.bcc = lists + 2 * most;
	call.made.headers = lists + 3 * most;
	call.attached = lists + 4 * most;
	if (parse(&call, argc, argv) < 0) {
		status = usage();
	} else if (call.charset != NULL && !charset_known(call.charset)) {
		status = complain(call.charset, "no such charset", EX_USAGE);
	} else {
		message_library_start();
		status = send_message(&call, octets, attachments);
	}
	for (i = 0; i < most; i++) {
		stralloc_free(&octets[i]);
		free((char *)(uintptr_t)attachments[i].name);
	}
	free(octets);
	free(attachments);
	free(lists);
	return status;
}
