#ifndef REMOTE_SMARTHOSTS_H
#define REMOTE_SMARTHOSTS_H

/*
 * The logins at other hosts: secrets/smarthosts, a line
 *
 *   NAME:USER:PASSWORD
 *
 * for each. NAME is what a route's auth= says; USER has no colon; PASSWORD is all
 * the rest of the line, colons and blanks too, as far as 255 octets. Neither has
 * control characters. Empty lines and those that begin with "#" are skipped; the
 * first line of a name holds.
 *
 * The file must be root's (of a private instance: its owner's), of remote's group,
 * and closed to everybody else: mode 0640 or less. Otherwise nothing of it is
 * used: who could read it could have read it before.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "remote/route_words.h"

#define SMARTHOSTS_FILE "secrets/smarthosts"
#define SMARTHOSTS_TEXT_MAX 255
/* The largest file, in octets. */
#define SMARTHOSTS_OCTETS_MAX (1024 * 1024)

struct login {
	char name[ROUTE_LABEL_MAX + 1];
	char user[SMARTHOSTS_TEXT_MAX + 1];
	char password[SMARTHOSTS_TEXT_MAX + 1];
};

/*
 * Finds the line of the name in the open file; fd -1: the file could not be
 * opened, for the reason that errno has. owner is who must own it, group whose
 * group may read it. Returns 0; or -1 with a sentence in why that names file and
 * line and no secret, and *login zero. No copy of another line stays behind.
 */
int smarthosts_find(int fd, uid_t owner, gid_t group, const char *name,
	struct login *login, char *why, size_t size);

/* Reads one line, without its end. 1 if it is that of the name, 0 if it is
 * another, -1 if it is none. */
int smarthosts_take_line(
	const char *line, size_t len, const char *name, struct login *login);

#endif
