#ifndef TOOLS_AUTH_LIMITS_H
#define TOOLS_AUTH_LIMITS_H

/*
 * What keeps guessing slow and cheap, between the processes of authd: memory that
 * they share, and locks that end with the process that has them.
 *
 * Slots: so many passwords are checked at the same time, and the others wait.
 *
 * Failures are counted for each client's address (an IPv6 client: its /64) and
 * for each name, whether it exists or not; each is forgotten after a minute. Once
 * there are more than a few, the next tries from the address wait, one behind the
 * other, up to LIMITS_SPACE_MAX_MS apart; who would have to wait longer than
 * LIMITS_WAIT_MAX_MS is told to come again. Tries for a name with many failures
 * wait a little, side by side, whoever makes them, and are never refused: nobody
 * can keep another out. Who has logged in from an address before does not wait
 * there, until too many tries fail.
 *
 * The tables are of fixed size; what has least to say goes first.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/digest.h"

#define LIMITS_SLOTS_MAX 1000
/* How long a failure counts, and how many count at most. */
#define LIMITS_FAILURE_MS (60 * 1000)
#define LIMITS_FAILURES_MAX 32
#define LIMITS_SPACE_FIRST_MS 250
#define LIMITS_SPACE_MAX_MS 4000
#define LIMITS_WAIT_MAX_MS 10000
#define LIMITS_NAME_FIRST_MS 100
#define LIMITS_NAME_MAX_MS 2000
/* How long a login is remembered, and the failures that it survives. */
#define LIMITS_KNOWN_MS (INT64_C(30) * 24 * 3600 * 1000)
#define LIMITS_KNOWN_FAILURES 10

#define LIMITS_SETS 1024
#define LIMITS_WAYS 8

struct auth_limits_entry {
	uint64_t key;	   /* 0: free */
	int64_t until_ms;  /* when nothing is left of it */
	int64_t next_ms;   /* addresses: when the next try may begin */
	uint32_t failures; /* known logins only */
};

struct auth_limits_tables {
	struct auth_limits_entry tries[LIMITS_SETS][LIMITS_WAYS];
	struct auth_limits_entry known[LIMITS_SETS][LIMITS_WAYS];
};

struct auth_limits {
	int locks; /* a file of no name, for its locks alone */
	unsigned slots;
	int64_t free_failures; /* before anything is slowed down */
	uint8_t secret[DIGEST_SHA256];
	struct auth_limits_tables *tables; /* shared */
};

/*
 * Makes them, before any process is forked that uses them. 0, or -1 with errno.
 */
int auth_limits_open(
	struct auth_limits *limits, unsigned slots, int64_t free_failures);
void auth_limits_close(struct auth_limits *limits);

/*
 * How long a try for name from client has to wait, in milliseconds, and -1 if it
 * would be too long: no try then. Counts it as made. now_ms as deadline_now_ms.
 */
int auth_limits_delay(const struct auth_limits *limits, const char *client,
	const char *name, int64_t now_ms);

/* Takes note of how a try ended. */
void auth_limits_note(const struct auth_limits *limits, const char *client,
	const char *name, bool is_right, int64_t now_ms);

/*
 * Waits for a slot until the deadline. Returns it, or -1 with errno; ETIMEDOUT if
 * there was none. It ends with the process, too.
 */
int
auth_limits_take_slot(const struct auth_limits *limits, int64_t deadline_ms);
void auth_limits_give_slot(const struct auth_limits *limits, int slot);

#endif
