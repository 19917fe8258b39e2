#ifndef LOCAL_WARDEN_H
#define LOCAL_WARDEN_H

/*
 * What may be asked of the warden, the one root process. A request is one record
 * of fixed size on a SOCK_SEQPACKET connection to socket/warden, with
 * descriptors beside it. The warden checks the peer's uid against the kind,
 * forks, and in the child looks the account up again, refuses uid 0 and every
 * role's uid, becomes the account's owner for good, and only then does what was
 * asked. It answers nothing itself: what the child has to say goes through the
 * report descriptor that came with the request; its end without a report means
 * that the request was refused or the child died, which is temporary.
 *
 * The texts of the request are for the child after it has become the owner; the
 * warden itself reads only magic, kind and account.
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/envelope.h"
#include "lib/outcome.h"
#include "local/resolve.h"

#define WARDEN_MAGIC 0x6b776431u /* "kwd1" */

enum warden_kind {
	/*
	 * From _keep-local. Descriptors: the message file (read-only; content
	 * at content_offset, content_octets long), the report. The child
	 * delivers to address as the account's instructions say. If its report
	 * says so, it stays: where the report descriptor is a SOCK_SEQPACKET
	 * socket, it takes further requests for the same account there, each
	 * with one descriptor, the message file, until that end is closed.
	 */
	WARDEN_DELIVER = 1,
	/*
	 * From _keep-auth. Descriptors: the client's input, the client's output,
	 * the login part's connection. The child serves the account's maildrop.
	 */
	WARDEN_POP3 = 2,
	/*
	 * From _keep-resolve. Descriptor: the report. The child tells whether
	 * the account has instructions for this extension.
	 */
	WARDEN_LOOKUP = 3,
	/*
	 * The same. The child tells whether the account's mailbox is known to be
	 * full: it has a quota and no instructions of its own.
	 */
	WARDEN_ROOM = 4,
};

struct warden_request {
	uint32_t magic;
	uint32_t kind;
	char account[ACCOUNT_KEY_MAX];
	uint64_t content_offset;
	uint64_t content_octets;
	char id[24];			     /* message id, for log and name */
	char address[RESOLVE_TEXT_MAX];	     /* recipient, local@domain */
	char reverse_path[RESOLVE_TEXT_MAX]; /* "" null */
	char dash[4];
	char extension[RESOLVE_TEXT_MAX];
	char client[64]; /* POP3: client address for the log */
	/* A delivery: what a forward must carry on (lib/envelope.h). */
	char envid[ENVELOPE_ENVID_MAX + 4];
	char orcpt[ENVELOPE_ORCPT_MAX + 4];
	uint8_t notify, ret, requiretls;
	uint8_t reserved[5]; /* 0 */
};

/*
 * What a child writes to the report descriptor, whole, in one write. For a
 * delivery an outcome and its reply text ("2.0.0 …"); for a look-up
 * OUTCOME_DELIVERED (there are such instructions), OUTCOME_FAILED (there are
 * none) or OUTCOME_DEFERRED (cannot tell). For the room OUTCOME_DELIVERED, or what
 * a delivery would say now ("4.2.2 …" or "5.2.2 …"); any other text: cannot tell.
 */
struct warden_report {
	uint32_t magic;
	uint32_t outcome;
	uint32_t stays; /* 1: a delivery that takes another request */
	char text[OUTCOME_TEXT_MAX + 4];
};

/*
 * Sends a request with its descriptors over *fd, a connection to the warden that
 * is opened here when it is -1 and reopened once if the warden was restarted.
 * The descriptors stay the caller's to close. Returns 0, or -1 with errno: the
 * request did not reach the warden.
 */
int warden_ask(int *fd, const char *socket_path,
	const struct warden_request *request, const int *descriptor,
	unsigned descriptors, int64_t deadline_ms);

/*
 * Sends a request for the same account to a child that stays. 0, or -1 with
 * errno: it has gone.
 */
int
warden_ask_child(int report, const struct warden_request *request, int content);

/*
 * Reads a report that is ready (non-blocking). Returns 1 with the report (texts
 * NUL-terminated, outcome valid), 0 if the other end closed without one or wrote
 * nonsense, -1 with errno EAGAIN if nothing is there yet.
 */
int warden_report_read(int fd, struct warden_report *report);

#endif
