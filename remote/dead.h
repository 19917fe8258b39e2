#ifndef REMOTE_DEAD_H
#define REMOTE_DEAD_H

/*
 * Addresses that do not answer, known to all workers of remote: no message waits
 * for a connection that the one before has waited for in vain.
 *
 * What counts is a connection that timed out, or that the network says leads to no
 * host (EHOSTUNREACH). ENETUNREACH does not: it costs no time, and mostly speaks of
 * this host. After DEAD_FAILURES such failures, each of a connection begun after the
 * one before was known, the address is left out for DEAD_FIRST_MS, and after each
 * further one for twice as long, up to DEAD_LAST_MS; each time up to a quarter
 * longer, at random. Then one worker tries it, and the others wait for what comes
 * of that. Any answer, a refused connection too, makes it good again.
 *
 * If all addresses of a destination are left out, one of them is tried all the same,
 * but no address more often than each DEAD_PROBE_MS: so none is left out for ever,
 * and what waits for them costs one connection in that time.
 *
 * The table is the parent's; a worker has it as it was when it was forked, and tells
 * what it finds in records of struct dead_note. A worker has listened to strangers
 * and may be another's: what it says is believed only of its first DEAD_NOTES_MAX
 * notes, and can do no more than put off mail.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define DEAD_MAGIC 0x6b726461u	   /* "krda" */
#define DEAD_ASK_MAGIC 0x6b726471u /* "krdq" */
/* Addresses; of more the one whose time is nearest gives way. */
#define DEAD_MAX 2000
#define DEAD_NOTES_MAX 100
#define DEAD_FAILURES 2
#define DEAD_FIRST_MS (5 * 60 * 1000)
#define DEAD_LAST_MS (60 * 60 * 1000)
#define DEAD_PROBE_MS (60 * 1000)
/* A failure is forgotten so long after it, or after the time of the address. */
#define DEAD_FORGET_MS (2 * 60 * 60 * 1000)

/* An address and port. */
struct dead_key {
	uint32_t family;     /* 4 or 6 */
	uint32_t port;	     /* host order; 0: none */
	uint8_t address[16]; /* of 4 the first four, the others 0 */
};

enum dead_event {
	DEAD_TRIED = 1, /* a connection is begun */
	DEAD_FAILED,	/* and has failed in a way that counts */
	DEAD_ANSWERED,	/* somebody is there */
};

struct dead_note {
	uint32_t magic;
	uint32_t event; /* enum dead_event */
	struct dead_key key;
	int64_t begun_ms; /* when the connection was; monotonic */
};

struct dead {
	struct dead *next;
	struct dead_key key;
	uint32_t failures;
	int64_t since_ms; /* of the first failure; all monotonic */
	int64_t failed_ms;
	int64_t tried_ms;
	int64_t until_ms; /* left out until then */
};

/* Start it zeroed. */
struct dead_table {
	struct dead *first;
	unsigned count;
};

/* --- what a worker tells --- */

/* Makes a note of the address, which is IPv4 or IPv6 with a port. */
void dead_tell(const struct sockaddr_storage *address, enum dead_event event,
	int64_t begun_ms, struct dead_note *note);

/* Reads len octets as a note. 0, or -1 if they are none. */
int dead_read(const void *octets, size_t len, struct dead_note *note);

/* --- the table --- */

/*
 * Takes what the note says; random is any number. Returns what is known of the
 * address if it has just been found dead (again), else NULL.
 */
const struct dead *dead_take(struct dead_table *table,
	const struct dead_note *note, int64_t now_ms, uint32_t random);

/* What is known of the address, or NULL. */
const struct dead *dead_find(
	const struct dead_table *table, const struct sockaddr_storage *address);

/* Whether it is left out while there are others. */
bool dead_is_out(const struct dead *dead, int64_t now_ms);

/* Whether it may be tried although it is left out. */
bool dead_may_probe(const struct dead *dead, int64_t now_ms);

/* Forgets the address at all its ports, or with family 0 every one. Returns how
 * many were known. */
unsigned dead_clear(struct dead_table *table, const struct dead_key *key);

/* --- the question of dead-addresses, and the answer --- */

enum dead_operation { DEAD_LIST = 1, DEAD_CLEAR };

struct dead_question {
	uint32_t magic;
	uint32_t operation;
	struct dead_key key; /* to be cleared; family 0: all. Its port is 0 */
};

/* Only of what is dead, not of what failed once. */
struct dead_row {
	struct dead_key key;
	uint32_t failures;
	uint32_t none;
	int64_t since_s; /* seconds of the wall clock */
	int64_t until_s;
};

struct dead_answer {
	uint32_t magic;
	uint32_t count; /* of row; of DEAD_CLEAR: how many were known */
	struct dead_row row[DEAD_MAX];
};

/* Reads len octets as a question. 0, or -1 if they are none. */
int dead_question_read(
	const void *octets, size_t len, struct dead_question *question);

/* Carries the question out. Returns the octets of *answer that are to be sent. */
size_t
dead_answer(struct dead_table *table, const struct dead_question *question,
	int64_t now_ms, int64_t now_s, struct dead_answer *answer);

/* Whether len octets of *answer are the answer to the question. */
bool dead_answer_is_sound(const struct dead_answer *answer, size_t len,
	const struct dead_question *question);

/* The address without its port, at least 64 octets; "" if it is none. */
void dead_text(const struct dead_key *key, char *buffer, size_t size);

/* The key of an address in that form, port 0. 0, or -1. */
int dead_scan(const char *text, struct dead_key *key);

#endif
