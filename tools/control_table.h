#ifndef TOOLS_CONTROL_TABLE_H
#define TOOLS_CONTROL_TABLE_H

/*
 * Every setting of every program, once, with the names of those that read it: the
 * programs' own tables together. The offsets are all 0.
 */

#include "lib/settings.h"

struct control_row {
	struct setting setting;
	const char *readers; /* "smtpd, smtp-why" */
};

extern const struct control_row control_rows[];
extern const size_t control_rows_count;

#endif
