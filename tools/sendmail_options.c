#include "tools/sendmail_options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "lib/envelope.h"
#include "lib/escape.h"
#include "lib/xtext.h"

/* "::" takes a value only if it is attached: -q15m, -d8. */
#define OPTION_LETTERS "+A:B:C:D:EF:GIJL:N:O:R:UV:X:b:cd::e:f:h:imno:p:q::r:tvx"

static int
misuse(const char *what, const char *value)
{
	char line[200];

	escape_line(line, sizeof line, value, strlen(value), ESCAPE_MASK);
	fprintf(stderr,
		"sendmail: %s%s\n"
		"usage: sendmail [-t] [-i] [-f sender] [-F name] "
		"[recipient …]\n"
		"       sendmail -bp | -bi | -bs | -bv address … | -q\n",
		what, line);
	return -1;
}

/* A control character in an argument would end up in a header. */
static int
has_control(const char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			return 1;
	return 0;
}

/* RFC 3461 section 4.1: NEVER alone, or any of the others. */
static int
read_notify(const char *text, uint8_t *notify)
{
	static const struct {
		const char *word;
		uint8_t bit;
	} known[] = {
		{"never", NOTIFY_NEVER},
		{"success", NOTIFY_SUCCESS},
		{"failure", NOTIFY_FAILURE},
		{"delay", NOTIFY_DELAY},
	};
	uint8_t bits = 0;

	for (;;) {
		size_t length = strcspn(text, ",");
		size_t i = 0;

		while (i < 4 &&
			(strlen(known[i].word) != length ||
				strncasecmp(text, known[i].word, length) != 0))
			i++;
		if (i == 4)
			return -1;
		bits |= known[i].bit;
		if (text[length] == '\0')
			break;
		text += length + 1;
	}
	if ((bits & NOTIFY_NEVER) && bits != NOTIFY_NEVER)
		return -1;
	*notify = bits;
	return 0;
}

static int
read_mode(const char *letter, enum sendmail_mode *mode)
{
	static const struct {
		const char *letter;
		enum sendmail_mode mode;
	} known[] = {
		{"m", SENDMAIL_SUBMIT},
		{"p", SENDMAIL_LIST},
		{"i", SENDMAIL_ALIASES},
		{"s", SENDMAIL_SESSION},
		{"v", SENDMAIL_VERIFY},
	};

	if (letter[0] == 'd' || letter[0] == 'D' || letter[0] == 'l')
		return misuse("services are run by svscan, not by -b", letter);
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcmp(letter, known[i].letter) == 0) {
			*mode = known[i].mode;
			return 0;
		}
	return misuse("no such mode: -b", letter);
}

/* -q alone, -q15m, -qIid, -qRpart, -qSsender. */
static int
read_flush(char *value, struct sendmail_options *options)
{
	if (value == NULL || value[0] == '\0') {
		options->mode = SENDMAIL_FLUSH;
		options->flush = 0;
	} else if (value[0] >= '0' && value[0] <= '9') {
		options->mode = SENDMAIL_NOTHING;
	} else if (strchr("IRS", value[0]) != NULL && value[1] != '\0' &&
		   value[1] != '-') {
		options->mode = SENDMAIL_FLUSH;
		options->flush = value[0];
		options->flush_value = value + 1;
	} else {
		return misuse("-q is alone or with I, R or S and a text, "
			      "not ",
			value);
	}
	return 0;
}

static int
read_option(int letter, char *value, struct sendmail_options *options)
{
	switch (letter) {
	case 't':
		options->header_recipients = 1;
		break;
	case 'i':
		options->dot_ends = 0;
		break;
	case 'o':
		if (strcmp(value, "i") == 0 || strcasecmp(value, "idots") == 0)
			options->dot_ends = 0;
		break;
	case 'O':
		if (strcasecmp(value, "IgnoreDots") == 0 ||
			strcasecmp(value, "IgnoreDots=true") == 0)
			options->dot_ends = 0;
		break;
	case 'b':
		return read_mode(value, &options->mode);
	case 'I':
		options->mode = SENDMAIL_ALIASES;
		break;
	case 'q':
		return read_flush(value, options);
	case 'f':
	case 'r':
		if (has_control(value))
			return misuse("a control character in -f", "");
		options->sender = value;
		break;
	case 'F':
		if (has_control(value))
			return misuse("a control character in -F", "");
		options->name = value;
		break;
	case 'N':
		if (read_notify(value, &options->notify) < 0)
			return misuse("-N is never, or of success, failure, "
				      "delay: ",
				value);
		break;
	case 'R':
		if (strcasecmp(value, "full") == 0)
			options->ret = RET_FULL;
		else if (strcasecmp(value, "hdrs") == 0)
			options->ret = RET_HDRS;
		else
			return misuse("-R is full or hdrs, not ", value);
		break;
	case 'V':
		if (strlen(value) > ENVELOPE_ENVID_MAX ||
			!xtext_is_envid(value, strlen(value)))
			return misuse(
				"-V is too long or not xtext (RFC 3461)", "");
		options->envid = value;
		break;
	case '?':
		return misuse("an option that is not known", "");
	default:
		/* Known to other mail servers, and nothing here. */
		break;
	}
	return 0;
}

int
sendmail_options_read(int argc, char **argv, struct sendmail_options *options)
{
	const char *called = argc > 0 ? strrchr(argv[0], '/') : NULL;
	int letter;

	*options = (struct sendmail_options){
		.mode = SENDMAIL_SUBMIT, .dot_ends = 1, .envid = ""};
	called = called != NULL ? called + 1 : argc > 0 ? argv[0] : "sendmail";
	if (strcmp(called, "mailq") == 0)
		options->mode = SENDMAIL_LIST;
	if (strcmp(called, "newaliases") == 0)
		options->mode = SENDMAIL_ALIASES;
	opterr = 0;
	while ((letter = getopt(argc, argv, OPTION_LETTERS)) != -1)
		if (read_option(letter, optarg, options) < 0)
			return -1;
	options->recipient = argv + optind;
	for (char **argument = options->recipient; *argument; argument++)
		if (has_control(*argument))
			return misuse("a control character in a recipient", "");
	return 0;
}
