#ifndef QUEUE_SUBMIT_H
#define QUEUE_SUBMIT_H

/*
 * The way into the queue: the client side of the submit socket. smtpd, sendmail,
 * the qmail-queue compatible command, forwards and bounces all come through
 * here. One connection carries one submission:
 *
 *   client                          queue-inject
 *   'Q' u64 size (0 unknown),
 *       u8 flags               ->
 *                              <-   'G' id                      go ahead
 *                                or 'N' u8 code, text           refused
 *   'D' content octets, often  ->
 *   'E' envelope records       ->
 *                              <-   'A' id                      durable
 *                                or 'N' u8 code, text           refused
 *
 * Frames are those of lib/frames.h: u8 type, u32 length, payload; content frames
 * hold at most SUBMIT_CHUNK octets. A client that closes without 'E' has taken
 * the submission back. In place of 'Q', smtpd alone may send 'W' and a domain: its
 * mail is to be tried now; the answer is 'A' id, where the id is nobody's, or 'N'. The envelope is that of lib/envelope.h; its origin is
 * believed only from the role that may claim one, otherwise queue-inject
 * replaces it by what the kernel says of the peer. queue-inject ends every line
 * with LF alone (CR LF and bare CR become LF), ends the last line, and puts its
 * own Received field before the content unless the peer is smtpd or the runner
 * and says (SUBMIT_IS_TRACED) that the content begins with a trace field, or is a
 * report and has none. SUBMIT_IS_REPORT is believed from the runner alone: a
 * report goes into the reserve of room and processes that others may not use.
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/envelope.h"
#include "lib/outcome.h"

#define SUBMIT_CHUNK 65536
/* Flags of the question. */
#define SUBMIT_IS_TRACED 1
#define SUBMIT_IS_REPORT 2
/* Longest refusal text, in octets. */
#define SUBMIT_TEXT_MAX 200

struct submission {
	int fd;		       /* the connection; -1 when closed */
	int64_t deadline_ms;   /* of every wait; the caller may move it */
	char id[21];	       /* valid after submit_open */
	enum submit_code code; /* why it was refused, after a -1 */
	char text[SUBMIT_TEXT_MAX + 1]; /* the same for a person */
	size_t held;			/* octets in chunk */
	char chunk[SUBMIT_CHUNK];
};

#define SUBMISSION_CLOSED(submission) ((submission)->fd = -1)

/*
 * Connects to the socket at path, asks "may I?" for so many octets (0 unknown),
 * and waits for the go-ahead. Returns 0 with the message's id in
 * submission->id, or -1 with code and text set (SUBMIT_CONNECTION if the service
 * cannot be reached) and the connection closed.
 */
int submit_open(struct submission *submission, const char *path,
	uint64_t size_octets, int64_t deadline_ms);

/* The same for smtpd, whose content begins with its own trace field. */
int submit_open_traced(struct submission *submission, const char *path,
	uint64_t size_octets, int64_t deadline_ms);

/* The same for the runner's reports, which are let in when others are not. */
int submit_open_report(struct submission *submission, const char *path,
	uint64_t size_octets, int64_t deadline_ms);

/* Sends content; buffered. 0, or -1 as above (closed). */
int submit_content(
	struct submission *submission, const void *octets, size_t length);

/*
 * Says that the submitter is still there, to a service that would give it up
 * after a while of silence: an empty piece of content. 0, or -1 as above.
 */
int submit_still_there(struct submission *submission);

/*
 * Sends the envelope and waits for the answer. 0: the message is durable and the
 * id stands for it. -1: it is not (code and text set); if the answer was lost
 * after the envelope was sent, code is SUBMIT_CONNECTION and the message may
 * have been accepted all the same. The connection is closed either way.
 */
int
submit_finish(struct submission *submission, const struct envelope *envelope);

/*
 * For smtpd: asks that mail for a domain, in lower case, is tried now; for the
 * domain and all below it if it begins with a dot. 0, or -1 with code and text;
 * nothing is open either way. Nothing says whether there is such mail.
 */
int submit_retry(struct submission *submission, const char *path,
	const char *domain, int64_t deadline_ms);

/* Takes the submission back, if it is open. Safe twice. */
void submit_abandon(struct submission *submission);

/*
 * For the other side: refuses, with a text of which SUBMIT_TEXT_MAX - 1 octets
 * are sent. Whoever does not wait for its refusal loses it. Always -1.
 */
int submit_refuse(int connection, enum submit_code code, const char *text,
	int64_t deadline_ms);

#endif
