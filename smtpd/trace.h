#ifndef SMTPD_TRACE_H
#define SMTPD_TRACE_H

/*
 * The Received field that a server puts before a message (RFC 5321 section
 * 4.4): how, when and from whom it came. What the client said of itself is
 * made harmless first.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A buffer of this size holds any field that trace_write makes. */
#define TRACE_MAX 4096

struct trace {
	const char *hello;    /* the argument of HELO or EHLO */
	const char *name;     /* the client's name by DNS, or "unknown" */
	const char *address;  /* its IP address, or "unknown" */
	const char *me;	      /* this host */
	const char *protocol; /* the word after "with": trace_protocol */
	const char *id;
	const char *recipient; /* the only one, as text; NULL if not so */
	int64_t time_s;
	bool is_hidden; /* nothing of the client stands in it */
	/* RFC 8314 section 4.3; NULL or "" without TLS. */
	const char *cipher;
	const char *login; /* who has logged in; NULL or "" is left out */
};

/*
 * The word after "with": SMTP, ESMTP with S for TLS and A for authentication
 * behind it (RFC 3848), or UTF8SMTP with the same (RFC 6531 section 4.3).
 */
const char *trace_protocol(
	bool is_extended, bool is_utf8, bool has_tls, bool is_authenticated);

/*
 * Writes the field, with LF line ends and a NUL after it, into buffer[0..size);
 * texts are cut at 255 octets, the recipient left out if it is longer than
 * 512. Returns its length without the NUL; 0 if size is too small (TRACE_MAX
 * never is).
 */
size_t trace_write(char *buffer, size_t size, const struct trace *trace);

#endif
