#ifndef QUEUE_LIMITS_H
#define QUEUE_LIMITS_H

/*
 * Times and sizes of the queue whose order is a safety property. Each pair that
 * must keep an order is asserted below.
 */

/* The longest a submission may take, in seconds; queue-inject's child ends
 * itself then. */
#define INJECT_DEADLINE_S 3600
/* A submitter that sends nothing for so long has gone away. */
#define INJECT_IDLE_S 900
/* From this age an unmarked, unlocked file in incoming/ is litter. */
#define ORPHAN_AGE_S (36 * 3600)
/* Each reader of a wake-up FIFO looks at its folders by itself so often. */
#define SWEEP_S 10
/* Final outcomes are committed after so many, or so long. */
#define COMMIT_OUTCOMES 64
#define COMMIT_MS 100
/* Messages that the runner holds in memory at one time. */
#define ACTIVE_MAX 4000
/* Recipients in one job; a message with more for one destination has several. */
#define JOB_RECIPIENTS_MAX 500

_Static_assert(INJECT_DEADLINE_S < ORPHAN_AGE_S,
	"a submission must end before its file counts as litter");
_Static_assert(INJECT_IDLE_S <= INJECT_DEADLINE_S,
	"the idle time lies within the deadline");

#endif
