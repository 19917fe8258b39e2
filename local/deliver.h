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
 * 4. Forwards are gathered and submitted together at the end, with the
 *    reverse-path that local/newsender.h finds.
 *
 * An address that a forward of ours has rewritten (local/srs.h) needs no
 * instructions: its mail goes on to what it stands for.
 */

#include <stdbool.h>
#include "lib/accounts.h"
#include "lib/domains.h"
#include "lib/home.h"
#include "lib/settings.h"
#include "local/srs.h"
#include "local/warden.h"

/* What the administrator has set, the same for all accounts. */
struct deliver_settings {
	const struct home *home;
	const char *host;    /* this host's name */
	char programs[1024]; /* folder of the commands for .qmail files */
	struct domains ours; /* locals and virtualdomains */
	struct srs srs;
	bool has_folders;   /* an extension may name a folder of the Maildir */
	bool over_fails;    /* over quota: failed, not deferred */
	int64_t program_ms; /* how long a command may take */
	int64_t program_memory, program_processes; /* as local/program.h */
};

/* The same as it stands in control files. */
struct deliver_control {
	char *me, *srsdomain;
	struct setting_list locals, virtualdomains;
	int64_t has_folders, over_fails;
	int64_t program_s, program_memory, program_processes;
};

/*
 * Checks what stands in the control files and, if srsdomain is not empty, reads the
 * keys from secrets/srs, which must be nobody's but its owner's to read. What is
 * made refers to home and control. 0, or -1 with a sentence in why.
 */
int deliver_settings_make(struct deliver_settings *settings,
	const struct home *home, const struct deliver_control *control,
	char *why, size_t size);

/*
 * Makes the domains of the user database to which the account's own targets belong
 * ours: mail for them does not leave. For who may still read the database.
 */
void deliver_settings_add_own(
	struct deliver_settings *settings, const struct account *account);

/*
 * Delivers. Account says who the process is; every text of the request is
 * checked here. content_fd is the message file; its position does not matter.
 * The keys in the settings are forgotten before a command is run. The report is
 * filled whole:
 *   OUTCOME_DELIVERED  "2.0.0 delivered to …", a program, a mailbox or a list
 *                      took it
 *   OUTCOME_EXPANDED, OUTCOME_RELAYED_DSN
 *                      "2.0.0 forwarded as ID", and nothing else was done
 *                      (local/forward.h)
 *   OUTCOME_DISCARDED  the instructions ask for nothing
 *   OUTCOME_FAILED     "5.x.x …", OUTCOME_DEFERRED "4.x.x …", with a program's
 *                      words
 * Never returns early without a report; changes umask, SIGCHLD and SIGPIPE.
 *
 * Returns whether this process may deliver another message to the account: true
 * if a Maildir is all that this one went to.
 */
bool deliver(struct deliver_settings *settings, const struct account *account,
	const struct warden_request *request, int content_fd,
	struct warden_report *report);

/*
 * Whether the account takes mail for the request's dash and extension, or for its
 * address if that is one that a forward has rewritten. Fills the report as
 * local/warden.h says. Returns its outcome. (lookup.c)
 */
int
deliver_lookup(struct deliver_settings *settings, const struct account *account,
	const struct warden_request *request, struct warden_report *report);

/*
 * Whether the account's mailbox is known to be full. Reads only, and counts
 * nothing. Fills the report as local/warden.h says. (lookup.c)
 */
void
deliver_room(struct deliver_settings *settings, const struct account *account,
	const struct warden_request *request, struct warden_report *report);

#endif
