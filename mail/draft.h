#ifndef MAIL_DRAFT_H
#define MAIL_DRAFT_H

/*
 * What a caller may put into a message that is to be sent: the checks that keep
 * one value from becoming another field, and the choice of an encoding.
 */

#include <stddef.h>
#include <skalibs/stralloc.h>

/*
 * Whether a text may be the value of a field, or a name: UTF-8 without control
 * characters (no CR, LF, NUL, tab, DEL, C1), at most 60000 octets, and no word
 * above 900 octets, which could not be folded (RFC 5322 section 2.1.1).
 */
int draft_value_ok(const char *text);

/*
 * Cuts "Name: value" in two. 0 with *name_len and *value, or -1: it has no colon,
 * the name is none (RFC 5322 section 3.6.8), or it is one that mail-send writes
 * itself or that no author writes (Received, Return-Path, Resent-, Content-).
 */
int draft_header(const char *text, size_t *name_len, const char **value);

/*
 * Appends the raw body of a field with its line end and a NUL: a space, the value,
 * and line ends before spaces where lines would go beyond 76 octets. The first line
 * has `used` octets already. 0, or -1 with errno ENOMEM.
 */
int draft_fold(const char *value, size_t used, stralloc *into);

enum draft_encoding {
	DRAFT_AUTO,
	DRAFT_7BIT,
	DRAFT_8BIT,
	DRAFT_QUOTED,
	DRAFT_BASE64,
};

/* The encoding of a name ("7bit", "quoted-printable"); -1 if it is none. */
int draft_encoding_named(const char *name);

/*
 * The encoding for a text with LF line ends: as wanted, or with DRAFT_AUTO 7bit if
 * it can travel so, base64 if a fifth of it is no ASCII or if a line begins as a
 * separator of an mbox does, else quoted-printable. -1 if it cannot be as wanted:
 * octets that are no ASCII (7bit), a CR, or lines above 998 octets.
 */
int draft_choose(const char *text, size_t len, enum draft_encoding wanted);

/*
 * Appends a text made fit for sending: LF for CRLF, and an LF at its end. 0, or -1
 * with errno: ENOMEM, or EINVAL (it is no UTF-8, or has a NUL).
 */
int draft_text(const char *text, size_t len, stralloc *into);

/* Whether the message, LF line ends, is one that any host takes: no line above 998
 * octets, no NUL, no bare CR, and a header of ASCII. */
int draft_message_ok(const char *message, size_t len);

/* Whether a text is a type of media: "type/subtype" (RFC 2045 section 5.1). */
int draft_is_type(const char *text, size_t len);

#endif
