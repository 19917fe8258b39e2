#ifndef REMOTE_DEAD_ASK_H
#define REMOTE_DEAD_ASK_H

/*
 * The socket at which dead-addresses asks remote's parent for the addresses that do
 * not answer (remote/dead.h): socket/dead-addresses, for root and the group
 * keep-read, but for none of the suite's own users (private mode: for the user).
 * One asks at a time, one question for each connection; nobody is waited for.
 */

#include <stddef.h>
#include <stdint.h>
#include "lib/home.h"
#include "remote/dead.h"

#define DEAD_ASK_SOCKET "socket/dead-addresses"
/* How long a question may take to come. */
#define DEAD_ASK_MS 2000

struct dead_ask {
	int listener, asker; /* -1: none */
	int64_t until_ms;    /* for the question */
};

#define DEAD_ASK_ZERO ((struct dead_ask){.listener = -1, .asker = -1})

/* Makes the socket, before the role is taken. 0, or -1 with a sentence in why. */
int dead_ask_listen(
	struct dead_ask *ask, const struct home *home, char *why, size_t size);

/* What is to be polled for POLLIN; *again_ms becomes no later than when
 * dead_ask_serve is to be called even without. */
int dead_ask_fd(const struct dead_ask *ask, int64_t *again_ms);

/* Takes who asks, or the question, if there is one, and answers it. True if the
 * table was cleared of something. */
bool dead_ask_serve(struct dead_ask *ask, const struct home *home,
	struct dead_table *table);

/* Closes everything, in a child. */
void dead_ask_end(struct dead_ask *ask);

#endif
