#ifndef REMOTE_LOOKUP_H
#define REMOTE_LOOKUP_H

/*
 * What smtpd wants to know from DNS, and of names, asked of the service `lookup`,
 * so that a process that strangers talk to has no way to the network, and no
 * tables of Unicode. The socket
 * (socket/lookup) is SOCK_SEQPACKET: one record asks, one answers, and the
 * connection ends.
 */

#include <stdint.h>

#define LOOKUP_MAGIC 0x6b6c7531u /* "klu1" */
#define LOOKUP_DOMAIN_MAX 256

enum lookup_kind {
	LOOKUP_MAIL_DOMAIN = 1, /* can mail to this domain exist? */
	LOOKUP_ASCII = 2,	/* its name in A-labels; DNS is not asked */
};

struct lookup_question {
	uint32_t magic;
	uint32_t kind;			/* enum lookup_kind */
	char domain[LOOKUP_DOMAIN_MAX]; /* NUL-terminated */
};

enum lookup_meaning {
	LOOKUP_EXISTS = 1, /* an MX record, or an address where there is none */
	LOOKUP_NO_DOMAIN = 2, /* no such name, or neither MX nor address; or
				 not a name at all */
	LOOKUP_NULL_MX = 3,   /* it takes no mail: RFC 7505 */
	LOOKUP_TEMPORARY = 4, /* cannot tell now: text says why */
};

struct lookup_answer {
	uint32_t magic;
	uint32_t meaning; /* enum lookup_meaning */
	char text[256];	  /* for the log, for all but EXISTS; of ASCII, then the
			     name */
};

/*
 * Asks about a domain. Whatever goes wrong is LOOKUP_TEMPORARY, with a text;
 * *answer is sound in any case.
 */
void lookup_mail_domain(const char *socket_path, const char *domain,
	int64_t deadline_ms, struct lookup_answer *answer);

/*
 * The same for a domain of UTF-8 (RFC 6531) that is wanted in A-labels: with
 * LOOKUP_EXISTS answer->text is a valid domain of ASCII, whether it exists or not.
 */
void lookup_ascii(const char *socket_path, const char *domain,
	int64_t deadline_ms, struct lookup_answer *answer);

#endif
