#ifndef SMTPD_SESSION_H
#define SMTPD_SESSION_H

/*
 * One connection of an SMTP client (RFC 5321 section 3), as data: the peer, the
 * settings, the state, and the one transaction that may be open. Handlers of
 * commands (smtpd/verbs.h) take a session and give a reply; only the loop in
 * smtpd.c and the handlers of DATA and BDAT read and write the connection.
 *
 * State goes up one command at a time and falls back to SESSION_GREETED when a
 * transaction ends (accepted, refused, RSET, EHLO). While it is one of
 * SESSION_OPEN the submission is asked for and open; in between it is not.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/address.h"
#include "lib/auth.h"
#include "lib/envelope.h"
#include "lib/home.h"
#include "lib/line.h"
#include "lib/output.h"
#include "lib/reply.h"
#include "lib/settings.h"
#include "lib/tls_server.h"
#include "queue/submit.h"
#include "smtpd/content.h"
#include "smtpd/header.h"
#include "smtpd/limits.h"
#include "smtpd/policy.h"
#include "smtpd/rules.h"
#include "smtpd/transcript.h"

/* Octets kept of a name that a stranger gave: HELO's argument, the client's. */
#define SESSION_NAME_MAX 255
/* How long resolve, and lookup, may take for an answer. */
#define SESSION_RESOLVE_MS (30 * 1000)
#define SESSION_LOOKUP_MS (30 * 1000)
/* How long the queue may take to let us in, and for each wait thereafter. */
#define SESSION_OPEN_MS (60 * 1000)
#define SESSION_SUBMIT_MS (5 * 60 * 1000)

/* What stands in control/; doc in smtpd.8. */
struct smtpd_settings {
	char *me;
	char *greeting;
	struct setting_list locals;
	struct setting_list rcpthosts;
	int64_t databytes; /* 0: no limit */
	int64_t timeout_s;
	int64_t recipients_max;
	int64_t null_recipients_max; /* of a message without a sender */
	struct setting_list badmailfrom;
	struct setting_list badrcptto;
	struct setting_list badhelo;
	struct setting_list moved;
	int64_t refuse_at_mail; /* for badmailfrom; otherwise at RCPT */
	int64_t check_mailfrom; /* the sender's domain must take mail */
	struct setting_list proxies;
	struct setting_list xclients;
	char *sasl_mechanisms;
	int64_t auth_in_clear;
	char *submit_socket;  /* submit or filter */
	int64_t submission;   /* serves our own users: smtpd/submission.h */
	int64_t hide_client;  /* in that, no client in the Received field */
	int64_t sender_login; /* in that, senders belong to the login */
	struct setting_list senderlogins;
	struct setting_list tls_clients; /* smtpd/tlsclients.h */
	int64_t received_login; /* the Received field names the login */
	/* Recipients of one login; 0: no limit. */
	int64_t account_hourly, account_daily;
};

/* Bits, so that a command can name the states in which it is legal. */
enum session_state {
	SESSION_CONNECTED = 1, /* nothing said yet */
	SESSION_GREETED = 2,   /* HELO or EHLO */
	SESSION_MAIL = 4,      /* MAIL taken, no recipient yet */
	SESSION_RECIPIENT = 8, /* at least one recipient */
	SESSION_CHUNKS = 16,   /* BDAT, but not the last one */
};
/* There is a transaction. */
#define SESSION_OPEN (SESSION_MAIL | SESSION_RECIPIENT | SESSION_CHUNKS)
#define SESSION_ANY (SESSION_CONNECTED | SESSION_GREETED | SESSION_OPEN)

/* The client, as tcpserver tells and as it tells of itself: printable ASCII. */
struct peer {
	char address[SESSION_NAME_MAX + 1]; /* "unknown" without tcpserver */
	char name[SESSION_NAME_MAX + 1];    /* "unknown" without reverse DNS */
	char hello[SESSION_NAME_MAX + 1];   /* "" before HELO or EHLO */
	char login[SESSION_NAME_MAX + 1];   /* by AUTH, XCLIENT; "" for none */
	bool is_extended;		    /* EHLO */
	bool may_xclient; /* control/xclients lists the connection's peer */
	bool is_named;	  /* by XCLIENT */
	bool has_authenticated; /* by AUTH */
	bool has_tls; /* what passes is encrypted; channel says more */
	struct auth_channel channel;
	char tls_protocol[24], tls_cipher[72]; /* a word each, with has_tls */
};

/* From MAIL to the reply after the content. */
struct transaction {
	struct envelope envelope;     /* owned */
	struct submission submission; /* open from MAIL on */
	struct header header;	      /* owned; smtpd/submission.h */
	/* The line of control/badmailfrom that the recipients are refused for;
	 * 0 for none. */
	size_t bad_sender_line;
	bool is_refused;	/* a recipient has been refused */
	struct content content; /* from DATA or the first BDAT on */
};

struct session {
	struct home home;
	struct smtpd_settings settings;
	const char *submit_socket; /* a constant: where messages go */
	struct policy policy;
	struct rules rules; /* open only if the client may become another */
	int64_t databytes;  /* for this client; 0: no limit */
	struct peer peer;
	enum session_state state;
	struct transaction transaction;
	int resolve_fd; /* the connection to resolve; -1: none */
	int stop_fd;	/* tells of SIGTERM (smtpd/stop.h); -1: none */
	struct tls_server tls;
	struct limits limits;
	struct transcript transcript;
	int64_t errors;		/* bad commands so far */
	uint32_t mechanisms;	/* auth_mechanisms_read */
	unsigned auth_failures; /* of this session */
	bool is_refusing;	/* a chunk was; others may be on their way */
	uint64_t discarded;	/* octets of BDAT that nobody wanted */
	bool is_lost;		/* the connection is gone: no reply */
	bool is_rcpthosts_told; /* its absence stands in the log */
	struct line_reader input;
	struct output output;
};

/*
 * Writes the mechanisms that AUTH offers now, divided by blanks; "" for none: after
 * a login, and in the clear unless control/authclear allows it.
 */
void
session_mechanisms(const struct session *session, char list[AUTH_LIST_MAX]);
bool
session_offers(const struct session *session, enum auth_mechanism mechanism);

/* Whether a whole line waits in the buffer: reading it will not block. */
bool session_has_line(const struct session *session);

/* The deadline of one wait for the client: timeoutsmtpd from now. */
int64_t session_deadline_ms(const struct session *session);

/*
 * Puts a reply into the output, and flushes it unless another whole command is
 * in hand already (RFC 2920 section 3.2). 0, or -1 with errno: the connection
 * is of no more use.
 */
int session_reply(struct session *session, const struct reply *reply);

/*
 * Ends the transaction, if one is open: takes the submission back and forgets
 * the envelope. Safe at any time.
 */
void session_end_transaction(struct session *session);

/*
 * Makes text[0..len) fit for struct peer: printable ASCII, cut to
 * SESSION_NAME_MAX octets; NULL or nothing becomes "unknown".
 */
void
session_name(char into[SESSION_NAME_MAX + 1], const char *text, size_t len);

#endif
