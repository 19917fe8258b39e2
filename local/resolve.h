#ifndef LOCAL_RESOLVE_H
#define LOCAL_RESOLVE_H

/*
 * What an address means: the question that smtpd asks at RCPT and `local` asks
 * before it delivers, answered by the one service `resolve` that knows every
 * address. The socket (socket/resolve) is SOCK_SEQPACKET: one record is one
 * question or answer; many may follow each other on one connection, each
 * answered in turn.
 */

#include <stddef.h>
#include <stdint.h>

#define RESOLVE_MAGIC 0x6b727332u      /* "krs2" */
#define RESOLVE_STEP_MAGIC 0x6b727374u /* "krst" */
#define RESOLVE_TEXT_MAX 1024
#define ACCOUNT_KEY_MAX 256

/* What a question asks for besides. */
#define RESOLVE_STEPS 1u /* steps come before the answer (root's alone) */
#define RESOLVE_ROOM 2u	 /* whether the mailbox is full */

struct resolve_question {
	uint32_t magic;
	uint32_t asks;			/* RESOLVE_STEPS, RESOLVE_ROOM */
	char address[RESOLVE_TEXT_MAX]; /* local@domain, NUL-terminated */
};

/* One step of the decision. */
struct resolve_step {
	uint32_t magic; /* RESOLVE_STEP_MAGIC */
	uint32_t line;	/* 0: none */
	char file[64];	/* below the home, or absolute; "" if none decided */
	char text[640];
};

enum resolve_meaning {
	RESOLVE_ACCOUNT = 1,  /* an account takes it */
	RESOLVE_NOT_OURS = 2, /* the domain is not local: it goes elsewhere */
	RESOLVE_NOBODY = 3, /* the domain is ours, and nobody has the address */
	RESOLVE_TEMPORARY = 4, /* cannot tell now: text says why */
};

/* Only what is known for certain: whoever was not asked, or cannot tell, has room. */
enum resolve_room {
	RESOLVE_HAS_ROOM = 0,
	RESOLVE_FULL_NOW = 1, /* 4.2.2 */
	RESOLVE_FULL = 2,     /* 5.2.2 */
};

struct resolve_answer {
	uint32_t magic;
	uint32_t meaning; /* enum resolve_meaning */
	uint32_t domain;  /* enum ours_kind: by what the domain is ours */
	uint32_t room;	  /* enum resolve_room; of ACCOUNT alone */
	uint64_t version; /* of the databases: another one after a change */
	/*
	 * The account, as the warden looks it up again: the keys stand in
	 * local/account.h. Then the dash and the extension that choose its .qmail file (both "" for
	 * the account's own address).
	 */
	char account[ACCOUNT_KEY_MAX];
	char dash[4];
	char extension[RESOLVE_TEXT_MAX];
	char text[256]; /* reason for a person, for NOBODY and TEMPORARY */
};

/*
 * Ask over a connection (*fd, opened here when it is -1, and closed and set to
 * -1 on trouble, so that the next question opens a new one). Returns 0 with the
 * answer, every text of it NUL-terminated and the meaning valid; or -1 with errno
 * when the service cannot be reached in time or answers nonsense, which the
 * caller treats as temporary.
 */
int resolve_ask(int *fd, const char *socket_path, const char *address,
	uint32_t asks, int64_t deadline_ms, struct resolve_answer *answer);

/*
 * The same in two parts, for who has other things to do meanwhile. resolve_send
 * sends the question over *fd (as resolve_ask opens and closes it): 0, or -1 with
 * errno. resolve_receive takes the answer that is ready: 1 with it; 0 with errno
 * when none will come (the caller closes fd and asks again or gives up); -1 when
 * none is there yet. One question at a time on a connection.
 */
int resolve_send(int *fd, const char *socket_path, const char *address,
	uint32_t asks, int64_t deadline_ms);
int resolve_receive(int fd, struct resolve_answer *answer);

/*
 * Asks for the answer and how it came about: calls step for each step, in order.
 * Returns as resolve_ask does, on a connection of its own.
 */
int resolve_explain(const char *socket_path, const char *address,
	int64_t deadline_ms,
	void (*step)(void *context, const struct resolve_step *step),
	void *context, struct resolve_answer *answer);

#endif
