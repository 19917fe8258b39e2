#ifndef TOOLS_QUEUE_CRITERIA_H
#define TOOLS_QUEUE_CRITERIA_H

/*
 * What must hold of a message that a person means: the options that queue-list and
 * the tools of queue_request.c have in common, and whether a message is so.
 */

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "queue/message_file.h"

/* All of it must hold; NULL or 0: does not matter. */
struct criteria {
	char *const *id; /* it is one of these, valid ids */
	size_t ids;
	const char *sender;	       /* its reverse-path; "": the null one */
	const char *recipient;	       /* one that has no final outcome yet */
	const char *domain;	       /* that of such a recipient */
	const char *folder;	       /* QUEUE_INCOMING … QUEUE_DOUBTFUL */
	uint64_t older_us, younger_us; /* age, microseconds */
};

/* For a table of getopt_long: the letters are criteria_option's. */
#define CRITERIA_OPTIONS                                     \
	{"sender", required_argument, NULL, 's'},            \
		{"recipient", required_argument, NULL, 'r'}, \
		{"domain", required_argument, NULL, 'd'},    \
		{"older", required_argument, NULL, 'o'},     \
		{"younger", required_argument, NULL, 'y'},   \
	{                                                    \
		"in", required_argument, NULL, 'i'           \
	}

/* Takes an option's value, which must outlive criteria and may be changed. Returns
 * 0; 1 if the letter is none of these; -1 if the value is none. */
int criteria_option(struct criteria *criteria, int letter, char *value);

/* Takes the ids behind the options. Returns 0, or -1 after telling a person on
 * stderr, as this program, which is none. */
int criteria_ids(struct criteria *criteria, const char *program,
	char *const *id, size_t count);

/* True if anything is asked for; the second, if more than an id and a folder. */
bool criteria_any(const struct criteria *criteria);
bool criteria_of_content(const struct criteria *criteria);

/* True if id and folder are as asked. */
bool criteria_match_place(
	const struct criteria *criteria, const char *id, const char *folder);

/* True if what stands in the file is as asked, at this time (microseconds since the
 * epoch). Addresses are compared without regard to case. */
bool criteria_match_message(const struct criteria *criteria,
	const struct message_file *file, uint64_t now_us);

/* The time for that. */
uint64_t criteria_now_us(void);

#endif
