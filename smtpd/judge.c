#include <stdio.h>
#include <string.h>
#include "lib/deadline.h"
#include "remote/lookup.h"
#include "smtpd/configure.h"
#include "smtpd/idn.h"
#include "smtpd/judge.h"
#include "smtpd/moved.h"
#include "smtpd/patterns.h"
#include "smtpd/submission.h"

/* --- domains beyond ASCII --- */

/* Lists may have either form. */
static struct patterns_match
find_either(const struct setting_list *list, const struct path *given,
	const struct path *path)
{
	struct patterns_match match = patterns_find_address(list, given);

	if (strcmp(given->domain, path->domain) != 0) {
		struct patterns_match other = patterns_find_address(list, path);

		if (match.line == 0)
			match.line = other.line;
		if (match.exception == 0)
			match.exception = other.exception;
	}
	return match;
}

/* --- the connection --- */

struct reply
judge_greeting(const struct session *session)
{
	return reply_make(220, "", "%s ESMTP", session->settings.greeting);
}

static struct verdict
ending(const char *rule, struct reply reply)
{
	reply.close_after = 1;
	return verdict_by_rule(rule, reply);
}

static struct verdict
by_record(const struct rules_record *record, struct verdict verdict)
{
	if (record->is_found)
		snprintf(verdict.why, sizeof verdict.why,
			"the rule \"%s\" of the client rules", record->rule);
	return verdict;
}

struct verdict
judge_client(struct session *session, const char *address, const char *name,
	char *log, size_t size)
{
	struct rules_record record;
	bool is_known = strcmp(address, "unknown") != 0;
	const char *relay_client = NULL, *databytes = NULL;

	*log = 0;
	(void)configure_client(session, NULL, NULL, log, size);
	/* Who is not known is nobody but everybody. */
	if (rules_find(&session->rules, is_known ? address : "", name,
		    &record) < 0) {
		snprintf(log, size, "the client rules are damaged");
		return ending("client rules",
			reply_make(421, "4.3.0",
				"this server's configuration needs care, try "
				"again later"));
	}
	if (record.is_denied)
		return by_record(
			&record, ending("client rules",
					 reply_make(554, "5.7.1",
						 "no mail is taken from you")));
	if (is_known) {
		relay_client = rules_variable(&record, "RELAYCLIENT");
		databytes = rules_variable(&record, "DATABYTES");
	}
	if (configure_client(session, relay_client, databytes, log, size) < 0)
		return ending("client rules",
			reply_make(421, "4.3.0",
				"this server's configuration needs care, try "
				"again later"));
	return by_record(&record,
		verdict_by_rule("client rules", judge_greeting(session)));
}

struct verdict
judge_hello(const struct session *session, const char *name, size_t len)
{
	struct patterns_match match =
		patterns_find_name(&session->settings.badhelo, name, len);

	if (patterns_refuse(match))
		return verdict_by_line("badhelo", "badhelo", match.line,
			reply_make(550, "5.7.1",
				"no mail is taken from a client of this name"));
	struct reply yes = reply_make(250, "", "%s", session->settings.me);
	if (match.exception != 0)
		return verdict_by_line(
			"exception", "badhelo", match.exception, yes);
	return verdict_by_rule("no rule", yes);
}

/* --- the sender --- */

static struct verdict
refuse_sender(size_t line)
{
	return verdict_by_line("badmailfrom", "badmailfrom", line,
		reply_make(553, "5.7.1", "no mail is taken from this sender"));
}

static struct verdict
unknown_domain(enum lookup_meaning meaning, const char *why)
{
	const char *rule = "mailfromcheck";

	switch (meaning) {
	case LOOKUP_NO_DOMAIN:
		return verdict_with_reason(
			verdict_by_line(rule, rule, 1,
				reply_make(550, "5.1.8",
					"the sender's domain does not exist")),
			why);
	case LOOKUP_NULL_MX:
		return verdict_with_reason(
			verdict_by_line(rule, rule, 1,
				reply_make(550, "5.7.27",
					"the sender's domain takes no mail")),
			why);
	default:
		return verdict_with_reason(
			verdict_by_line(rule, rule, 1,
				reply_make(451, "4.1.8",
					"cannot check the sender's domain now, "
					"try again later")),
			why);
	}
}

/* Our own clients and domains need no proof, and a literal no name. A verdict
 * without a rule means that there is nothing against it. */
static struct verdict
check_domain(const struct session *session, const struct path *sender)
{
	struct lookup_answer answer;
	char path[HOME_NAME_MAX], why[600];

	if (!session->settings.check_mailfrom || sender->kind == PATH_NULL ||
		session->policy.may_relay || sender->domain[0] == '[' ||
		domains_has(&session->policy.locals, sender->domain,
			sender->domain_len))
		return (struct verdict){0};
	lookup_mail_domain(home_path(&session->home, "socket/lookup", path),
		sender->domain, deadline_after_ms(SESSION_LOOKUP_MS), &answer);
	if (answer.meaning == LOOKUP_EXISTS)
		return (struct verdict){0};
	snprintf(why, sizeof why, "control/mailfromcheck: %s: %s",
		sender->domain, answer.text);
	return unknown_domain(answer.meaning, why);
}

struct verdict
judge_sender(struct session *session, struct path *sender, uint64_t size)
{
	struct path given = *sender;
	uint64_t limit = (uint64_t)session->databytes;
	struct reply yes = reply_make(250, "2.1.0", "sender ok");

	session->transaction.bad_sender_line = 0;
	const char *rule = NULL;
	struct reply no = submission_judge_sender(session, &given, &rule);
	if (no.code == 530)
		return verdict_by_line(rule, rule, 0, no);
	struct verdict verdict = idn_make_ascii(session, sender, "5.1.8");
	if (verdict.rule != NULL)
		return verdict;
	if (no.code != 0)
		no = submission_judge_sender(session, sender, &rule);
	if (no.code != 0)
		return verdict_by_line(rule, rule, 0, no);
	if (limit > 0 && size > limit)
		return verdict_by_line("databytes", "databytes", 0,
			reply_make(552, "5.3.4",
				"the message is too big, at most %llu octets "
				"are taken",
				(unsigned long long)limit));
	struct patterns_match match =
		find_either(&session->settings.badmailfrom, &given, sender);
	if (patterns_refuse(match)) {
		if (session->settings.refuse_at_mail)
			return refuse_sender(match.line);
		session->transaction.bad_sender_line = match.line;
		return verdict_by_line(
			"badmailfrom, at RCPT", "badmailfrom", match.line, yes);
	}
	verdict = check_domain(session, sender);
	if (verdict.rule != NULL)
		return verdict;
	if (match.exception != 0)
		return verdict_by_line(
			"exception", "badmailfrom", match.exception, yes);
	return verdict_by_rule("no rule", yes);
}

/* --- a recipient --- */

static struct verdict
by_answer(enum policy_answer answer, const char *why, struct verdict yes)
{
	switch (answer) {
	case POLICY_EXISTS:
	case POLICY_ELSEWHERE:
		return yes;
	case POLICY_NOBODY:
		return verdict_with_reason(
			verdict_by_rule(
				"resolve", reply_make(550, "5.1.1",
						   "nobody has this address")),
			why);
	case POLICY_FULL_NOW:
		return verdict_with_reason(
			verdict_by_rule(
				"quota", reply_make(452, "4.2.2",
						 "the mailbox is full now")),
			why);
	case POLICY_FULL:
		return verdict_with_reason(
			verdict_by_rule(
				"quota", reply_make(552, "5.2.2",
						 "the mailbox is full")),
			why);
	default:
		return verdict_with_reason(
			verdict_by_rule("resolve",
				reply_make(451, "4.3.0",
					"cannot check this address now, try "
					"again later")),
			why);
	}
}

/* Asks resolve who has the address, and by what its domain is ours. */
static struct verdict
ask(struct session *session, const struct path *path, struct verdict yes,
	enum policy_answer *answer, enum ours_kind *domain)
{
	char address[ADDRESS_TEXT_MAX + 1];
	char socket_path[HOME_NAME_MAX], why[600];

	address_write(address, sizeof address, path);
	*answer = policy_ask(&session->resolve_fd,
		home_path(&session->home, "socket/resolve", socket_path),
		address, deadline_after_ms(SESSION_RESOLVE_MS), domain, why,
		sizeof why);
	return by_answer(*answer, why, yes);
}

/* Postmaster without a domain is ours always (RFC 5321 section 4.5.1). */
static enum policy_verdict
judge_domain(const struct session *session, const struct path *path,
	bool is_postmaster)
{
	enum policy_verdict verdict =
		policy_judge(&session->policy, path->domain, path->domain_len);

	if (is_postmaster && verdict == POLICY_REFUSED)
		return POLICY_LOCAL;
	return verdict;
}

/* What lets the recipient's domain pass. */
static struct verdict
passing(const struct session *session, const struct path *path)
{
	const struct policy *policy = &session->policy;
	struct reply yes = reply_make(250, "2.1.5", "recipient ok");

	if (policy->may_relay)
		return verdict_by_rule("RELAYCLIENT", yes);
	size_t line =
		policy_line(&policy->rcpthosts, path->domain, path->domain_len);
	return line > 0 ? verdict_by_line("rcpthosts", "rcpthosts", line, yes)
			: verdict_by_rule("morercpthosts", yes);
}

/*
 * Whoever may know hears where the user has gone, everybody else only that: RFC
 * 5321 sections 3.4 and 7.3.
 */
static struct reply
moved_reply(const struct session *session, const struct moved *moved)
{
	char address[ADDRESS_TEXT_MAX + 1];
	bool may_know = moved->is_public || session->policy.may_relay;

	address_write(address, sizeof address, &moved->address);
	if (moved->is_forwarded && may_know)
		return reply_make(251, "2.1.5",
			"user not local; will forward to <%s>", address);
	if (moved->is_forwarded)
		return reply_make(250, "2.1.5", "recipient ok");
	if (may_know)
		return reply_make(551, "5.1.6",
			"user not local; please try <%s>", address);
	return reply_make(550, "5.1.6", "this user has moved");
}

/* A user who has moved: *path becomes the new address if it is to be taken. False
 * if the user has not. */
static bool
judge_moved(const struct session *session, struct path *path,
	struct verdict *verdict)
{
	struct moved moved;

	moved_find(&session->settings.moved, path, &moved);
	if (moved.line == 0)
		return false;
	*verdict = verdict_by_line(
		"moved", "moved", moved.line, moved_reply(session, &moved));
	if (moved.is_forwarded)
		*path = moved.address;
	return true;
}

static struct verdict
denied(void)
{
	return verdict_with_reason(
		verdict_by_line("rcpthosts", "rcpthosts", 0,
			reply_make(550, "5.7.1", "relaying denied")),
		"relaying denied");
}

static struct verdict
judge_local(
	struct session *session, const struct path *path, struct verdict yes)
{
	enum policy_answer answer;
	enum ours_kind domain;

	return ask(session, path, yes, &answer, &domain);
}

/* A domain that rcpthosts lets pass and locals does not have: it may still be one
 * of virtualdomains or of the user database, where somebody must have it. */
static struct verdict
judge_onward(
	struct session *session, const struct path *path, struct verdict yes)
{
	enum policy_answer answer;
	enum ours_kind domain;
	struct verdict verdict = ask(session, path, yes, &answer, &domain);

	/* Without resolve mail for elsewhere goes on; that for nobody bounces. */
	return domain == OURS_TROUBLE ? yes : verdict;
}

/* Our own may turn out not to be there; others' are their hosts' to know. */
static struct verdict
judge_forward(
	struct session *session, const struct path *path, struct verdict yes)
{
	return domains_has(
		       &session->policy.locals, path->domain, path->domain_len)
		       ? judge_local(session, path, yes)
		       : judge_onward(session, path, yes);
}

/* The verdict, unless the user has moved. */
static struct verdict
judge_moved_or(
	struct session *session, struct path *path, struct verdict verdict)
{
	if (!judge_moved(session, path, &verdict))
		return verdict;
	return verdict.reply.code < 500 ? judge_forward(session, path, verdict)
					: verdict;
}

/* A domain of the user database is taken from anybody without an entry. */
static struct verdict
judge_unlisted(struct session *session, struct path *path)
{
	enum policy_answer answer;
	enum ours_kind domain;
	struct verdict verdict = ask(session, path,
		verdict_by_rule("users/accounts.cdb",
			reply_make(250, "2.1.5", "recipient ok")),
		&answer, &domain);

	if (answer != POLICY_LATER && domain != OURS_DATABASE)
		return denied();
	return domain == OURS_DATABASE ? judge_moved_or(session, path, verdict)
				       : verdict;
}

static struct verdict
judge_path(struct session *session, struct path *path, bool is_postmaster)
{
	struct verdict verdict;

	if (!is_postmaster &&
		judge_domain(session, path, false) <= POLICY_ONWARD &&
		judge_moved(session, path, &verdict))
		return verdict.reply.code < 500
			       ? judge_forward(session, path, verdict)
			       : verdict;
	switch (judge_domain(session, path, is_postmaster)) {
	case POLICY_LOCAL:
		return judge_local(session, path, passing(session, path));
	case POLICY_ONWARD:
		return judge_onward(session, path, passing(session, path));
	case POLICY_NOTHING:
		return verdict_with_reason(
			verdict_by_line("rcpthosts", "rcpthosts", 0,
				reply_make(451, "4.3.0",
					"this server accepts no "
					"mail now")),
			"no rcpthosts");
	default:
		return judge_unlisted(session, path);
	}
}

struct verdict
judge_recipient(struct session *session, struct path *path)
{
	const char *me = session->settings.me;
	bool is_postmaster = path->kind == PATH_POSTMASTER;
	size_t bad_sender = session->transaction.bad_sender_line;

	if (is_postmaster && address_set_domain(path, me, strlen(me)) < 0)
		return verdict_by_rule(
			"syntax", reply_make(501, "5.1.3",
					  "malformed recipient address"));
	if (bad_sender != 0)
		return refuse_sender(bad_sender);
	struct path given = *path;
	struct verdict verdict = idn_make_ascii(session, path, "5.1.2");
	if (verdict.rule != NULL)
		return verdict;
	struct patterns_match match =
		find_either(&session->settings.badrcptto, &given, path);
	if (patterns_refuse(match))
		return verdict_by_line("badrcptto", "badrcptto", match.line,
			reply_make(553, "5.7.1",
				"no mail is taken for this address"));
	if (policy_append(&session->policy, path) < 0)
		return verdict_with_reason(
			verdict_by_rule("RELAYCLIENT",
				reply_make(553, "5.1.3",
					"this address cannot be relayed")),
			"RELAYCLIENT does not make an address of it");
	return judge_path(session, path, is_postmaster);
}
