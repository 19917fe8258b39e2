#ifndef LIB_COUNTER_H
#define LIB_COUNTER_H

/*
 * Counters that many processes share: how much of something has happened within
 * a window of time, and how many hold something just now. They are kept by
 * countd, or by whatever else answers on its socket: nothing here knows where.
 *
 * A counter's name is a key, 1 to COUNTER_KEY_MAX octets of printable ASCII such
 * as "messages 192.0.2.1", and a window in seconds: the same key with another
 * window is another counter. Windows slide: a total takes what happened in the
 * window before the present one as spread evenly over it, and counts the part
 * that has not slid out. Their clock is monotonic.
 *
 * On the socket (SOCK_SEQPACKET) a question and its answer are one record each,
 * of fixed size, in the host's own order of octets.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNTER_MAGIC 0x6b636e31u
#define COUNTER_KEY_MAX 95
#define COUNTER_WINDOW_MAX (7 * 86400)
#define COUNTER_AMOUNT_MAX 1000000
/* How much one connection may hold at a time. */
#define COUNTER_HOLDS_MAX 8

enum counter_operation {
	COUNTER_ADD = 1,  /* amount, 0 to look only, within window_s */
	COUNTER_HOLD = 2, /* one, until the connection is closed */
};

struct counter_question {
	uint32_t magic;
	uint32_t operation; /* enum counter_operation */
	uint32_t amount;    /* of COUNTER_ADD; else 0 */
	uint32_t window_s; /* of COUNTER_ADD, 1 to COUNTER_WINDOW_MAX; else 0 */
	char key[COUNTER_KEY_MAX + 1]; /* zero after its end */
};

enum counter_status {
	COUNTER_OK = 1,
	COUNTER_FULL = 2, /* not counted: no room, or too many holds */
};

struct counter_answer {
	uint32_t magic;
	uint32_t status; /* enum counter_status */
	uint64_t total;	 /* with what was just added or is now held */
};

/* Whether octets[0..len) are a question in order; then *question is it. */
bool counter_question_read(
	const void *octets, size_t len, struct counter_question *question);

/* One connection to the counters. Initialise with COUNTER_CLOSED. */
struct counter {
	int fd;
	unsigned holds;
	char hold[COUNTER_HOLDS_MAX][COUNTER_KEY_MAX + 1];
};

#define COUNTER_CLOSED(which) (*(which) = (struct counter){.fd = -1})

/*
 * Adds amount to a counter; *total is then what the window holds, amount
 * included. Connects if there is no connection, and holds again then what was
 * held before, so that a service that was started again knows of it. Returns 0,
 * or -1 with errno: EINVAL for a bad key or window, ENOSPC if nothing more can
 * be counted, ETIMEDOUT, EPROTO, or the socket's; it is not known then whether
 * it was counted.
 */
int counter_add(struct counter *counter, const char *socket_path,
	const char *key, uint32_t amount, uint32_t window_s,
	int64_t deadline_ms, uint64_t *total);

/*
 * Holds one of key until counter_close or the end of this process, however it
 * ends; *total is how many are held, by anybody. Returns as counter_add.
 */
int counter_hold(struct counter *counter, const char *socket_path,
	const char *key, int64_t deadline_ms, uint64_t *total);

/* Closes the connection and gives back what it held. Safe twice. */
void counter_close(struct counter *counter);

#endif
