#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "lib/deadline.h"
#include "lib/escape.h"
#include "lib/log.h"
#include "smtpd/decision.h"
#include "smtpd/senders.h"
#include "smtpd/submission.h"

#define HOUR_S 3600
#define DAY_S 86400

/* --- settings --- */

/* A variable that stands above a switch. 0, or -1 with why. */
static int
take_switch(const char *name, int64_t *value, char *why, size_t size)
{
	const char *text = getenv(name);

	if (text == NULL)
		return 0;
	if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0) {
		snprintf(why, size,
			"the variable %s: expected 0 or 1, found \"%.60s\"",
			name, text);
		return -1;
	}
	*value = *text == '1';
	return 0;
}

/* The socket's name, as a path below the home. 0, or -1 with why. */
static int
take_socket(struct session *session, char *why, size_t size)
{
	const char *text = getenv("SUBMITSOCKET");
	const char *from = "the variable SUBMITSOCKET";

	if (text == NULL) {
		text = session->settings.submit_socket;
		from = "control/submitsocket";
	}
	if (strcmp(text, "submit") == 0) {
		session->submit_socket = "socket/submit";
		return 0;
	}
	if (strcmp(text, "filter") == 0) {
		session->submit_socket = "socket/filter";
		return 0;
	}
	snprintf(why, size, "%s: expected submit or filter, found \"%.60s\"",
		from, text);
	return -1;
}

int
submission_configure(struct session *session, char *why, size_t size)
{
	struct smtpd_settings *settings = &session->settings;
	const char *login = getenv("SMTPLOGIN");

	if (take_switch("SUBMISSION", &settings->submission, why, size) < 0 ||
		take_switch("HIDECLIENT", &settings->hide_client, why, size) <
			0 ||
		take_switch("SENDERLOGIN", &settings->sender_login, why, size) <
			0 ||
		senders_check(&settings->senderlogins, why, size) < 0 ||
		take_socket(session, why, size) < 0)
		return -1;
	if (login != NULL)
		submission_login(session, login);
	return 0;
}

/* --- who it is, and who it may be --- */

void
submission_login(struct session *session, const char *login)
{
	escape_line(session->peer.login, sizeof session->peer.login, login,
		strlen(login), ESCAPE_MASK);
	if (session->settings.submission && *login != 0)
		session->policy.may_relay = true;
}

bool
submission_has_owner(const struct session *session)
{
	return session->settings.submission && session->settings.sender_login &&
	       session->peer.login[0] != 0;
}

struct reply
submission_judge_sender(const struct session *session,
	const struct path *sender, const char **rule)
{
	if (session->settings.submission && !session->policy.may_relay) {
		*rule = "submission";
		return reply_make(530, "5.7.0", "log in first");
	}
	if (submission_has_owner(session) &&
		!senders_belong(&session->settings.senderlogins,
			&session->policy.locals, session->peer.login, sender)) {
		*rule = "senderlogin";
		return reply_make(553, "5.7.1", "this sender is not yours");
	}
	return (struct reply){0};
}

/* --- how much a login may send --- */

void
submission_key(char key[COUNTER_KEY_MAX + 1], const char *login)
{
	static const char word[] = "account ";
	size_t length = strlen(login);
	char *at = key + sizeof word - 1;

	snprintf(key, COUNTER_KEY_MAX + 1, "%s%s", word, login);
	for (; *at != 0; at++) {
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at - 'A' + 'a');
		if (*at < 32 || *at > 126)
			*at = '?';
	}
	if (length > COUNTER_KEY_MAX - sizeof word + 1)
		snprintf(key + COUNTER_KEY_MAX - 9, 10, "~%08x",
			(unsigned)crc32(0, (const Bytef *)login, (uInt)length));
}

struct account_limit {
	const char *name; /* the setting */
	int64_t limit;
	uint32_t window_s;
};

static struct reply
over(struct session *session, const struct account_limit *limit, int code,
	const char *why)
{
	decision_log(session,
		&(struct decision){.at = session->transaction.content.at,
			.code = code,
			.rule = limit->name,
			.why = why});
	if (code == 451)
		return reply_make(
			451, "4.3.0", "cannot count your mail now, try later");
	return reply_make(450, "4.7.1",
		"too many recipients from your account, try again later");
}

/* Adds amount (0: looks only). Code 0 if that and `more` are within the limit. */
static struct reply
count(struct session *session, const struct account_limit *limit,
	uint32_t amount, uint32_t more)
{
	char key[COUNTER_KEY_MAX + 1], path[HOME_NAME_MAX], why[200];
	uint64_t total;

	if (limit->limit == 0)
		return (struct reply){0};
	submission_key(key, session->peer.login);
	if (counter_add(&session->limits.counter,
		    home_path(&session->home, "socket/count", path), key,
		    amount, limit->window_s,
		    deadline_after_ms(SUBMISSION_COUNT_MS), &total) < 0) {
		/* Who cannot be counted could send without end. */
		snprintf(why, sizeof why, "%.120s: %s", path, strerror(errno));
		return over(session, limit, 451, why);
	}
	if (total + more <= (uint64_t)limit->limit)
		return (struct reply){0};
	snprintf(why, sizeof why, "%.80s has sent to %llu, control/%s is %lld",
		session->peer.login, (unsigned long long)total, limit->name,
		(long long)limit->limit);
	return over(session, limit, 450, why);
}

/* Looks at both first, so that what is refused is not counted. */
static struct reply
count_account(struct session *session)
{
	uint32_t recipients = session->transaction.envelope.recipients;
	const struct account_limit limit[] = {
		{"accounthourly", session->settings.account_hourly, HOUR_S},
		{"accountdaily", session->settings.account_daily, DAY_S},
	};
	struct reply reply = {0};

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 2 && reply.code == 0; i++)
			reply = count(session, &limit[i],
				round == 0 ? 0 : recipients,
				round == 0 ? recipients : 0);
	return reply;
}

struct reply
submission_begin(struct session *session)
{
	if (!session->settings.submission)
		return (struct reply){0};
	header_start(&session->transaction.header);
	if (session->peer.login[0] == 0)
		return (struct reply){0};
	return count_account(session);
}
