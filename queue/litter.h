#ifndef QUEUE_LITTER_H
#define QUEUE_LITTER_H

/* What submissions that were not accepted leave in the folder incoming/. */

#include <stdbool.h>

/*
 * Removes the file of a submission that was not accepted. If its servant has said
 * so (was_killed is false), the file goes even if the mark could not be withdrawn.
 * If the servant was killed, a file with the mark stays, and the runner adopts it.
 */
void litter_remove(int incoming, const char *id, bool was_killed);

/*
 * Removes what submissions left that ended with an earlier queue-inject: files
 * that nobody writes (the lock is free) and that have no mark. A servant of it
 * that is still at work holds its lock, and a file that is removed in the moment
 * before it is locked is missed by its writer before it answers.
 */
void litter_clear(int incoming);

#endif
