#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "lib/envelope.h"
#include "lib/log.h"
#include "lib/xtext.h"
#include "smtpd/decision.h"
#include "smtpd/judge.h"
#include "smtpd/parameters.h"
#include "smtpd/verbs.h"

/*
 * RCPT TO:<forward-path> adds a recipient, if policy allows its domain and,
 * where the domain is ours, somebody has the address.
 */

/* What the argument says. */
struct recipient_argument {
	struct path path;
	uint8_t notify;
	char orcpt[ENVELOPE_ORCPT_MAX + 1];
};

/* Reads the argument into *into. A reply with code 0 means that it is fine. */
static struct reply
read_argument(const struct session *session, const char *argument, size_t len,
	struct recipient_argument *into)
{
	struct parameters parameters;
	size_t at = strlen("TO:");

	if (len < at || strncasecmp(argument, "TO:", at) != 0)
		return reply_make(501, "5.5.2", "expected RCPT TO:<address>");
	while (at < len && argument[at] == ' ')
		at++;
	size_t taken = address_path_scan(argument + at, len - at,
		ADDRESS_POSTMASTER | ADDRESS_UTF8, &into->path);
	if (taken == 0)
		return reply_make(501, "5.1.3", "malformed recipient address");
	if (!session->transaction.envelope.smtputf8 &&
		verbs_need_utf8(&into->path))
		return verbs_utf8_refused();
	at += taken;
	switch (parameters_scan(
		PARAMETERS_RCPT, argument + at, len - at, &parameters)) {
	case PARAMETERS_OK:
		into->notify = parameters.notify;
		if (parameters.orcpt != NULL &&
			parameters_write_orcpt(into->orcpt, parameters.orcpt,
				parameters.orcpt_len) != parameters.orcpt_len &&
			!session->transaction.envelope.smtputf8)
			return verbs_utf8_refused();
		return (struct reply){0};
	case PARAMETERS_UNKNOWN:
		return reply_make(555, "5.5.4", "unknown parameter");
	case PARAMETERS_DUPLICATE:
		return reply_make(501, "5.5.4", "a parameter is given twice");
	default:
		return reply_make(501, "5.5.4", "malformed parameter");
	}
}

static void
log_decision(const struct session *session, const char *address,
	const struct verdict *verdict)
{
	decision_log(session, &(struct decision){.at = "RCPT",
				      .code = verdict->reply.code,
				      .rule = verdict->rule,
				      .why = verdict->why,
				      .to = address});
}

/* Once a session, and for whoever looks after the server. */
static void
tell_missing(struct session *session)
{
	if (session->policy.has_rcpthosts || session->policy.may_relay ||
		session->is_rcpthosts_told)
		return;
	log_line("%s/control/rcpthosts is missing: no mail is accepted",
		session->home.path);
	session->is_rcpthosts_told = true;
}

static struct reply
add(struct session *session, const char *address,
	const struct recipient_argument *argument, struct reply reply)
{
	struct envelope *envelope = &session->transaction.envelope;

	if (envelope_add_recipient(
		    envelope, address, argument->notify, argument->orcpt) < 0) {
		struct verdict none = {.rule = "memory",
			.reply = reply_make(452, "4.3.0", "out of memory")};

		log_decision(session, address, &none);
		return none.reply;
	}
	session->state = SESSION_RECIPIENT;
	return reply;
}

/* The limit that holds for this message: a report has one recipient, and what has
 * many only looks like one. */
static uint64_t
recipients_max(const struct session *session, const char **rule)
{
	const struct smtpd_settings *settings = &session->settings;

	*rule = "recipientsmax";
	if (session->transaction.envelope.reverse_path[0] != 0 ||
		settings->recipients_max <= settings->null_recipients_max)
		return (uint64_t)settings->recipients_max;
	*rule = "nullrecipientsmax";
	return (uint64_t)settings->null_recipients_max;
}

static struct reply
too_many(const struct session *session, const struct path *path,
	const char *rule)
{
	char address[ADDRESS_TEXT_MAX + 1];
	struct verdict verdict = {.rule = rule,
		.reply = reply_make(452, "4.5.3", "too many recipients")};

	address_write(address, sizeof address, path);
	log_decision(session, address, &verdict);
	return verdict.reply;
}

static struct reply
refused(struct session *session, struct reply reply)
{
	session->transaction.is_refused = true;
	return reply;
}

/* A report about the new address names the one that the sender knows (RFC 3461
 * section 4.2), if the client gave no other. */
static void
keep_original(struct recipient_argument *rcpt, const struct path *asked)
{
	static const char type[] = "rfc822;";
	char text[ADDRESS_TEXT_MAX + 1], orcpt[sizeof rcpt->orcpt];
	size_t type_len = strlen(type);

	if (rcpt->orcpt[0] != 0)
		return;
	memcpy(orcpt, type, type_len);
	if (xtext_encode(orcpt + type_len, sizeof orcpt - type_len, text,
		    address_write(text, sizeof text, asked)) > 0)
		memcpy(rcpt->orcpt, orcpt, sizeof orcpt);
}

struct reply
verb_rcpt(struct session *session, const char *argument, size_t len)
{
	char address[ADDRESS_TEXT_MAX + 1];
	struct recipient_argument rcpt = {.orcpt = ""};
	struct reply reply = read_argument(session, argument, len, &rcpt);

	if (reply.code != 0) {
		decision_log(session, &(struct decision){.at = "RCPT",
					      .code = reply.code,
					      .rule = "syntax",
					      .why = reply.text});
		return refused(session, reply);
	}
	const char *rule;
	if (session->transaction.envelope.recipients >=
		recipients_max(session, &rule))
		return refused(session, too_many(session, &rcpt.path, rule));
	struct path asked = rcpt.path;
	struct verdict verdict = judge_recipient(session, &rcpt.path);
	bool is_refused = reply_class(&verdict.reply) != 2;
	address_write(address, sizeof address, &rcpt.path);
	if (is_refused)
		tell_missing(session);
	log_decision(session, address, &verdict);
	if (is_refused)
		return refused(session, verdict.reply);
	if (strcmp(verdict.rule, "moved") == 0)
		keep_original(&rcpt, &asked);
	return add(session, address, &rcpt, verdict.reply);
}
