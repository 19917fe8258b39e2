#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "lib/envelope.h"
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
read_argument(const char *argument, size_t len, struct recipient_argument *into)
{
	struct parameters parameters;
	size_t at = strlen("TO:");

	if (len < at || strncasecmp(argument, "TO:", at) != 0)
		return reply_make(501, "5.5.2", "expected RCPT TO:<address>");
	while (at < len && argument[at] == ' ')
		at++;
	size_t taken = address_path_scan(
		argument + at, len - at, ADDRESS_POSTMASTER, &into->path);
	if (taken == 0)
		return reply_make(501, "5.1.3", "malformed recipient address");
	at += taken;
	switch (parameters_scan(
		PARAMETERS_RCPT, argument + at, len - at, &parameters)) {
	case PARAMETERS_OK:
		into->notify = parameters.notify;
		snprintf(into->orcpt, sizeof into->orcpt, "%.*s",
			(int)parameters.orcpt_len,
			parameters.orcpt == NULL ? "" : parameters.orcpt);
		return (struct reply){0};
	case PARAMETERS_UNKNOWN:
		return reply_make(555, "5.5.4", "unknown parameter");
	case PARAMETERS_DUPLICATE:
		return reply_make(501, "5.5.4", "a parameter is given twice");
	default:
		return reply_make(501, "5.5.4", "malformed parameter");
	}
}

static struct reply
refuse(const struct session *session, const char *address, const char *why,
	struct reply reply)
{
	log_line("refused to=<%s> from=<%s> client=%s helo=%s: %d %s", address,
		session->transaction.envelope.reverse_path,
		session->peer.address, session->peer.hello, reply.code, why);
	return reply;
}

/* Whether somebody has the address. A reply with code 0 means yes. */
static struct reply
ask(struct session *session, const char *address)
{
	char socket_path[HOME_NAME_MAX], why[600];

	switch (policy_ask(&session->resolve_fd,
		home_path(&session->home, "socket/resolve", socket_path),
		address, deadline_after_ms(SESSION_RESOLVE_MS), why,
		sizeof why)) {
	case POLICY_EXISTS:
	case POLICY_ELSEWHERE:
		return (struct reply){0};
	case POLICY_NOBODY:
		return refuse(session, address, why,
			reply_make(550, "5.1.1", "nobody has this address"));
	default:
		return refuse(session, address, why,
			reply_make(451, "4.3.0",
				"cannot check this address now, try again "
				"later"));
	}
}

static struct reply
nothing_accepted(struct session *session, const char *address)
{
	if (!session->is_rcpthosts_told)
		log_line("%s/control/rcpthosts is missing: no mail is accepted",
			session->home.path);
	session->is_rcpthosts_told = true;
	return refuse(session, address, "no rcpthosts",
		reply_make(451, "4.3.0", "this server accepts no mail now"));
}

/* Postmaster without a domain is ours always (RFC 5321 section 4.5.1). */
static enum policy_verdict
judge_path(const struct session *session, const struct path *path,
	bool is_postmaster)
{
	enum policy_verdict verdict =
		policy_judge(&session->policy, path->domain, path->domain_len);

	if (is_postmaster && verdict == POLICY_REFUSED)
		return POLICY_LOCAL;
	return verdict;
}

static struct reply
judge(struct session *session, enum policy_verdict verdict, const char *address)
{
	switch (verdict) {
	case POLICY_LOCAL:
		return ask(session, address);
	case POLICY_ONWARD:
		return (struct reply){0};
	case POLICY_NOTHING:
		return nothing_accepted(session, address);
	default:
		return refuse(session, address, "relaying denied",
			reply_make(550, "5.7.1", "relaying denied"));
	}
}

static struct reply
add(struct session *session, const char *address,
	const struct recipient_argument *argument)
{
	struct envelope *envelope = &session->transaction.envelope;

	if (envelope_add_recipient(
		    envelope, address, argument->notify, argument->orcpt) < 0)
		return refuse(session, address, strerror(errno),
			reply_make(452, "4.3.0", "out of memory"));
	session->state = SESSION_RECIPIENT;
	return reply_make(250, "2.1.5", "recipient ok");
}

struct reply
verb_rcpt(struct session *session, const char *argument, size_t len)
{
	char address[ADDRESS_TEXT_MAX + 1];
	const char *me = session->settings.me;
	struct recipient_argument rcpt;
	struct path *path = &rcpt.path;
	struct reply reply = read_argument(argument, len, &rcpt);

	if (reply.code != 0)
		return reply;
	if (session->transaction.envelope.recipients >=
		(uint64_t)session->settings.recipients_max)
		return reply_make(452, "4.5.3", "too many recipients");
	bool is_postmaster = path->kind == PATH_POSTMASTER;
	if (is_postmaster && address_set_domain(path, me, strlen(me)) < 0)
		return reply_make(501, "5.1.3", "malformed recipient address");
	address_write(address, sizeof address, path);
	if (policy_append(&session->policy, path) < 0)
		return refuse(session, address,
			"RELAYCLIENT does not make an address of it",
			reply_make(553, "5.1.3",
				"this address cannot be relayed"));
	address_write(address, sizeof address, path);
	reply = judge(
		session, judge_path(session, path, is_postmaster), address);
	if (reply.code != 0)
		return reply;
	return add(session, address, &rcpt);
}
