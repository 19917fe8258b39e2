#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "lib/outcome.h"
#include "lib/utf8.h"
#include "smtpd/decision.h"
#include "smtpd/verbs.h"

enum argument_rule {
	ARGUMENT_NONE,	 /* "501" if there is one */
	ARGUMENT_ANY,	 /* as the handler likes */
	ARGUMENT_NEEDED, /* "501" if there is none */
	ARGUMENT_UTF8,	 /* as before, and may be UTF-8 (RFC 6531 3.1) */
};

static const struct verb {
	const char *word;
	unsigned states; /* enum session_state, ored */
	enum argument_rule argument;
	verb_handler *handler;
} VERBS[] = {
	{"MAIL", SESSION_GREETED, ARGUMENT_UTF8, verb_mail},
	{"RCPT", SESSION_MAIL | SESSION_RECIPIENT, ARGUMENT_UTF8, verb_rcpt},
	{"DATA", SESSION_RECIPIENT, ARGUMENT_NONE, verb_data},
	{"BDAT", SESSION_ANY, ARGUMENT_ANY, verb_bdat},
	{"EHLO", SESSION_ANY, ARGUMENT_NEEDED, verb_ehlo},
	{"HELO", SESSION_ANY, ARGUMENT_NEEDED, verb_helo},
	{"RSET", SESSION_ANY, ARGUMENT_NONE, verb_rset},
	{"NOOP", SESSION_ANY, ARGUMENT_ANY, verb_noop},
	{"QUIT", SESSION_ANY, ARGUMENT_ANY, verb_quit},
	{"VRFY", SESSION_ANY, ARGUMENT_UTF8, verb_vrfy},
	{"HELP", SESSION_ANY, ARGUMENT_ANY, verb_help},
	{"XCLIENT", SESSION_CONNECTED | SESSION_GREETED, ARGUMENT_NEEDED,
		verb_xclient},
	{"EXPN", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	{"TURN", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	{"SEND", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	{"SOML", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	{"SAML", SESSION_ANY, ARGUMENT_ANY, verb_unimplemented},
	{"STARTTLS", SESSION_ANY, ARGUMENT_ANY, verb_starttls},
	{"AUTH", SESSION_ANY, ARGUMENT_ANY, verb_auth},
	{"ETRN", SESSION_GREETED, ARGUMENT_NEEDED, verb_etrn},
	/* A browser was made to talk to us: what follows is not for a server
	 * of mail, however much of it may look like commands. */
	{"GET", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"POST", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"PUT", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"DELETE", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"PATCH", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"TRACE", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
	{"PRI", SESSION_ANY, ARGUMENT_ANY, verb_foreign},
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

struct reply
verbs_out_of_order(const struct session *session, verb_handler *handler)
{
	const char *text = "RCPT first";

	/* RFC 5321 section 3.3: all recipients were refused. */
	if (session->state == SESSION_MAIL && handler != verb_mail &&
		handler != verb_etrn && session->transaction.is_refused)
		return reply_make(554, "5.5.1", "no valid recipients");
	if (session->state == SESSION_CONNECTED)
		text = "say EHLO or HELO first";
	else if (session->state == SESSION_GREETED)
		text = "MAIL first";
	else if (session->state == SESSION_CHUNKS)
		text = "the message is not at its end, BDAT or RSET first";
	else if (handler == verb_mail)
		text = "there is a sender already";
	else if (handler == verb_etrn)
		text = "not within a message, RSET first";
	return reply_make(503, "5.5.1", "%s", text);
}

/* Whether the line has only what a command may have: printable ASCII, blanks,
 * and for some UTF-8. */
static bool
is_printable(const char *text, size_t len, bool is_utf8)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 32 && c != '\t') || c == 127 || (c > 127 && !is_utf8))
			return false;
	}
	return !is_utf8 || utf8_valid(text, len);
}

/*
 * A line that is refused for its form. Behind one with BDAT comes content: nobody
 * knows how much, and none of it may pass for commands.
 */
static struct reply
malformed(const char *line, size_t len, const char *text)
{
	struct reply reply = reply_make(500, "5.5.2", "%s", text);

	reply.close_after = len >= strlen("BDAT") &&
			    strncasecmp(line, "BDAT", strlen("BDAT")) == 0;
	return reply;
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
	if (len + 2 > (size_t)session->limits.settings.command_max &&
		(verb == NULL || verb->handler != verb_auth))
		return malformed(line, len, "line too long");
	if (!is_printable(
		    line, len, verb != NULL && verb->argument == ARGUMENT_UTF8))
		return malformed(
			line, len, "a command is made of printable characters");
	if (verb == NULL)
		return malformed(line, len, "command not recognized");
	if ((verb->states & session->state) == 0)
		return verbs_out_of_order(session, verb->handler);
	if (verb->argument == ARGUMENT_NONE && at < len)
		return reply_make(
			501, "5.5.4", "%s takes no argument", verb->word);
	if (verb->argument >= ARGUMENT_NEEDED && at == len)
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

struct reply
verbs_refuse_bare(struct session *session, const char *line, size_t len)
{
	return count(session,
		malformed(line, len,
			"a line ends in CRLF, with no other CR or LF"));
}

bool
verbs_need_utf8(const struct path *path)
{
	for (size_t i = 0; i < path->local_len; i++)
		if ((unsigned char)path->local[i] > 127)
			return true;
	for (size_t i = 0; i < path->domain_len; i++)
		if ((unsigned char)path->domain[i] > 127)
			return true;
	return false;
}

struct reply
verbs_utf8_refused(void)
{
	return reply_make(
		553, "5.6.7", "an address beyond ASCII needs SMTPUTF8 at MAIL");
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
