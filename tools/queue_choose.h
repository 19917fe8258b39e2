#ifndef TOOLS_QUEUE_CHOOSE_H
#define TOOLS_QUEUE_CHOOSE_H

/*
 * Which messages of the queue a person means: by id, sender, recipient, domain,
 * age and folder. Only looks (tools/queue_walk.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "queue/request.h"

/* What must hold of a message, all of it; NULL or 0: does not matter. */
struct criteria {
	char *const *id; /* it is one of these, valid ids */
	size_t ids;
	const char *sender;	       /* its reverse-path; "": the null one */
	const char *recipient;	       /* one that has no final outcome yet */
	const char *domain;	       /* that of such a recipient */
	const char *folder;	       /* QUEUE_INCOMING … QUEUE_DOUBTFUL */
	uint64_t older_us, younger_us; /* age, microseconds */
};

struct chosen {
	struct request_id *message; /* owned; each id once, oldest first */
	size_t count;
};

/*
 * Chooses. Ids that are named and not found are chosen all the same, without a
 * place, if nothing else is asked of them: the runner may know better. Returns 0,
 * or -1 after telling a person on stderr, as this program, what is wrong.
 * Addresses are compared without regard to case.
 */
int queue_choose(const char *program, int queue_folder,
	const struct criteria *criteria, struct chosen *chosen);

void queue_chosen_free(struct chosen *chosen);

#endif
