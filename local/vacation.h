#ifndef LOCAL_VACATION_H
#define LOCAL_VACATION_H

/*
 * Whom an automatic answer may go to, RFC 3834 section 2, and whom it has gone to
 * before.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/address.h"

#define VACATION_NAMES_MAX 100
#define VACATION_SUBJECT_MAX 300

struct vacation {
	/* Addresses that are the responder's: one of them must be among the
	 * recipients in the header. */
	struct path name[VACATION_NAMES_MAX];
	unsigned names;
	/* Of the message: "" if it has none; printable ASCII. */
	char subject[VACATION_SUBJECT_MAX];
	char ident[500];      /* of Message-ID */
	char references[500]; /* of References, or of In-Reply-To */
};

/* Adds an address. 0, or -1: it is none, or there are too many. */
int vacation_add_name(struct vacation *vacation, const char *address);

/*
 * Whether the message with this header block and reverse-path should be answered.
 * Not if it has no sender, comes from a list or a program, or from the responder
 * itself, or names none of the names in To, Cc, Resent-To or Resent-Cc. Fills in
 * what an answer needs. On false *why says why not.
 */
bool vacation_may_answer(struct vacation *vacation, const char *block,
	size_t length, const char *sender, const char **why);

/* --- who has had an answer: a file of lines "SECONDS ADDRESS" --- */

enum vacation_seen {
	VACATION_NEW,	 /* it is noted now, durably */
	VACATION_SEEN,	 /* it has had one in the time */
	VACATION_FAILED, /* errno */
};

/* The most addresses that are kept; then the oldest half goes. */
#define VACATION_SEEN_MAX 20000

/*
 * Looks the sender up in the file below folder, and notes it with now_s unless it
 * was noted less than for_s seconds ago. The file stays locked in *fd, the caller's
 * to close, and *length is what it had before.
 */
enum vacation_seen
vacation_note(int folder, const char *name, const char *sender, int64_t now_s,
	int64_t for_s, int *fd, int64_t *length);

/* Takes the note back: there was no answer after all. */
void vacation_forget(int fd, int64_t length);

#endif
