#ifndef LIB_OUTCOME_H
#define LIB_OUTCOME_H

/*
 * What becomes of a recipient, and what a program's exit status means: the two
 * small tables that every program shares. The numbers of enum outcome stand in
 * queue files (doc/queue.md) and never change.
 */

enum outcome {
	OUTCOME_DEFERRED = 1,  /* not yet: there will be another attempt */
	OUTCOME_DELIVERED = 2, /* in the recipient's mailbox */
	OUTCOME_RELAYED = 3,   /* another host has taken it */
	OUTCOME_FAILED = 4,    /* never: the sender is told */
	OUTCOME_EXPANDED = 5, /* turned into other recipients, or a program's */
	OUTCOME_DISCARDED = 6,	 /* dropped for a logged reason */
	OUTCOME_RELAYED_DSN = 7, /* another host has taken it, and with it the
				    reports that the sender asked for */
};

/* The longest reply text that is kept with an outcome, in octets. */
#define OUTCOME_TEXT_MAX 900

static inline int
outcome_is_valid(unsigned value)
{
	return value >= OUTCOME_DEFERRED && value <= OUTCOME_RELAYED_DSN;
}

static inline int
outcome_is_final(enum outcome outcome)
{
	return outcome != OUTCOME_DEFERRED;
}

/* Exit statuses of all programs and tools. */
enum status {
	STATUS_DONE = 0,
	STATUS_MISUSE = 100,	/* wrong call, or permanently impossible */
	STATUS_TEMPORARY = 111, /* try again: what to mend is in the log */
};

/*
 * Exit statuses of the qmail-queue compatible client, and the codes in which
 * queue-inject refuses a submission. 11 to 40 are permanent, all else is
 * temporary.
 */
enum submit_code {
	SUBMIT_ACCEPTED = 0,
	SUBMIT_ADDRESS = 11, /* an address is too long or malformed */
	SUBMIT_POLICY = 31,  /* refused for good */
	SUBMIT_TOO_BIG = 32, /* content above the size limit */
	SUBMIT_MEMORY = 51,  /* out of memory */
	SUBMIT_TIMEOUT = 52, /* the submitter was too slow */
	SUBMIT_WRITE = 53,   /* disk full or write error */
	SUBMIT_READ = 54,    /* the submitter's input could not be read */
	SUBMIT_CONFIG = 55,  /* configuration unreadable or wrong */
	SUBMIT_CONNECTION =
		56,	      /* queue-inject cannot be reached, or went away */
	SUBMIT_BUSY = 71,     /* too many submissions, or no room: later */
	SUBMIT_INTERNAL = 81, /* a bug */
	SUBMIT_DEFERRED = 82, /* a filter's word: later; the text says why */
	SUBMIT_FORMAT = 91,   /* the envelope is not one */
};

static inline int
submit_code_is_permanent(enum submit_code code)
{
	return code >= 11 && code <= 40;
}

#endif
