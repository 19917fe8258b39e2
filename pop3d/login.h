#ifndef POP3D_LOGIN_H
#define POP3D_LOGIN_H

/*
 * The AUTHORIZATION state of POP3 (RFC 1939 section 4), between pop3d/login.c,
 * which reads commands, pop3d/login_auth.c, which carries out those that log somebody
 * in: USER and PASS, APOP, AUTH (RFC 5034), and pop3d/login_tls.c for STLS.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/auth.h"
#include "lib/counter.h"
#include "lib/home.h"
#include "lib/line.h"
#include "lib/output.h"
#include "lib/settings.h"
#include "lib/tls_server.h"
#include "pop3d/handover.h"

#define LOGIN_LINE_WAIT_MS (60 * 1000)
#define LOGIN_REPLY_WAIT_MS (30 * 1000)

struct login {
	struct line_reader in;
	struct output out;
	struct home home; /* from here on all is zero at first */
	int64_t end_ms;	  /* when a client must have logged in */
	unsigned errors, failures;
	uint32_t mechanisms; /* auth_mechanisms_read */
	struct tls_server tls;
	bool has_tls;
	bool is_clear_allowed;		    /* control/authclearpop3 */
	struct auth_channel channel;	    /* without TLS all zero */
	char name[AUTH_NAME_MAX];	    /* from USER; "" before it */
	char timestamp[AUTH_TIMESTAMP_MAX]; /* of the greeting; "" without */
	char client[AUTH_CLIENT_MAX];
	struct setting_list proxies;   /* control/proxies */
	struct setting_list exempt;    /* control/limitsexempt */
	int64_t connections_max;       /* of one address; 0: no limit */
	struct counter counter;	       /* holds this connection */
	bool is_utf8_for_all;	       /* control/pop3utf8 */
	struct pop3_handover handover; /* what the session is told */
};

/* What a command leads to. */
enum next {
	NEXT_COMMAND,
	NEXT_CLOSE,
	NEXT_HANDED_ON, /* the connection is the session part's */
	NEXT_GONE,	/* it is nobody's: nothing more is to be said */
};

/* Puts a line. */
enum next login_reply(struct login *login, const char *text);
/* The same for an error, of which there may be only so many. */
enum next login_error(struct login *login, const char *text);

/* Each gets what follows the command and one space. */
enum next login_user(struct login *login, const char *argument, size_t length);
enum next login_pass(struct login *login, const char *argument, size_t length);
enum next login_apop(struct login *login, const char *argument, size_t length);
enum next login_auth(struct login *login, const char *argument, size_t length);

/* --- pop3d/login_peer.c --- */

/* How long the whole of a PROXY header may take to come. */
#define LOGIN_PROXY_MS (10 * 1000)
/* How long its first octet is waited for where it may be missing. */
#define LOGIN_PROXY_FIRST_MS (2 * 1000)

/* Takes the client's address from TCPREMOTEIP; "unknown" without one. */
void login_peer_start(struct login *login);
/*
 * If the peer is one of control/proxies, reads the PROXY header, and not an octet
 * of what follows it: the client is then who it names. -1, and the log says why:
 * close, without a word.
 */
int login_peer_proxy(struct login *login);
/*
 * Holds the client's place among the connections of its address. -1, and the log
 * says so: it has too many.
 */
int login_peer_hold(struct login *login);

/* --- pop3d/login_tls.c --- */

/* STLS, with so many octets of an argument. */
enum next login_stls(struct login *login, size_t length);
/* Whether it would be carried out now. */
bool login_offers_tls(const struct login *login);
/* The handshake before the greeting. 0, or -1: nothing is to be said. */
int login_tls_first(struct login *login);

/* Whether a password may be said as it is: in TLS, or by control/authclearpop3. */
bool login_may_say_password(const struct login *login);
/* The mechanisms that may be used now. */
uint32_t login_mechanisms(const struct login *login);
/* The refusal where one may not. */
enum next login_needs_tls(struct login *login);

#endif
