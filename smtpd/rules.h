#ifndef SMTPD_RULES_H
#define SMTPD_RULES_H

/*
 * The rules of tcprules(1), looked into by smtpd itself for a client that is not
 * the connection's peer: tcpserver has judged the proxy, and its word must not
 * pass for one about whoever stands behind it. The order is tcpserver's: the
 * address, "=" and the name, prefixes of the address that end in "." or ":",
 * suffixes of the name that begin with ".", "=" if there is a name, "".
 *
 * The file is opened before the role is taken and stays mapped; it is the
 * administrator's, and damaged all the same it harms nobody.
 */

#include <stdbool.h>
#include <stddef.h>
#include "lib/cdbfile.h"

struct rules {
	struct cdbfile file;
	bool is_open;
};

/* A rule that was found; all of it lies in the map. */
struct rules_record {
	bool is_found, is_denied;
	char rule[300];	  /* its address, "" also for the rule for all */
	const char *data; /* "D" or "+NAME=VALUE", each with its NUL */
	size_t len;
};

/*
 * Opens the rules at path. A file that is missing has no rules. 0, or -1 with
 * a sentence in why. *rules must be zero.
 */
int rules_open(struct rules *rules, const char *path, char *why, size_t size);

/* Safe twice. */
void rules_close(struct rules *rules);

/*
 * Finds the rule for a client. name is "" if it is not known. 0; or -1 if the
 * file is damaged: then nothing may be assumed about the client.
 */
int rules_find(const struct rules *rules, const char *address, const char *name,
	struct rules_record *record);

/* The value that the rule gives a variable, or NULL. */
const char *rules_variable(const struct rules_record *record, const char *name);

#endif
