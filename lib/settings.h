#ifndef LIB_SETTINGS_H
#define LIB_SETTINGS_H

/*
 * Control files in qmail's manner, declared as a table: one value or one list a
 * file. Each program's table is its whole configuration: from it the program
 * reads, tools explain, and the manual lists.
 *
 * A value file holds its value on the first line, trailing blanks stripped. A
 * list file holds one entry a line; blank lines and lines that begin with "#"
 * are skipped. A file that is missing means the default; one that cannot be read,
 * or that holds something else than expected, is an error that names file, line
 * and expectation: the program then serves nothing rather than guess.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest control file, in octets. */
#define SETTINGS_FILE_MAX (16 * 1024 * 1024)

enum setting_kind {
	SETTING_TEXT,	/* char *: any printable line */
	SETTING_HOST,	/* char *: a host name or address literal */
	SETTING_NUMBER, /* int64_t within minimum and maximum */
	SETTING_SWITCH, /* int64_t: 0 or 1 */
	SETTING_LIST,	/* struct setting_list */
};

struct setting_list {
	char **line;	/* owned; NUL-terminated, trailing blanks stripped */
	size_t *number; /* owned; the line's number in the file, from 1 */
	size_t count;
	bool present; /* the file exists */
};

struct setting {
	const char *name; /* of the file below control/ */
	enum setting_kind kind;
	/* The value where the file is missing: a text as in the file; "@me" is
	 * the value of control/me; NULL: the file must exist (a list: empty). */
	const char *fallback;
	int64_t minimum, maximum; /* of a number */
	size_t offset;		  /* of the value in the program's struct */
	const char *meaning;	  /* one line, for people */
};

/*
 * Reads every setting of the table from the control folder (absolute path) into
 * the struct at into, which must be zero. Returns 0; or -1 with a sentence in why,
 * and nothing allocated.
 */
int settings_read(const struct setting *table, size_t count,
	const char *control_folder, void *into, char *why, size_t size);

/* Frees what settings_read allocated and zeroes the values. Safe twice. */
void settings_free(const struct setting *table, size_t count, void *into);

/* Length of a table. */
#define SETTINGS_COUNT(table) (sizeof(table) / sizeof((table)[0]))

#endif
