#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "lib/deadline.h"
#include "remote/lookup.h"
#include "smtpd/idn.h"

static bool
is_ascii(const char *domain)
{
	for (; *domain != 0; domain++)
		if ((unsigned char)*domain > 127)
			return false;
	return true;
}

struct verdict
idn_make_ascii(
	const struct session *session, struct path *path, const char *enhanced)
{
	struct lookup_answer answer;
	char socket_path[HOME_NAME_MAX], why[600];

	if (is_ascii(path->domain))
		return (struct verdict){0};
	lookup_ascii(home_path(&session->home, "socket/lookup", socket_path),
		path->domain, deadline_after_ms(SESSION_LOOKUP_MS), &answer);
	if (answer.meaning == LOOKUP_EXISTS) {
		path->domain_len = strlen(answer.text);
		memcpy(path->domain, answer.text, path->domain_len + 1);
		return (struct verdict){0};
	}
	snprintf(why, sizeof why, "%s: %s", path->domain, answer.text);
	if (answer.meaning == LOOKUP_NO_DOMAIN)
		return verdict_with_reason(
			verdict_by_rule(
				"idn", reply_make(553, enhanced,
					       "that is not a domain name")),
			why);
	return verdict_with_reason(
		verdict_by_rule("idn", reply_make(451, "4.4.3",
					       "cannot read this domain "
					       "now, try again later")),
		why);
}
