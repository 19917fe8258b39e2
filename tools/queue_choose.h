#ifndef TOOLS_QUEUE_CHOOSE_H
#define TOOLS_QUEUE_CHOOSE_H

/*
 * Which messages of the queue a person means: by id, sender, recipient, domain,
 * age and folder. Only looks (tools/queue_walk.h).
 */

#include <stddef.h>
#include "queue/request.h"
#include "tools/queue_criteria.h"

struct chosen {
	struct request_id *message; /* owned; each id once, oldest first */
	size_t count;
};

/*
 * Chooses. Ids that are named and not found are chosen all the same, without a
 * place, if nothing else is asked of them: the runner may know better. Returns 0,
 * or -1 after telling a person on stderr, as this program, what is wrong.
 */
int queue_choose(const char *program, int queue_folder,
	const struct criteria *criteria, struct chosen *chosen);

void queue_chosen_free(struct chosen *chosen);

#endif
