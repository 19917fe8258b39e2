/*
 * sendmail hands a message to the queue, as programs and scripts have always
 * called it; also mailq and newaliases, by those names.
 *
 * Runs as whoever calls it: nothing is set-uid. The kernel tells queue-inject who
 * that is, and it stands in the message's Received field.
 * Is handed the message on descriptor 0.
 * Promises to end with 0 only after the message is durable in the queue; with 75
 * nothing was accepted (or the answer was lost) and the caller tries again.
 * Never writes to the queue or looks a user up in NSS; starts no program but the one
 * that the caller's variable QMAILQUEUE names, and for -q and -bv tools of ours.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include "lib/home.h"
#include "lib/settings.h"
#include "local/aliases.h"
#include "tools/queue_show.h"
#include "tools/sendmail_options.h"
#include "tools/sendmail_session.h"
#include "tools/sendmail_submit.h"
#include "tools/sendmail_tools.h"
#include "tools/users.h"

struct alias_values {
	char *file;
};

static const struct setting alias_settings[] = {
	{.name = "aliasfile",
		.kind = SETTING_TEXT,
		.fallback = "/etc/aliases",
		.offset = offsetof(struct alias_values, file),
		.meaning = "the file of aliases that newaliases compiles"},
};

/* newaliases: users/aliases.cdb, from the file that control/aliasfile names. */
static int
compile_aliases(struct sendmail *work)
{
	struct alias_values values = {NULL};
	char control[HOME_NAME_MAX], why[900];
	struct home home;

	if (home_open(&home, why, sizeof why) < 0 ||
		settings_read(alias_settings, SETTINGS_COUNT(alias_settings),
			home_path(&home, "control", control), &values, why,
			sizeof why) < 0)
		return sendmail_fail(work, EX_CONFIG, why, "");
	umask(077);
	long count = users_compile(&home, values.file, "aliases.cdb",
		aliases_compile, why, sizeof why);
	if (count >= 0)
		printf("%s: %ld aliases\n", values.file, count);
	settings_free(alias_settings, SETTINGS_COUNT(alias_settings), &values);
	return count < 0 ? sendmail_fail(work, EX_DATAERR, why, "") : EX_OK;
}

/* What needs the home and the settings. */
static int
carry_out(struct sendmail *work)
{
	int status = sendmail_configure(work);

	if (status != 0)
		return status;
	switch (work->options.mode) {
	case SENDMAIL_FLUSH:
		return sendmail_flush(work);
	case SENDMAIL_VERIFY:
		return sendmail_verify(work);
	case SENDMAIL_SESSION:
		return sendmail_session(work);
	default:
		return sendmail_run(work);
	}
}

int
main(int argc, char **argv)
{
	struct sendmail *work = calloc(1, sizeof(*work));
	int status = 0;

	if (work == NULL) {
		fputs("sendmail: out of memory\n", stderr);
		return EX_OSERR;
	}
	signal(SIGPIPE, SIG_IGN);
	work->spool = SPOOL_EMPTY;
	SUBMISSION_CLOSED(&work->submission);
	if (sendmail_options_read(argc, argv, &work->options) < 0) {
		free(work);
		return EX_USAGE;
	}
	switch (work->options.mode) {
	case SENDMAIL_LIST:
		if (queue_show("mailq", SHOW_TEXT, NULL) != 0)
			status = EX_TEMPFAIL;
		break;
	case SENDMAIL_ALIASES:
		status = compile_aliases(work);
		break;
	case SENDMAIL_NOTHING:
		break;
	default:
		status = carry_out(work);
	}
	if (status != 0 && work->why[0] != 0)
		fprintf(stderr, "sendmail: %s\n", work->why);
	sendmail_free(work);
	return status;
}
