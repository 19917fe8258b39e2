#ifndef POP3D_RETRIEVE_H
#define POP3D_RETRIEVE_H

/*
 * RETR and TOP (RFC 1939 sections 5 and 7): one message from its file to the
 * client in blocks of fixed size, encoded by lib/dots.h.
 */

#include <stdbool.h>
#include <stdint.h>
#include "lib/output.h"
#include "pop3d/maildrop.h"

/* For lines: the whole message. */
#define RETRIEVE_ALL UINT64_MAX

enum retrieve_result {
	RETRIEVE_SENT, /* "+OK", the message, the final dot: all put */
	RETRIEVE_NONE, /* nothing put: the file is gone or unreadable: errno */
	RETRIEVE_TROUBLE, /* the file failed in the middle: errno (ENODATA: it
			     became shorter). There is no final dot: close. */
	RETRIEVE_LOST,	  /* the client failed: errno. Close. */
};

struct retrieve_how {
	uint64_t lines; /* of the body: TOP; or RETRIEVE_ALL: RETR */
	/* The client takes UTF-8 in the header. For others (RFC 6856 section 5)
	 * each of its octets becomes "?" there: that keeps the size which LIST
	 * told. Octets that are not UTF-8 are sent as they are stored. */
	bool takes_utf8;
	int64_t idle_ms; /* the client may take so long for each buffer */
};

/*
 * Answers RETR or TOP (the header, the empty line after it and so many lines of
 * the body). The size in the answer to RETR is that of maildrop_octets, and left
 * out if the file is not what that was taken from.
 */
enum retrieve_result
retrieve_message(struct maildrop *drop, struct maildrop_message *message,
	const struct retrieve_how *how, struct output *output);

#endif
