#ifndef SMTPD_LIMITS_H
#define SMTPD_LIMITS_H

/*
 * How much of the server one client may have. All limits are settings
 * (smtpd.8); 0 lifts those that say so. Those of one session are counted here;
 * those of a client over all its connections by countd (lib/counter.h). Without
 * countd the session goes on without the latter: they keep the server available,
 * and are no reason to refuse mail.
 *
 * Exempt from what countd counts and from the greeting's delay are clients that
 * may relay, and those of control/limitsexempt; without that file, loopback.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/counter.h"
#include "lib/reply.h"
#include "lib/settings.h"

struct session;

/* How long countd may take for an answer. */
#define LIMITS_COUNT_MS (2 * 1000)
/* The longest delay of a reply to a bad command. */
#define LIMITS_DELAY_MAX_S 30

struct limits_settings {
	int64_t messages_max; /* a session; 0: no limit */
	int64_t command_max;  /* octets of a line, AUTH's excepted */
	int64_t errors_max;   /* the next one ends the session */
	int64_t errors_free;  /* that are answered without delay */
	int64_t error_delay_s;
	int64_t hops_max;
	int64_t data_rate;     /* octets a second; 0: no limit */
	int64_t message_s;     /* for the whole content */
	int64_t greet_delay_s; /* 0: none */
	int64_t connections_address, connections_network; /* 0: no limit */
	int64_t messages_address, messages_network;	  /* 0: no limit */
	int64_t messages_window_s;
	struct setting_list exempt;
};

struct limits {
	struct limits_settings settings;
	struct counter counter;
	int64_t messages; /* transactions of this session */
	bool is_away;	  /* countd cannot be reached; the log has it */
};

/* Reads the settings. 0, or -1 with a sentence in why. */
int limits_read(struct session *session, char *why, size_t size);
/* Frees them, and gives back what is held. Safe twice. */
void limits_free(struct session *session);

/*
 * The connection is known to be this client's: holds its place. Returns greeting
 * or, if the client has too many, 421 with close_after. Called again when the
 * client has become another, it gives the first one's place back.
 */
struct reply limits_client(struct session *session, struct reply greeting);

/*
 * Waits for control/greetdelay. Returns greeting; 554 with close_after if the
 * client speaks before it; sets is_lost if the client closes.
 */
struct reply limits_greet(struct session *session, struct reply greeting);

/* A transaction begins. Code 0, or the refusal; it is in the log. */
struct reply limits_message(struct session *session, const char *sender);

/*
 * A bad command: counts it, waits as long as its number asks for, and returns
 * reply, or 421 with close_after.
 */
struct reply limits_error(struct session *session, struct reply reply);

/*
 * The deadline of the next wait for content that began at start_ms and of which
 * octets have come: so much silence as timeoutsmtpd, but the whole of it not
 * slower than dataratemin, with timeoutsmtpd to begin with, nor longer than
 * timeoutmessage. *rule is the setting that it comes from.
 */
int64_t limits_content_deadline(const struct session *session, int64_t start_ms,
	uint64_t octets, const char **rule);

/* Octets of the longest line that a command may have now, its CRLF included.
 * (LINE_AUTH_MAX where AUTH is offered: verbs_run holds the others to
 * control/commandmax.) */
size_t limits_line_max(const struct session *session);

/* --- a part, for its test --- */

/*
 * Writes the key of a counter: what, and the client's address, or with
 * is_network its network: /24, or /64 of IPv6. 0, or -1 if the text is no
 * address.
 */
int limits_key(char key[COUNTER_KEY_MAX + 1], const char *what,
	const char *address, bool is_network);

#endif
