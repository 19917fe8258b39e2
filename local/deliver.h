#ifndef LOCAL_DELIVER_H
#define LOCAL_DELIVER_H

/*
 * What happens to a message for one account: the whole of local delivery, done
 * in a child of the warden that has become the account's owner for good.
 *
 * 1. A message that is here for the second time (local/loop.h) has failed.
 * 2. The instructions for dash and extension are found. None, or an empty file:
 *    the default, into the account's Maildir; none for an extension: nobody has
 *    that address.
 * 3. Every line in turn, as in qmail: a line that fails for good ends it as
 *    failed, a line that fails for now ends it as deferred (what lines before it
 *    did is done again at the next attempt), a program's exit 99 ends it as done.
 * 4. Forwards are gathered and submitted together at the end.
 *
 * Of qmail's contract "-owner" files and mbox files are missing.
 */

#include <stdbool.h>
#include "lib/accounts.h"
#include "lib/home.h"
#include "local/warden.h"

/*
 * Delivers. Account says who the process is; every text of the request is
 * checked here. content_fd is the message file; its position does not matter.
 * host is this host's name (control/me). The report is filled whole:
 *   OUTCOME_DELIVERED  "2.0.0 delivered to …", a program or a Maildir took it
 *   OUTCOME_EXPANDED   "2.0.0 forwarded as ID", and nothing else was done
 *   OUTCOME_DISCARDED  the instructions ask for nothing
 *   OUTCOME_FAILED     "5.x.x …", OUTCOME_DEFERRED "4.x.x …", with a program's
 *                      words
 * Never returns early without a report; changes umask, SIGCHLD and SIGPIPE.
 *
 * Returns whether this process may deliver another message to the account: true
 * if a Maildir is all that this one went to.
 */
bool deliver(const struct home *home, const struct account *account,
	const struct warden_request *request, int content_fd, const char *host,
	struct warden_report *report);

/*
 * Whether the account takes mail for the request's dash and extension. Fills the
 * report as local/warden.h says. Returns its outcome.
 */
int deliver_lookup(const struct account *account,
	const struct warden_request *request, struct warden_report *report);

#endif
