#ifndef QUEUE_REPORT_H
#define QUEUE_REPORT_H

/*
 * The text of a report about a message: multipart/report (RFC 6522) of words
 * for people, a delivery status for programs (RFC 3464, fields of RFC 3461), and
 * the message that it is about or its header; with the forms of RFC 6533 where
 * an address or a header needs UTF-8.
 *
 * The words keep the shape that programs look for since qmail: a paragraph that
 * begins with "<address>:" for each recipient, then a paragraph that begins with
 * "--- ".
 *
 * What a stranger said (a server's reply, an address, the message) reaches the
 * report only as printable ASCII or checked UTF-8, cut to REPORT_DIAGNOSTIC_MAX;
 * the returned message as it is, below a boundary that does not occur in it.
 * The report says how many octets it has of what is not ASCII: 7-bit where it
 * can be, else 8-bit and is_8bit is set.
 *
 * Nothing here decides who gets a report, or sends it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/envelope.h"
#include "lib/outcome.h"
#include "lib/settings.h"

/* The most octets of a header that go back. */
#define REPORT_HEADER_MAX 65536
/* The most octets of a server's words in Diagnostic-Code. */
#define REPORT_DIAGNOSTIC_MAX 800
/* Enough for a status code: "5.123.456". */
#define REPORT_STATUS_SIZE 12
#define REPORT_BOUNDARY_SIZE 48

/* What stands before the last answer in the text of a recipient that was given
 * up; the last answer is the remote server's, if it was one's. */
#define REPORT_EXPIRED_TEXT                            \
	"5.4.7 undeliverable for too long, given up; " \
	"the last answer was: "

/* A field of a double bounce, by which it is known again whoever forwards it. */
#define REPORT_DOUBLE_FIELD "X-Keepmail-Report: double bounce"

enum report_kind {
	REPORT_FAILED,	/* it will not arrive */
	REPORT_DELAYED, /* it may still */
	REPORT_ARRIVED, /* it is delivered, relayed or expanded */
};

struct report_recipient {
	const char *address;  /* forward-path as text */
	const char *orcpt;    /* in xtext, as it came; "" if not given */
	enum outcome outcome; /* says the action in REPORT_ARRIVED */
	const char *text;     /* latest reply text */
	uint64_t attempt_ms;  /* latest attempt; 0: none */
};

/* All texts belong to the caller. */
struct report {
	enum report_kind kind;
	bool is_double; /* goes to the administrator, about a bounce */
	const char *me; /* this host's name */
	const char *from_local, *from_host;
	const char *to;
	const char *id;	       /* of the report: its Message-ID */
	const char *about;     /* the queue id of the message */
	const char *envid;     /* in xtext, as it came; "" if not given */
	bool smtputf8;	       /* it was submitted with SMTPUTF8 */
	enum envelope_ret ret; /* what to return of it */
	uint64_t whole_max;    /* without RET: whole up to so many octets */
	int64_t now_s, arrival_s;
	int64_t retry_until_s;		       /* REPORT_DELAYED */
	const struct setting_list *bouncetext; /* NULL: nothing to insert */
	const struct report_recipient *recipient;
	size_t recipients;
	/* The message's content, read with pread. */
	int fd;
	uint64_t offset, octets;

	/* Set by report_prepare. */
	bool is_8bit;	    /* the report needs 8BITMIME */
	bool needs_utf8;    /* …and SMTPUTF8: its own header has UTF-8 */
	bool returns_whole; /* the message goes back whole, else its header */
	bool returns_8bit, words_8bit, status_8bit;
	uint64_t return_octets; /* of the content, from its start */
	char boundary[REPORT_BOUNDARY_SIZE];
};

/*
 * Looks at all of it and sets what the caller needs before report_write. Returns
 * 0; or -1 with errno: ENOMEM, or that of reading the message (EIO if it is
 * shorter than promised).
 */
int report_prepare(struct report *report);

/* Takes octets; 0, or -1 to end the report there. */
typedef int report_put(void *context, const void *octets, size_t length);

/*
 * Writes the report, header first, in stored form (LF line ends). Returns 0; or
 * -1 if put did, or with errno as above.
 */
int report_write(const struct report *report, report_put *put, void *context);

/* --- for the files of this module --- */

#define REPORT_BLOCK_OCTETS 65536

/* Reads a block of the content from octet at, not beyond end. Returns its
 * octets, or -1 with errno; never 0. */
ssize_t report_read(
	const struct report *report, uint64_t at, uint64_t end, char *block);

/* Whether some octet is not ASCII. */
bool report_has_8bit(const char *text);

/* Whether a line can be shown as it is: UTF-8 without control characters. */
bool report_line_is_utf8(const char *line);

/* --- what a reply text says --- */

struct report_verdict {
	char status[REPORT_STATUS_SIZE]; /* RFC 3463 */
	bool is_smtp;			 /* a remote server said it */
	char host[256];			 /* of that server; "" if not known */
	char address[64];		 /* its address, or "" */
	/* The words, printable ASCII, without what was added about the host. */
	char words[REPORT_DIAGNOSTIC_MAX + 1];
};

/*
 * Reads an outcome's text: an SMTP reply "550 5.1.1 words (host NAME [ADDRESS])"
 * as remote writes it, or words of our own that may begin with a status code.
 * class is the first digit that the status must have: 2, 4 or 5. A code of
 * another class gets that one; without a code it follows from the reply code, or
 * is class.0.0.
 */
void report_judge(const char *text, char class, struct report_verdict *verdict);

#endif
