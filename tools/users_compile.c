/*
 * users-compile makes users/cdb of users/assign: which local parts belong to whom,
 * in qmail's format.
 *
 * Runs as root (in private mode as the owner of the home).
 * Promises that the old database or the new one, whole, holds at any moment; a
 * mistake in the text leaves the old one.
 */

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/home.h"
#include "lib/outcome.h"
#include "local/assign.h"
#include "tools/users.h"

#define WHY_MAX 900

int
main(int argc, char **argv)
{
	char path[HOME_NAME_MAX], why[WHY_MAX];
	struct home home;

	(void)argv;
	if (argc > 1) {
		fputs("usage: users-compile\n", stderr);
		return STATUS_MISUSE;
	}
	umask(077);
	if (home_open(&home, why, sizeof why) < 0 ||
		users_compile(&home, home_path(&home, "users/assign", path),
			"cdb", assign_compile, why, sizeof why) < 0) {
		fprintf(stderr, "users-compile: %s\n", why);
		return STATUS_TEMPORARY;
	}
	return STATUS_DONE;
}
