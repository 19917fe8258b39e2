#ifndef TOOLS_COUNTS_FILE_H
#define TOOLS_COUNTS_FILE_H

/*
 * The file that keeps a table of counters over a restart: count/counters, always
 * whole, replaced by rename. Losing it loses counts and nothing else.
 */

#include "tools/counts.h"

#define COUNTS_FILE "counters"

/* The largest file that is read. */
#define COUNTS_FILE_MAX (128 * 1024 * 1024)

/* The time now; the boot id is the caller's to fill in. */
void counts_file_time(struct counts_time *time);

/* Reads the kernel's boot id into boot, "" if it has none. */
void counts_file_boot(char boot[37]);

/*
 * Reads the folder's file into an empty table, and removes what a writer that
 * was stopped left. *why is a sentence for the log, "" if there is none: a file
 * that cannot be read is as none.
 */
long counts_file_read(int folder, struct counts *counts,
	const struct counts_time *time, char *why, size_t size);

/* Writes it. 0, or -1 with errno. */
int counts_file_write(
	int folder, struct counts *counts, const struct counts_time *time);

#endif
