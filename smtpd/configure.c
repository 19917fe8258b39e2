#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "smtpd/configure.h"
#include "smtpd/moved.h"
#include "lib/networks.h"
#include "smtpd/patterns.h"
#include "smtpd/submission.h"
#include "smtpd/tlsclients.h"

/* The largest databytes, in octets. */
#define DATABYTES_MAX (INT64_C(1) << 40)
/* The rules that a client is looked up in, if KEEPMAIL_RULES names no others. */
#define RULES_FILE "tcp.smtp.cdb"

#define AT(member) offsetof(struct smtpd_settings, member)

static const struct setting SETTINGS[] = {
	{"me", SETTING_HOST, NULL, 0, 0, AT(me), "this host's name"},
	{"smtpgreeting", SETTING_TEXT, "@me", 0, 0, AT(greeting),
		"the words of the greeting, this host's name first"},
	{"locals", SETTING_LIST, NULL, 0, 0, AT(locals),
		"the domains whose mail ends here; without the file, me"},
	{"rcpthosts", SETTING_LIST, NULL, 0, 0, AT(rcpthosts),
		"the domains for which mail is taken from anybody; without the "
		"file, none now"},
	{"databytes", SETTING_NUMBER, "0", 0, DATABYTES_MAX, AT(databytes),
		"the most octets in a message; 0 for no limit"},
	{"timeoutsmtpd", SETTING_NUMBER, "300", 1, 86400, AT(timeout_s),
		"seconds that a client may be silent"},
	{"recipientsmax", SETTING_NUMBER, "1000", 100, ENVELOPE_RECIPIENTS_MAX,
		AT(recipients_max), "the most recipients in a message"},
	{"nullrecipientsmax", SETTING_NUMBER, "10", 1, ENVELOPE_RECIPIENTS_MAX,
		AT(null_recipients_max),
		"the most recipients in a message without a sender"},
	{"badmailfrom", SETTING_LIST, NULL, 0, 0, AT(badmailfrom),
		"senders whose mail is refused"},
	{"badrcptto", SETTING_LIST, NULL, 0, 0, AT(badrcptto),
		"recipients for whom no mail is taken"},
	{"badhelo", SETTING_LIST, NULL, 0, 0, AT(badhelo),
		"names of clients that are refused at HELO and EHLO"},
	{"moved", SETTING_LIST, NULL, 0, 0, AT(moved),
		"old:new of addresses that have moved, perhaps with public or "
		"forward"},
	{"refuseatmail", SETTING_SWITCH, "0", 0, 0, AT(refuse_at_mail),
		"1: badmailfrom refuses at MAIL; 0: at each RCPT"},
	{"mailfromcheck", SETTING_SWITCH, "0", 0, 0, AT(check_mailfrom),
		"1: the sender's domain must be one that takes mail"},
	{"proxies", SETTING_LIST, NULL, 0, 0, AT(proxies),
		"peers that say by the PROXY protocol who the client is"},
	{"xclients", SETTING_LIST, NULL, 0, 0, AT(xclients),
		"peers that may say by XCLIENT who the client is"},
	{"submitsocket", SETTING_TEXT, "submit", 0, 0, AT(submit_socket),
		"where messages go: submit, or filter for queue-filter"},
	{"submission", SETTING_SWITCH, "0", 0, 0, AT(submission),
		"1: mail is taken from our own users alone, and made whole"},
	{"hideclient", SETTING_SWITCH, "1", 0, 0, AT(hide_client),
		"1: with submission, the client is not named in the message"},
	{"senderlogin", SETTING_SWITCH, "1", 0, 0, AT(sender_login),
		"1: with submission, senders must belong to the login"},
	{"saslmechanisms", SETTING_TEXT, AUTH_MECHANISMS_DEFAULT, 0, 0,
		AT(sasl_mechanisms), "the ways to log in that are offered"},
	{"authclear", SETTING_SWITCH, "0", 0, 0, AT(auth_in_clear),
		"1: clients may log in without TLS"},
	{"senderlogins", SETTING_LIST, NULL, 0, 0, AT(senderlogins),
		"logins, each with patterns of addresses that belong to it "
		"too"},
	{"tlsclients", SETTING_LIST, NULL, 0, 0, AT(tls_clients),
		"certificates of clients that may relay"},
	{"receivedlogin", SETTING_SWITCH, "0", 0, 0, AT(received_login),
		"1: the Received field names who has logged in"},
	{"accounthourly", SETTING_NUMBER, "1000", 0, COUNTER_AMOUNT_MAX,
		AT(account_hourly),
		"the most recipients of one login in an hour; 0 for no limit"},
	{"accountdaily", SETTING_NUMBER, "5000", 0, COUNTER_AMOUNT_MAX,
		AT(account_daily),
		"the most recipients of one login in a day; 0 for no limit"},
};

/* The variable DATABYTES, if it is set, stands above control/databytes. */
static int
take_databytes(int64_t *databytes, const char *text, char *why, size_t size)
{
	char *end;

	if (text == NULL)
		return 0;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (*text < '0' || *text > '9' || errno != 0 || *end != 0 ||
		value > DATABYTES_MAX) {
		snprintf(why, size,
			"the variable DATABYTES: expected a number from 0 to "
			"%lld, found \"%.60s\"",
			(long long)DATABYTES_MAX, text);
		return -1;
	}
	*databytes = value;
	return 0;
}

int
configure_client(struct session *session, const char *relay_client,
	const char *databytes, char *why, size_t size)
{
	session->policy.may_relay = relay_client != NULL;
	session->policy.suffix = relay_client != NULL ? relay_client : "";
	session->databytes = session->settings.databytes;
	return take_databytes(&session->databytes, databytes, why, size);
}

static int
check_lists(const struct smtpd_settings *settings, char *why, size_t size)
{
	static const char *const proxy_words[] = {"required", "optional", NULL};

	if (patterns_check(&settings->badmailfrom, PATTERNS_ADDRESSES,
		    "badmailfrom", why, size) < 0 ||
		patterns_check(&settings->badrcptto, PATTERNS_ADDRESSES,
			"badrcptto", why, size) < 0 ||
		patterns_check(&settings->badhelo, PATTERNS_NAMES, "badhelo",
			why, size) < 0 ||
		moved_check(&settings->moved, why, size) < 0)
		return -1;
	if (networks_check(
		    &settings->proxies, "proxies", proxy_words, why, size) < 0)
		return -1;
	if (tlsclients_check(&settings->tls_clients, why, size) < 0)
		return -1;
	return networks_check(&settings->xclients, "xclients", NULL, why, size);
}

static int
read_mechanisms(struct session *session, char *why, size_t size)
{
	char wrong[120];

	if (auth_mechanisms_read(session->settings.sasl_mechanisms,
		    &session->mechanisms, wrong, sizeof wrong) == 0)
		return 0;
	snprintf(why, size, "control/saslmechanisms: %s", wrong);
	return -1;
}

/* Only who stands between has to be looked behind: everybody else is spared. */
static int
open_rules(struct session *session, bool is_always, char *why, size_t size)
{
	const struct smtpd_settings *settings = &session->settings;
	const char *address = session->peer.address, *word;
	const char *file = getenv("KEEPMAIL_RULES");
	char relative[HOME_NAME_MAX], path[HOME_NAME_MAX];

	/* Behind a proxy may stand one of xclients. */
	if (!is_always &&
		networks_find(&settings->proxies, address, &word) == 0 &&
		networks_find(&settings->xclients, address, &word) == 0)
		return 0;
	if (file == NULL)
		file = RULES_FILE;
	if (*file == 0 || strlen(file) > 100 || strchr(file, '/') != NULL) {
		snprintf(why, size,
			"the variable KEEPMAIL_RULES: expected the name of a "
			"file in control, found \"%.60s\"",
			file);
		return -1;
	}
	snprintf(relative, sizeof relative, "control/%s", file);
	return rules_open(&session->rules,
		home_path(&session->home, relative, path), why, size);
}

int
configure(struct session *session, bool is_always, char *why, size_t size)
{
	struct smtpd_settings *settings = &session->settings;
	char folder[HOME_NAME_MAX];

	if (settings_read(SETTINGS, SETTINGS_COUNT(SETTINGS),
		    home_path(&session->home, "control", folder), settings, why,
		    size) < 0)
		return -1;
	if (policy_build(&session->policy, settings->me, &settings->locals,
		    &settings->rcpthosts, NULL, why, size) < 0 ||
		policy_add_more(&session->policy,
			home_path(&session->home, "control/morercpthosts.cdb",
				folder),
			why, size) < 0)
		return -1;
	if (configure_client(session, getenv("RELAYCLIENT"),
		    getenv("DATABYTES"), why, size) < 0)
		return -1;
	if (check_lists(settings, why, size) < 0 ||
		read_mechanisms(session, why, size) < 0 ||
		submission_configure(session, why, size) < 0)
		return -1;
	if (limits_read(session, why, size) < 0 ||
		transcript_read(session, why, size) < 0)
		return -1;
	return open_rules(session, is_always, why, size);
}

void
configure_free(struct session *session)
{
	rules_close(&session->rules);
	policy_free(&session->policy);
	transcript_free(session);
	limits_free(session);
	settings_free(SETTINGS, SETTINGS_COUNT(SETTINGS), &session->settings);
}
