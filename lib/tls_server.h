#ifndef LIB_TLS_SERVER_H
#define LIB_TLS_SERVER_H

/*
 * How a server with one client on descriptors 0 and 1 comes to speak TLS with it:
 * by the service tlsd (lib/tls.h); or, where the program that accepted the
 * connection set the variables SSLCTLFD, SSLREADFD and SSLWRITEFD (UCSPI-TLS), by
 * that program. Either way the server reads and writes plain octets on 0 and 1
 * afterwards, and never sees a key.
 *
 * UCSPI-TLS: "Y" is written to SSLCTLFD; NAME=VALUE texts come back from it, each
 * with a NUL behind it, and an empty one at the end; then SSLREADFD and SSLWRITEFD
 * take the places of 0 and 1. Of the texts only SSL_PROTOCOL and SSL_CIPHER mean
 * something: there are no channel bindings and no client's certificate in this
 * way.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/home.h"
#include "lib/tls.h"

/* How long the service may take to say yes or no. */
#define TLS_SERVER_ASK_MS (10 * 1000)
/* How long the whole handshake may take. */
#define TLS_SERVER_HANDSHAKE_MS (60 * 1000)
/* Octets of all that UCSPI-TLS says. */
#define TLS_SERVER_DETAILS_MAX 65536

enum tls_way {
	TLS_WAY_NONE = 0, /* there is no TLS to be had */
	TLS_WAY_SERVICE,
	TLS_WAY_UCSPI,
};

struct tls_server {
	enum tls_way way;
	bool is_first; /* KEEPMAIL_TLS=first: before the greeting */
	int control, input, output; /* UCSPI-TLS */
	char socket_path[HOME_NAME_MAX];
	int fd; /* the session that the service has offered; -1 for none */
};

/*
 * Finds the way, by the variables and by whether socket/tls is there: before the
 * file system is given up. Returns 0; or -1 with a sentence in why, for a variable
 * that does not make sense.
 */
int tls_server_find(struct tls_server *server, const struct home *home,
	char *why, size_t size);

/*
 * Asks for a session, before the client is told to go on. Returns 0; or -1 with a
 * sentence in why: the client is told to come again, and all is as it was.
 */
int tls_server_ask(struct tls_server *server, enum tls_service service,
	const char *client, char *why, size_t size);

/*
 * The handshake, after tls_server_ask. Nothing that was read before may be kept.
 * Returns 0 with the facts, and from then on 0 and 1 are in clear; or -1 with a
 * sentence in why: the connection is lost, and nothing more may be said on it. In
 * any case there is no TLS to be had afterwards.
 */
int tls_server_run(struct tls_server *server, struct tls_facts *facts,
	char *why, size_t size);

/* Gives up what tls_server_ask got. Safe twice. */
void tls_server_close(struct tls_server *server);

/* "TLSv1.3 TLS_AES_128_GCM_SHA256", for people. */
#define TLS_DESCRIPTION_MAX 96
void
tls_describe(const struct tls_facts *facts, char text[TLS_DESCRIPTION_MAX]);

#endif
