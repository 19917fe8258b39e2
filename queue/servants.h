#ifndef QUEUE_SERVANTS_H
#define QUEUE_SERVANTS_H

/*
 * The children of queue-inject. One serves one submission at a time; between two
 * it rests, and gets the next one of the same submitter: to fork and confine a
 * process takes longer than all else in front of the disk. What a servant holds
 * while it rests is the folder incoming/ and its line to queue-inject; an order
 * brings it the connection, the message's file and the runner's FIFO, and it has
 * closed them when it says that it is done. A closed line is its end.
 */

#include <stdbool.h>
#include <sys/types.h>
#include "lib/ident.h"
#include "queue/accept.h"
#include "queue/room.h"

/* The most submissions at one time that can be set, */
#define SERVANTS_BUSY_MAX 2000
/* what is let in beyond what is set: the runner's reports, */
#define SERVANTS_FOR_REPORTS 8
/* how many rest at most, and what may be ending. */
#define SERVANTS_RESTING_MAX 32
#define SERVANTS_ENDING_MAX 60
#define SERVANTS_MAX                                                       \
	(SERVANTS_BUSY_MAX + SERVANTS_FOR_REPORTS + SERVANTS_RESTING_MAX + \
		SERVANTS_ENDING_MAX)

/* One submission, as a servant is told of it. */
struct order {
	char id[IDENT_LENGTH + 1];
	uid_t uid; /* of the submitter, from the kernel */
	enum submit_code refusal;
	char why[ROOM_TEXT_MAX];
};

struct servant {
	pid_t pid;
	int line;		   /* to it; -1: it was dismissed */
	uid_t uid;		   /* whom it serves */
	unsigned orders;	   /* that it has got */
	char id[IDENT_LENGTH + 1]; /* that it has in hand; "": it rests */
};

struct servants {
	struct servant servant[SERVANTS_MAX];
	unsigned count, busy, resting;
};

/*
 * Gives an order to a servant of that submitter that rests. The descriptors stay
 * the caller's. True, or false if there is none.
 */
bool servants_give(struct servants *servants, const struct order *order,
	int connection, int file, int runner);

/*
 * Forks a servant for the submitter of the order and gives it that. Returns 1 in
 * the servant, with its line in *line, to be served by servant_run; 0 in
 * queue-inject, or there -1 with errno.
 */
int servants_add(struct servants *servants, const struct order *order,
	int connection, int file, int runner, int *line);

/*
 * What a servant does until its line is closed: calls serve for each order, with
 * the connection, file and runner's FIFO, which it closes afterwards, and tells
 * whether it gave 0.
 */
void servant_run(int line,
	int (*serve)(void *context, const struct order *order,
		const int descriptor[3]),
	void *context);

/*
 * Hears a servant that is at work. Returns 1 if it is done and has accepted, 0
 * if it is done and has not, with the message's id; -1 if there is nothing to
 * hear (it dies, or works). Done, it rests or is dismissed.
 */
int servants_hear(struct servants *servants, struct servant *servant,
	char id[IDENT_LENGTH + 1]);

/* The servant with that process id, or NULL. */
struct servant *servants_find(struct servants *servants, pid_t pid);

/* A servant's process is gone; the last one moves to its place. */
void servants_remove(struct servants *servants, struct servant *servant);

/* Dismisses all that rest. */
void servants_dismiss(struct servants *servants);

#endif
