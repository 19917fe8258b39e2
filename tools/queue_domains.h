#ifndef TOOLS_QUEUE_DOMAINS_H
#define TOOLS_QUEUE_DOMAINS_H

/*
 * Who the queue is waiting for, and since when: a row a domain, a column an age.
 */

#include <stdbool.h>

/*
 * Prints how many recipients without a final outcome each domain has, in all and
 * by the age of their message: up to 5, 10, 20 … 1280 minutes, and older. The
 * domain with most comes first, and before it the sums. Returns the exit status:
 * STATUS_DONE, or STATUS_TEMPORARY after telling a person on stderr, as this
 * program, why the queue cannot be read.
 */
int queue_domains_show(const char *program, int queue_folder, bool is_json);

#endif
