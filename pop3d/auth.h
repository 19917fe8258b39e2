#ifndef POP3D_AUTH_H
#define POP3D_AUTH_H

/*
 * The question to authd: is this name's password right? One SOCK_SEQPACKET record
 * on socket/auth. For POP3 the client's descriptors (input, output) and the login
 * part's end of a socket pair come beside it; on success authd hands them to the
 * warden, which starts the session part, and answers AUTH_YES. authd alone reads
 * the user database's secrets.
 */

#include <stddef.h>
#include <stdint.h>

#define AUTH_MAGIC 0x6b617531u /* "kau1" */
#define AUTH_NAME_MAX 256
#define AUTH_PASSWORD_MAX 512

struct auth_question {
	uint32_t magic;
	uint32_t service; /* enum auth_service */
	char name[AUTH_NAME_MAX];
	char password[AUTH_PASSWORD_MAX];
	char client[64]; /* client address, for log and limits */
};

enum auth_service {
	AUTH_SERVICE_POP3 = 1,	/* with descriptors: start a session */
	AUTH_SERVICE_CHECK = 2, /* only tell */
};

enum auth_verdict {
	AUTH_YES = 1,
	AUTH_NO = 2,	    /* wrong name or password: never which */
	AUTH_TEMPORARY = 3, /* cannot tell now, or no session to be had */
};

struct auth_answer {
	uint32_t magic;
	uint32_t verdict;
	char account[AUTH_NAME_MAX]; /* its proper name, after AUTH_YES */
};

/*
 * Asks authd. The descriptors (0 or 3) stay the caller's to close. Returns 0 with
 * a valid answer, or -1 with errno (treated as temporary).
 */
int auth_ask(const char *socket_path, const struct auth_question *question,
	const int *descriptor, unsigned descriptors, int64_t deadline_ms,
	struct auth_answer *answer);

#endif
