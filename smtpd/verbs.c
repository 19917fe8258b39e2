#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "lib/outcome.h"
#include "smtpd/decision.h"
#include "smtpd/verbs.h"

enum argument_rule {
	ARGUMENT_NONE,	 /* "501" if there is one */
	ARGUMENT_ANY,	 /* as the handler likes */
	ARGUMENT_NEEDED, /* "501" if there is none */
};

#define OPEN (SESSION_MAIL | SESSION_RECIPIENT)

static const struct verb {
	const char *word;
	unsigned states; /* enum session_state, ored */
	enum argument_rule argument;
	verb_handler *handler;
} VERBS[] = {
	{"MAIL", SESSION_GREETED, ARGUMENT_NEEDED, verb_mail},
	{"RCPT", OPEN, ARGUMENT_NEEDED, verb_rcpt},
	{"DATA", SESSION_RECIPIENT, ARGUMENT_NONE, verb_data},
	{"EHLO", SESSION_ANY, ARGUMENT_NEEDED, verb_ehlo},
	{"HELO", SESSION_ANY, ARGUMENT_NEEDED, verb_helo},
	{"RSET", SESSION_ANY, ARGUMENT_NONE, verb_rset},
	{"NOOP", SESSION_ANY, ARGUMENT_ANY, verb_noop},
	{"QUIT", SESSION_ANY, ARGUMENT_ANY, verb_quit},
	{"VRFY", SESSION_ANY, ARGUMENT_NEEDED, verb_vrfy},
	{"HELP", SESSION_ANY, ARGUMENT_ANY, verb_help},
	{"XCLIENT", SESSION_CONNECTED | SESSION_GREETED, ARGUMENT_NEEDED,
		verb_xclient},
	{"EXPN", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	{"TURN", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	{"SEND", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	{"SOML", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	{"SAML", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	{"STARTTLS", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	{"AUTH", SESSION_ANY, ARGUMENT_ANY, verb_auth},
	{"BDAT", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	/* A browser was made to talk to us: what follows is not for a server
	 * of mail, however much of it may look like commands. */
	{"GET", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"POST", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"PUT", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"HEAD", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"CONNECT", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"OPTIONS", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"HOST:", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
};

static const struct verb *
find(const char *word, size_t len)
{
	for (size_t i = 0; i < sizeof VERBS / sizeof VERBS[0]; i++)
		if (strlen(VERBS[i].word) == len &&
			strncasecmp(VERBS[i].word, word, len) == 0)
			return &VERBS[i];
	return NULL;
}

bool
verbs_are(const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);

	return find(line, space != NULL ? (size_t)(space - line) : len) != NULL;
}

/* Why the verb is not legal in this state. */
static struct reply
out_of_order(const struct session *session, const struct verb *verb)
{
	const char *text = "RCPT first";

	if (session->state == SESSION_CONNECTED)
		text = "say EHLO or HELO first";
	else if (session->state == SESSION_GREETED)
		text = "MAIL first";
	else if (verb->handler == verb_mail)
		text = "there is a sender already";
	return reply_make(503, "5.5.1", "%s", text);
}

static bool
is_printable(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((text[i] < 32 || text[i] > 126) && text[i] != '\t')
			return false;
	return true;
}

static struct reply
run(struct session *session, const char *line, size_t len)
{
	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	const char *space = memchr(line, ' ', len);
	size_t word_len = space != NULL ? (size_t)(space - line) : len;
	size_t at = word_len;
	while (at < len && line[at] == ' ')
		at++;

	const struct verb *verb = find(line, word_len);
	if (len + 2 > LINE_COMMAND_MAX &&
		(verb == NULL || verb->handler != verb_auth))
		return reply_make(500, "5.5.2", "line too long");
	if (!is_printable(line, len))
		return reply_make(500, "5.5.2",
			"a command is made of printable characters");
	if (verb == NULL)
		return reply_make(500, "5.5.2", "command not recognized");
	if ((verb->states & session->state) == 0)
		return out_of_order(session, verb);
	if (verb->argument == ARGUMENT_NONE && at < len)
		return reply_make(
			501, "5.5.4", "%s takes no argument", verb->word);
	if (verb->argument == ARGUMENT_NEEDED && at == len)
		return reply_make(
			501, "5.5.4", "%s needs an argument", verb->word);
	return verb->handler(session, line + at, len - at);
}

static struct reply
count(struct session *session, struct reply reply)
{
	bool is_bad =
		(reply.code >= 500 && reply.code <= 504) || reply.code == 555;

	return is_bad ? limits_error(session, reply) : reply;
}

struct reply
verbs_run(struct session *session, const char *line, size_t len)
{
	return count(session, run(session, line, len));
}

struct reply
verbs_refuse(struct session *session, const char *text)
{
	return count(session, reply_make(500, "5.5.2", "%s", text));
}

static struct reply
submission_reply(const struct submission *submission)
{
	enum submit_code code = submission->code;

	switch (code) {
	case SUBMIT_BUSY:
	case SUBMIT_WRITE:
		return reply_make(
			452, "4.3.1", "no room for mail now, try again later");
	case SUBMIT_TOO_BIG:
		return reply_make(552, "5.3.4", "the message is too big");
	case SUBMIT_ADDRESS:
		return reply_make(554, "5.1.0", "%s",
			submission->text[0] ? submission->text
					    : "an address is not acceptable");
	case SUBMIT_DEFERRED:
		return reply_make(451, "4.7.1", "%s", submission->text);
	default:
		break;
	}
	if (submit_code_is_permanent(code))
		return reply_make(554, "5.7.1", "%s",
			submission->text[0] ? submission->text
					    : "the message is refused");
	return reply_make(
		451, "4.3.0", "the mail queue is not ready, try again later");
}

struct reply
verbs_submission_failed(const struct session *session, const char *at)
{
	const struct submission *submission = &session->transaction.submission;
	struct reply reply = submission_reply(submission);
	char why[300];

	snprintf(why, sizeof why, "the queue says %d: %.250s",
		(int)submission->code, submission->text);
	decision_log(session, &(struct decision){.at = at,
				      .code = reply.code,
				      .rule = "queue",
				      .why = why});
	return reply;
}
