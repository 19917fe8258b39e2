#ifndef POP3D_LOGIN_H
#define POP3D_LOGIN_H

/*
 * The AUTHORIZATION state of POP3 (RFC 1939 section 4), between pop3d/login.c,
 * which reads commands, and pop3d/login_auth.c, which carries out those that log
 * somebody in: USER and PASS, APOP, AUTH (RFC 5034).
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/auth.h"
#include "lib/home.h"
#include "lib/line.h"
#include "lib/output.h"

#define LOGIN_LINE_WAIT_MS (60 * 1000)
#define LOGIN_REPLY_WAIT_MS (30 * 1000)

struct login {
	struct home home;
	struct line_reader in;
	struct output out;
	int64_t end_ms; /* when a client must have logged in */
	unsigned errors, failures;
	uint32_t mechanisms;		    /* auth_mechanisms_read */
	struct auth_channel channel;	    /* without TLS all zero */
	char name[AUTH_NAME_MAX];	    /* from USER; "" before it */
	char timestamp[AUTH_TIMESTAMP_MAX]; /* of the greeting; "" without */
	char client[AUTH_CLIENT_MAX];
};

/* What a command leads to. */
enum next {
	NEXT_COMMAND,
	NEXT_CLOSE,
	NEXT_HANDED_ON, /* the connection is the session part's */
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

#endif
