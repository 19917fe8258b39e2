#ifndef COMPAT_NAMES_H
#define COMPAT_NAMES_H

/*
 * The commands of the program qmail-names. Each gets its own arguments, with its
 * name first, and returns the exit status.
 */

#include <pwd.h>
#include <stdio.h>

int qread_main(int argc, char **argv);
int newmrh_main(int argc, char **argv);
int pw2u_main(int argc, char **argv);
int getpw_main(int argc, char **argv);

/* Says on stderr what is wrong: "NAME: fatal: what: about". Returns the status. */
int
names_fail(int status, const char *name, const char *what, const char *about);

/* Whether this is the user of alias/: qmail's name for it, or ours. */
int names_is_alias(const char *user);

#endif
