#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "lib/deadline.h"
#include "lib/log.h"
#include "local/loop.h"
#include "smtpd/decision.h"
#include "smtpd/limits.h"
#include "lib/networks.h"
#include "smtpd/session.h"
#include "smtpd/stop.h"

#define MANY 1000000000
#define AT(member) offsetof(struct limits_settings, member)

static const struct setting SETTINGS[] = {
	{"messagesmax", SETTING_NUMBER, "10000", 0, MANY, AT(messages_max),
		"the most messages in a session; 0 for no limit"},
	{"commandmax", SETTING_NUMBER, "4096", 1024, LINE_AUTH_MAX,
		AT(command_max),
		"octets of the longest line of a command, AUTH's excepted"},
	{"errorsmax", SETTING_NUMBER, "20", 1, 10000, AT(errors_max),
		"bad commands before the one that ends the session"},
	{"errorsfree", SETTING_NUMBER, "10", 0, 10000, AT(errors_free),
		"bad commands that are answered without delay"},
	{"errordelay", SETTING_NUMBER, "1", 0, LIMITS_DELAY_MAX_S,
		AT(error_delay_s),
		"seconds by which the delay of replies to bad commands grows"},
	{"hopsmax", SETTING_NUMBER, "100", 1, LOOP_RECEIVED_MAX, AT(hops_max),
		"the most Received fields in a message"},
	{"dataratemin", SETTING_NUMBER, "100", 0, MANY, AT(data_rate),
		"octets a second that a message must come with; 0 for no "
		"limit"},
	{"timeoutmessage", SETTING_NUMBER, "7200", 1, 86400, AT(message_s),
		"seconds that a message may take to come"},
	{"greetdelay", SETTING_NUMBER, "0", 0, 60, AT(greet_delay_s),
		"seconds before the greeting in which a client must not "
		"speak"},
	{"connectionsaddress", SETTING_NUMBER, "50", 0, MANY,
		AT(connections_address),
		"the most connections of one address; 0 for no limit"},
	{"connectionsnetwork", SETTING_NUMBER, "100", 0, MANY,
		AT(connections_network),
		"the most connections of one network (/24, /64); 0 for no "
		"limit"},
	{"messagesaddress", SETTING_NUMBER, "10000", 0, MANY,
		AT(messages_address),
		"the most messages of one address in messageswindow; 0 for "
		"no limit"},
	{"messagesnetwork", SETTING_NUMBER, "20000", 0, MANY,
		AT(messages_network),
		"the most messages of one network in messageswindow; 0 for "
		"no limit"},
	{"messageswindow", SETTING_NUMBER, "3600", 1, COUNTER_WINDOW_MAX,
		AT(messages_window_s),
		"seconds in which messagesaddress and messagesnetwork count"},
	{"limitsexempt", SETTING_LIST, NULL, 0, 0, AT(exempt),
		"clients that have no limit over all connections; without the "
		"file, loopback"},
};

int
limits_read(struct session *session, char *why, size_t size)
{
	struct limits *limits = &session->limits;
	char folder[HOME_NAME_MAX];

	COUNTER_CLOSED(&limits->counter);
	if (settings_read(SETTINGS, SETTINGS_COUNT(SETTINGS),
		    home_path(&session->home, "control", folder),
		    &limits->settings, why, size) < 0)
		return -1;
	return networks_check(
		&limits->settings.exempt, "limitsexempt", NULL, why, size);
}

void
limits_free(struct session *session)
{
	struct limits *limits = &session->limits;

	counter_close(&limits->counter);
	settings_free(SETTINGS, SETTINGS_COUNT(SETTINGS), &limits->settings);
}

/* --- over all connections --- */

int
limits_key(char key[COUNTER_KEY_MAX + 1], const char *what, const char *address,
	bool is_network)
{
	struct network_address network;
	char text[NETWORK_TEXT_MAX];

	if (network_address_scan(address, strlen(address), &network) < 0)
		return -1;
	bool is_ipv4 = network.family == AF_INET;
	size_t octets = is_ipv4 ? 3 : 8;
	if (is_network)
		memset(network.octet + octets, 0,
			sizeof network.octet - octets);
	network_address_write(&network, text);
	snprintf(key, COUNTER_KEY_MAX + 1, "%s %s%s", what, text,
		!is_network ? ""
		: is_ipv4   ? "/24"
			    : "/64");
	return 0;
}

static bool
is_exempt(const struct session *session)
{
	const struct setting_list *exempt = &session->limits.settings.exempt;
	const char *address = session->peer.address, *word;

	if (session->policy.may_relay)
		return true;
	if (!exempt->present)
		return network_is_loopback(address);
	return networks_find(exempt, address, &word) != 0;
}

/* One thing that is counted: over what settings says, it is refused. */
struct rule {
	const char *name, *what; /* the setting, the key's first word */
	int64_t limit;
	bool is_network;
};

/* Asks countd. False if the client is over its limit. */
static bool
count(struct session *session, const struct rule *rule, bool is_held)
{
	struct limits *limits = &session->limits;
	char key[COUNTER_KEY_MAX + 1], path[HOME_NAME_MAX];
	int64_t deadline_ms = deadline_after_ms(LIMITS_COUNT_MS);
	uint64_t total;
	int result;

	if (rule->limit == 0 || limits->is_away ||
		limits_key(key, rule->what, session->peer.address,
			rule->is_network) < 0)
		return true;
	home_path(&session->home, "socket/count", path);
	if (is_held)
		result = counter_hold(
			&limits->counter, path, key, deadline_ms, &total);
	else
		result = counter_add(&limits->counter, path, key, 1,
			(uint32_t)limits->settings.messages_window_s,
			deadline_ms, &total);
	if (result == 0)
		return total <= (uint64_t)rule->limit;
	log_line(
		"%s: %s: goes on without limits over all connections client=%s",
		path, strerror(errno), session->peer.address);
	limits->is_away = true;
	return true;
}

static struct reply
too_many(struct session *session, const struct rule *rule, const char *at,
	const char *from, struct reply reply)
{
	char why[100];

	snprintf(why, sizeof why, "more than %lld, control/%s",
		(long long)rule->limit, rule->name);
	decision_log(session, &(struct decision){.at = at,
				      .code = reply.code,
				      .rule = rule->name,
				      .why = why,
				      .from = from});
	return reply;
}

struct reply
limits_client(struct session *session, struct reply greeting)
{
	struct limits *limits = &session->limits;
	const struct rule rule[] = {
		{"connectionsaddress", "connections",
			limits->settings.connections_address, false},
		{"connectionsnetwork", "connections",
			limits->settings.connections_network, true},
	};

	counter_close(&limits->counter);
	if (is_exempt(session))
		return greeting;
	for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++) {
		if (count(session, &rule[i], true))
			continue;
		struct reply reply = reply_make(421, "4.7.0",
			"too many connections from your %s, try again later",
			rule[i].is_network ? "network" : "address");
		reply.close_after = 1;
		return too_many(session, &rule[i], "CONNECT", NULL, reply);
	}
	return greeting;
}

struct reply
limits_message(struct session *session, const char *sender)
{
	struct limits *limits = &session->limits;
	const struct rule each = {
		"messagesmax", NULL, limits->settings.messages_max, false};
	const struct rule rule[] = {
		{"messagesaddress", "messages",
			limits->settings.messages_address, false},
		{"messagesnetwork", "messages",
			limits->settings.messages_network, true},
	};

	if (each.limit > 0 && limits->messages >= each.limit) {
		struct reply reply = reply_make(421, "4.7.0",
			"too many messages in one session, come again");
		reply.close_after = 1;
		return too_many(session, &each, "MAIL", sender, reply);
	}
	limits->messages++;
	for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++) {
		if (is_exempt(session) || count(session, &rule[i], false))
			continue;
		return too_many(session, &rule[i], "MAIL", sender,
			reply_make(450, "4.7.1",
				"too many messages from your %s, try again "
				"later",
				rule[i].is_network ? "network" : "address"));
	}
	return (struct reply){0};
}

/* --- one session --- */

struct reply
limits_greet(struct session *session, struct reply greeting)
{
	int64_t delay_s = session->limits.settings.greet_delay_s;

	if (delay_s == 0 || is_exempt(session))
		return greeting;
	bool is_early = !line_is_empty(&session->input);
	if (!is_early)
		switch (stop_wait_input(
			session, deadline_after_ms(delay_s * 1000))) {
		case STOP_INPUT:
			break;
		case STOP_ASKED:
			return stop_reply();
		default:
			return greeting;
		}
	/* The end of a connection can be read too. */
	if (!is_early &&
		line_fill(&session->input, deadline_now_ms()) != LINE_OK) {
		session->is_lost = true;
		return greeting;
	}
	struct reply reply = reply_make(
		554, "5.5.1", "the client speaks first: wait for the greeting");
	reply.close_after = 1;
	decision_log(session,
		&(struct decision){.at = "CONNECT",
			.code = reply.code,
			.rule = "greetdelay",
			.why = "the client spoke before the greeting"});
	return reply;
}

/* Waits, unless the client goes or the server is to end. */
static void
delay(struct session *session, int64_t seconds)
{
	if (seconds <= 0)
		return;
	if (seconds > LIMITS_DELAY_MAX_S)
		seconds = LIMITS_DELAY_MAX_S;
	/* What was said before the bad command is not delayed. */
	if (output_flush(&session->output, session_deadline_ms(session)) < 0)
		return;
	stop_wait_gone(session, deadline_after_ms(seconds * 1000));
}

struct reply
limits_error(struct session *session, struct reply reply)
{
	const struct limits_settings *settings = &session->limits.settings;
	int64_t errors = ++session->errors;

	if (errors <= settings->errors_max) {
		delay(session, (errors - settings->errors_free) *
				       settings->error_delay_s);
		return reply;
	}
	reply = reply_make(421, "4.7.0", "too many bad commands");
	reply.close_after = 1;
	decision_log(session, &(struct decision){.at = "SESSION",
				      .code = reply.code,
				      .rule = "errorsmax",
				      .why = "too many bad commands"});
	return reply;
}

int64_t
limits_content_deadline(const struct session *session, int64_t start_ms,
	uint64_t octets, const char **rule)
{
	const struct limits_settings *settings = &session->limits.settings;
	int64_t timeout_ms = session->settings.timeout_s * 1000;
	int64_t deadline_ms = deadline_after_ms(timeout_ms);
	int64_t last_ms = start_ms + settings->message_s * 1000;

	*rule = "timeoutsmtpd";
	if (settings->data_rate > 0 && octets < UINT64_C(1) << 50) {
		int64_t rate_ms = start_ms + timeout_ms +
				  (int64_t)octets * 1000 / settings->data_rate;

		if (rate_ms < deadline_ms) {
			*rule = "dataratemin";
			deadline_ms = rate_ms;
		}
	}
	if (last_ms < deadline_ms) {
		*rule = "timeoutmessage";
		deadline_ms = last_ms;
	}
	return deadline_ms;
}

size_t
limits_line_max(const struct session *session)
{
	char list[AUTH_LIST_MAX];

	session_mechanisms(session, list);
	return *list != 0 ? LINE_AUTH_MAX
			  : (size_t)session->limits.settings.command_max;
}
