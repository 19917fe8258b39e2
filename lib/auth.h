#ifndef LIB_AUTH_H
#define LIB_AUTH_H

/*
 * Questions to authd, by who speaks with clients: may this client log in, and as
 * whom? authd runs the SASL mechanisms (RFC 4422) and alone reads the user
 * database's secrets; the asker carries octets to and fro and does the lines and
 * the base64 (lib/sasl_front.h).
 *
 * One connection to socket/auth (SOCK_SEQPACKET) is one exchange. The asker sends
 * a struct auth_begin; authd answers with struct auth_message records: challenges,
 * each of which the asker answers with an AUTH_RESPONSE, and at last AUTH_VERDICT.
 * For POP3 the asker then sends AUTH_START with three descriptors (the client's
 * input and output, and its own end of a socket pair), authd has the warden start
 * the session, and a second AUTH_VERDICT ends it. Records are as long as they
 * need to be: octets beyond length are not sent.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_MAGIC 0x6b617532u /* "kau2" */
#define AUTH_NAME_MAX 256
/* A line of 12288 octets (RFC 4954 section 4), decoded. */
#define AUTH_OCTETS_MAX 9216
/* An address as text, for the log and the limits. */
#define AUTH_CLIENT_MAX 64
/* The timestamp of POP3's greeting, with its brackets (RFC 1939, APOP). */
#define AUTH_TIMESTAMP_MAX 128

enum auth_mechanism {
	AUTH_PLAIN = 1,
	AUTH_LOGIN,
	AUTH_CRAM_MD5,
	AUTH_SCRAM_SHA_256,
	AUTH_SCRAM_SHA_256_PLUS,
	AUTH_EXTERNAL,
	AUTH_APOP, /* not SASL: "name digest" to begin's timestamp */
	AUTH_MECHANISMS = AUTH_APOP,
};

enum auth_service {
	AUTH_SERVICE_POP3 = 1, /* a session is started */
	AUTH_SERVICE_SMTP = 2,
	AUTH_SERVICE_CHECK = 3,
};

/*
 * What the asker knows of the client's TLS; all zero without TLS. The bindings
 * are "tls-exporter" (RFC 9266) and "tls-server-end-point" (RFC 5929 section 4);
 * the identity is what a verified certificate of the client says.
 */
struct auth_channel {
	uint32_t exporter_len, end_point_len; /* 0: not to be had */
	uint8_t exporter[32];
	uint8_t end_point[64];
	char identity[AUTH_NAME_MAX]; /* "" for none */
};

struct auth_begin {
	uint32_t magic;
	uint32_t service;     /* enum auth_service */
	uint32_t mechanism;   /* enum auth_mechanism */
	uint32_t has_initial; /* 1: octets are an initial response */
	struct auth_channel channel;
	char client[AUTH_CLIENT_MAX];
	char timestamp[AUTH_TIMESTAMP_MAX]; /* for APOP; else "" */
	uint32_t length;
	uint8_t octets[AUTH_OCTETS_MAX];
};

enum auth_kind {
	AUTH_RESPONSE = 1,  /* to authd: octets */
	AUTH_START = 2,	    /* to authd: start the session; no octets */
	AUTH_CHALLENGE = 3, /* from authd: octets */
	AUTH_VERDICT = 4,   /* from authd: verdict; after AUTH_YES octets are
			       the account's proper name, without a NUL */
};

enum auth_verdict {
	AUTH_YES = 1,
	AUTH_NO = 2,	    /* wrong name or password: never which */
	AUTH_TEMPORARY = 3, /* cannot tell now, or no session to be had */
	AUTH_MALFORMED = 4, /* the client does not speak the mechanism */
};

struct auth_message {
	uint32_t magic;
	uint32_t kind;
	uint32_t verdict; /* of AUTH_VERDICT, else 0 */
	uint32_t length;
	uint8_t octets[AUTH_OCTETS_MAX];
};

/* Octets of a record with so many octets in it. */
#define AUTH_BEGIN_SIZE(length) (offsetof(struct auth_begin, octets) + (length))
#define AUTH_MESSAGE_SIZE(length) \
	(offsetof(struct auth_message, octets) + (length))

/* The mechanism's name in SASL; "" for a number that is none, and for APOP. */
const char *auth_mechanism_name(enum auth_mechanism mechanism);

/* The mechanism of a name, in any case; 0 if there is none. */
enum auth_mechanism auth_mechanism_find(const char *name, size_t len);

/*
 * A set of mechanisms, from the words of a setting: those above and APOP, divided
 * by blanks. Bit 1 << mechanism. Returns 0, or -1 with a sentence in why.
 */
int
auth_mechanisms_read(const char *words, uint32_t *set, char *why, size_t size);

/* Those of a set that can work on a channel, as "PLAIN LOGIN …". APOP, which is
 * no mechanism of SASL, is left out. NULL channel: no TLS. */
#define AUTH_LIST_MAX 128
void auth_mechanisms_list(uint32_t set, const struct auth_channel *channel,
	char list[AUTH_LIST_MAX]);

/* Whether a mechanism is in the set and can work on the channel. */
bool auth_mechanism_is_offered(uint32_t set, enum auth_mechanism mechanism,
	const struct auth_channel *channel);

/* What is offered where nothing is set. */
#define AUTH_MECHANISMS_DEFAULT \
	"SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN EXTERNAL"

/* --- the asker's side (lib/auth_ask.c) --- */

/*
 * Begins an exchange. Returns the connection, or -1 with errno (nobody knows
 * anything of the client then).
 */
int auth_open(const char *socket_path, const struct auth_begin *begin,
	int64_t deadline_ms);

/*
 * Receives the next challenge or verdict. 0 with a valid message, or -1 with
 * errno; ECONNRESET if authd has gone.
 */
int auth_receive(int fd, struct auth_message *message, int64_t deadline_ms);

/* Answers a challenge. 0, or -1 with errno. */
int
auth_respond(int fd, const void *octets, size_t length, int64_t deadline_ms);

/*
 * Has the session started after AUTH_YES, and receives the second verdict. After
 * -1 with *is_sent the session may have been started all the same: the
 * connection is then not the caller's any more. The descriptors stay its own.
 */
int auth_start(int fd, const int descriptor[3], int64_t deadline_ms,
	struct auth_message *message, bool *is_sent);

#endif
