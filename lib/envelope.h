#ifndef LIB_ENVELOPE_H
#define LIB_ENVELOPE_H

/*
 * The envelope of a message (RFC 5321 section 2.3.1) as it travels from a
 * submitter to queue-inject and as it stands in a message file: reverse-path,
 * parameters, origin, recipients. doc/queue.md gives the octets. This module
 * packs, unpacks and validates; it does not decide what is acceptable.
 *
 * Addresses are text: "local@domain" without brackets, the local part quoted
 * where it must be, the domain in lower case or a literal; "" is the null
 * reverse-path. No control character ever gets in.
 */

#include <stddef.h>
#include <stdint.h>
#include <skalibs/stralloc.h>

/* The longest address taken, in octets: qmail's bound, beyond RFC 5321's 256. */
#define ENVELOPE_ADDRESS_MAX 1000
/* The longest ENVID (RFC 3461 section 4.4) and ORCPT (4.2), in octets. */
#define ENVELOPE_ENVID_MAX 100
#define ENVELOPE_ORCPT_MAX 500
/* The longest text in an origin, in octets. */
#define ENVELOPE_ORIGIN_TEXT_MAX 600
/* The most recipients in one message, and the largest envelope, in octets. */
#define ENVELOPE_RECIPIENTS_MAX 100000
#define ENVELOPE_SIZE_MAX (64 * 1024 * 1024)

/*
 * The reverse-path of a double bounce, as qmail has it: a failure of such a
 * message is told to nobody. It never leaves this host; on the wire it is the
 * null reverse-path.
 */
#define ENVELOPE_DOUBLE_BOUNCE "#@[]"

enum envelope_body { BODY_7BIT = 0, BODY_8BITMIME = 1 };
enum envelope_ret { RET_NONE = 0, RET_FULL = 1, RET_HDRS = 2 };

/* RFC 3461 section 4.1; 0 means that NOTIFY was not given. */
enum envelope_notify {
	NOTIFY_NEVER = 1,
	NOTIFY_SUCCESS = 2,
	NOTIFY_FAILURE = 4,
	NOTIFY_DELAY = 8,
	NOTIFY_ALL = 15,
};

enum origin_kind {
	ORIGIN_LOCAL = 1,   /* a local user: uid is what the kernel says */
	ORIGIN_NETWORK = 2, /* a network client: the texts are smtpd's claim */
	ORIGIN_SUITE = 3,   /* the suite itself: bounces and forwards */
};

struct origin {
	enum origin_kind kind;
	uint32_t uid;	      /* of the submitter, from the kernel */
	char *client_address; /* texts: never NULL after unpacking; "" unknown */
	char *client_name;
	char *hello;
	char *protocol; /* the word after "with" in Received: ESMTP, … */
	char *authenticated;
	char *tls;
};

struct recipient {
	char *address; /* owned, NUL-terminated */
	uint8_t notify;
	char *orcpt; /* owned; "" if not given */
};

struct envelope {
	char *reverse_path; /* owned; "" is the null reverse-path */
	uint8_t body, smtputf8, requiretls, ret;
	char *envid; /* owned; "" if not given */
	struct origin origin;
	struct recipient *recipient; /* owned array */
	uint32_t recipients;
};

/* The empty envelope; freeing it is harmless. */
#define ENVELOPE_ZERO ((struct envelope){0})

/*
 * Append the records of the envelope to *into, origin included. Return 0, or -1
 * with errno ENOMEM, or EINVAL if a text is longer than its bound or holds a
 * control character. *into is unchanged on failure.
 */
int envelope_pack(const struct envelope *envelope, stralloc *into);

enum envelope_result {
	ENVELOPE_OK,
	ENVELOPE_BAD_FORMAT,  /* not records, wrong order, missing, unknown */
	ENVELOPE_BAD_ADDRESS, /* an address is too long or not one */
	ENVELOPE_NO_MEMORY,
};

/*
 * Reads an envelope from octets [0, size) and validates every part of it,
 * addresses included. The origin may be missing only if origin_optional (a
 * submission, before queue-inject adds it). On ENVELOPE_OK *envelope owns new
 * memory for envelope_free; otherwise it is the empty envelope.
 */
enum envelope_result envelope_unpack(const void *octets, size_t size,
	int origin_optional, struct envelope *envelope);

/* Whether text[0..length) can be a reverse-path: an address, "", one to be
 * expanded for each recipient (lib/verp.h), or ENVELOPE_DOUBLE_BOUNCE. */
int envelope_reverse_path_is_sound(const char *text, size_t length);

/* Add a recipient (copied). Return 0, or -1 with ENOMEM or E2BIG. */
int envelope_add_recipient(struct envelope *envelope, const char *address,
	uint8_t notify, const char *orcpt);

/* Frees what the envelope owns and makes it empty. Safe twice. */
void envelope_free(struct envelope *envelope);

#endif
