#ifndef TOOLS_CONTROL_LISTS_H
#define TOOLS_CONTROL_LISTS_H

/*
 * What is wrong in the lines of control files that hold lists, by the functions
 * with which the programs check them.
 */

#include <stddef.h>
#include "lib/settings.h"

/*
 * Checks each line of the list of that name. Calls tell with a sentence that names
 * file, line and expectation for every one that is wrong. A list whose lines are
 * plain text, or that its program alone understands, has nothing wrong.
 */
void control_list_check(const char *name, const struct setting_list *list,
	void (*tell)(void *context, const char *why), void *context);

/* As control_list_check, for a file that holds a value. */
void control_value_check(const char *name, const char *value,
	void (*tell)(void *context, const char *why), void *context);

#endif
