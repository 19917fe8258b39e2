#ifndef POP3D_RETRIEVE_H
#define POP3D_RETRIEVE_H

/*
 * RETR and TOP (RFC 1939 sections 5 and 7): one message from its file to the
 * client in blocks of fixed size, encoded by lib/dots.h.
 */

#include <stdint.h>
#include "lib/output.h"
#include "pop3d/maildrop.h"

/* For lines: the whole message (RETR). */
#define RETRIEVE_ALL UINT64_MAX

enum retrieve_result {
	RETRIEVE_SENT, /* "+OK", the message, the final dot: all put */
	RETRIEVE_NONE, /* nothing put: the file is gone or unreadable: errno */
	RETRIEVE_TROUBLE, /* the file failed in the middle: errno (ENODATA: it
			     became shorter). There is no final dot: close. */
	RETRIEVE_LOST,	  /* the client failed: errno. Close. */
};

/*
 * Answers RETR (lines is RETRIEVE_ALL) or TOP (the header, the empty line after
 * it and lines lines of the body). The size in the answer to RETR is that of
 * maildrop_octets, and left out if the file has changed since it was listed.
 * The client may take idle_ms for each buffer of output.
 */
enum retrieve_result
retrieve_message(struct maildrop *drop, struct maildrop_message *message,
	uint64_t lines, struct output *output, int64_t idle_ms);

#endif
