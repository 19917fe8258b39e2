#ifndef LIB_TLS_H
#define LIB_TLS_H

/*
 * TLS as a service: who speaks with another host hands the connection to a
 * program that has OpenSSL, and goes on in clear on a socket of its own. tlsd
 * (socket/tls) serves clients with this host's certificates; tls-client
 * (socket/tls-client) connects to other hosts. No asker links OpenSSL or can read
 * a key.
 *
 * One connection to the socket (SOCK_SEQPACKET) is one session of TLS:
 *
 *   asker                            service
 *   struct tls_request        -->
 *                             <--    struct tls_facts, TLS_OFFERED or TLS_REFUSED
 *   (says "ready" to its peer, and drops what it has read from it)
 *   TLS_HAND_OVER, descriptors -->    the peer's input and output, and one end of
 *                                     a socket pair for what is in clear
 *                             <--    struct tls_facts, TLS_READY or TLS_FAILED
 *
 * From TLS_HAND_OVER on the peer's descriptors are the service's; the asker closes
 * its own. After TLS_READY this connection may be closed; the session ends when
 * either the peer or the other end of the pair is closed. If the service dies the
 * pair shows end of file.
 *
 * tlsd listens only while it has a certificate that it can use: where there is no
 * socket, TLS is not to be offered.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/auth.h"

#define TLS_MAGIC 0x6b746c31u /* "ktl1" */
#define TLS_HAND_OVER 'h'     /* one octet, with three descriptors */
#define TLS_NAME_MAX 256
#define TLS_TEXT_MAX 200

/* Whose policy holds, and whose tickets: none is valid in another. */
enum tls_service {
	TLS_SMTP = 1, /* port 25: no tickets */
	TLS_SUBMISSION = 2,
	TLS_POP3 = 3,
	TLS_CONNECT = 4, /* to another host; of tls-client alone */
};

/* How much the other host must prove; of TLS_CONNECT. */
enum tls_check {
	TLS_CHECK_NONE = 0, /* nothing; facts say how far it could */
	TLS_CHECK_NAME = 1, /* a chain to a known authority, and name */
};

struct tls_request {
	uint32_t magic;
	uint32_t service; /* enum tls_service */
	uint32_t check;	  /* enum tls_check */
	/* TLS_CONNECT: the name that is asked for (SNI) and that the certificate
	 * must have; "" for none. */
	char name[TLS_NAME_MAX];
	/* TLS_CONNECT: which client certificate to show, a file's name without
	 * its suffix; "" for none. */
	char certificate[TLS_NAME_MAX];
	char peer[AUTH_CLIENT_MAX]; /* the peer's address, for the log */
};

enum tls_status {
	TLS_OFFERED = 1, /* hand the descriptors over */
	TLS_REFUSED = 2, /* not now: text says why */
	TLS_READY = 3,	 /* the handshake is done, all the rest is valid */
	TLS_FAILED = 4,	 /* it failed: text says why. Nothing more is to be said
			    to the peer */
};

/* How far the peer's certificate was verified. */
enum tls_verified {
	TLS_UNVERIFIED = 0,	/* none was shown, or nobody known vouches */
	TLS_VERIFIED_CHAIN = 1, /* a known authority vouches */
	TLS_VERIFIED_NAME = 2,	/* and it is for the name that was asked for */
};

struct tls_facts {
	uint32_t magic;
	uint32_t status;   /* enum tls_status */
	uint32_t verified; /* enum tls_verified, of the peer's certificate */
	uint32_t is_resumed;
	uint32_t bits;		 /* of the cipher's key */
	char protocol[16];	 /* "TLSv1.3" */
	char cipher[64];	 /* "TLS_AES_256_GCM_SHA384" */
	char name[TLS_NAME_MAX]; /* SNI, "" for none; printable */
	/* SHA-256 of the peer's certificate in hexadecimal; "" for none. */
	char fingerprint[65];
	/* Bindings, and in identity what a verified client certificate says: an
	 * address of its subjectAltName, or else its common name. */
	struct auth_channel channel;
	char text[TLS_TEXT_MAX]; /* why not; or what of the peer's certificate
				    did not hold */
};

/* --- the asker's side (lib/tls_ask.c) --- */

/*
 * Asks for a session. Returns the connection after TLS_OFFERED; or -1 with
 * facts->text saying why not (status TLS_REFUSED).
 */
int tls_open(const char *socket_path, const struct tls_request *request,
	int64_t deadline_ms, struct tls_facts *facts);

/*
 * Hands the peer's descriptors over and waits for the end of the handshake.
 * Closes fd in any case. Returns the end of the pair on which what is in clear
 * passes (the caller's to close; close-on-exec), with *facts; or -1 with
 * TLS_FAILED and a text. The caller then closes its copies of input and output.
 */
int tls_hand_over(int fd, int input, int output, int64_t deadline_ms,
	struct tls_facts *facts);

/* Whether record[0..len) is a request in order: texts end and are printable. */
bool tls_request_is_valid(const struct tls_request *request, size_t len);
/* The same of an answer. */
bool tls_facts_are_valid(const struct tls_facts *facts, size_t len);

#endif
