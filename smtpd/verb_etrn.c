#include <stdio.h>
#include <string.h>
#include "lib/address.h"
#include "lib/deadline.h"
#include "smtpd/decision.h"
#include "smtpd/verbs.h"

/*
 * ETRN (RFC 1985): a client that may relay asks that the mail for a host is tried
 * now, because the host can be reached for a while. The mail goes where it would
 * go anyway, so nobody gets another's; whether there is any is not told.
 */

static struct reply
decide(const struct session *session, const char *rule, const char *why,
	struct reply reply)
{
	decision_log(session, &(struct decision){.at = "ETRN",
				      .code = reply.code,
				      .rule = rule,
				      .why = why});
	return reply;
}

/* The domain of the argument as submit_retry takes it. 0, or -1: it is none. */
static int
read_domain(const char *argument, size_t len, char domain[])
{
	size_t option = argument[0] == '@';

	if (!domain_valid(argument + option, len - option))
		return -1;
	if (option)
		*domain++ = '.';
	for (size_t i = option; i < len; i++) {
		char c = argument[i];

		*domain++ = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	*domain = 0;
	return 0;
}

struct reply
verb_etrn(struct session *session, const char *argument, size_t len)
{
	char domain[ADDRESS_DOMAIN_MAX + 2], path[HOME_NAME_MAX], why[300];
	struct submission *submission = &session->transaction.submission;

	if (!session->policy.may_relay)
		return decide(session, "RELAYCLIENT", "not for this client",
			reply_make(459, "4.7.1",
				"not allowed: ETRN is for our own clients"));
	if (argument[0] == '#')
		return decide(session, "etrn", "a queue's name",
			reply_make(459, "4.7.1",
				"not allowed: queues have no names here"));
	if (read_domain(argument, len, domain) < 0)
		return reply_make(
			501, "5.5.4", "expected ETRN domain or ETRN @domain");
	if (submit_retry(submission,
		    home_path(&session->home, "socket/submit", path), domain,
		    deadline_after_ms(SESSION_OPEN_MS)) < 0) {
		snprintf(why, sizeof why, "the queue says %d: %.250s",
			(int)submission->code, submission->text);
		return decide(session, "queue", why,
			reply_make(458, "4.3.0",
				"unable to try mail for this host now"));
	}
	snprintf(why, sizeof why, "mail for %.255s", domain);
	return decide(session, "etrn", why,
		reply_make(250, "2.0.0",
			"mail for this host is tried, once a minute at most"));
}
