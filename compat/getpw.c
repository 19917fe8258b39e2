#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "compat/names.h"
#include "lib/outcome.h"

#define NAME "qmail-getpw"
#define NAME_OCTETS_MAX 31

/* Looks a name up in /etc/passwd, read as a file: static programs have no NSS.
 * 1 if it is a user who gets mail; 0 if not; -1 for trouble, with errno. */
static int
find(const char *name, size_t length, struct passwd **found)
{
	struct passwd *user;
	struct stat status;
	FILE *file = fopen("/etc/passwd", "re");

	if (file == NULL)
		return -1;
	while ((user = fgetpwent(file)) != NULL &&
		(strlen(user->pw_name) != length ||
			strncmp(user->pw_name, name, length) != 0))
		;
	fclose(file);
	if (user == NULL || user->pw_uid == 0)
		return 0;
	*found = user;
	if (stat(user->pw_dir, &status) == 0)
		return status.st_uid == user->pw_uid;
	return errno == ENOENT ? 0 : -1;
}

static int
print(const struct passwd *user, const char *dash, const char *extension)
{
	printf("%s%c%lu%c%lu%c%s%c%s%c%s%c", user->pw_name, 0,
		(unsigned long)user->pw_uid, 0, (unsigned long)user->pw_gid, 0,
		user->pw_dir, 0, dash, 0, extension, 0);
	return fflush(stdout) == 0 ? 0 : STATUS_TEMPORARY;
}

int
getpw_main(int argc, char **argv)
{
	static const char *const aliases[] = {"alias", "_keep-alias"};
	struct passwd *user;
	char local[1001];

	if (argc != 2 || strlen(argv[1]) >= sizeof local)
		return names_fail(
			STATUS_MISUSE, NAME, "usage: qmail-getpw LOCAL", "");
	size_t length = strlen(argv[1]), full = length;
	for (size_t i = 0; i <= length; i++)
		local[i] = (char)(argv[1][i] >= 'A' && argv[1][i] <= 'Z'
					  ? argv[1][i] + ('a' - 'A')
					  : argv[1][i]);
	while (length > 0) {
		int result = length <= NAME_OCTETS_MAX
				     ? find(local, length, &user)
				     : 0;

		if (result < 0)
			return names_fail(STATUS_TEMPORARY, NAME,
				"/etc/passwd or a home", strerror(errno));
		if (result > 0)
			return print(user, length < full ? "-" : "",
				length < full ? argv[1] + length + 1 : "");
		while (length > 0 && local[--length] != '-')
			;
	}
	for (size_t i = 0; i < 2; i++) {
		int result = find(aliases[i], strlen(aliases[i]), &user);

		if (result > 0)
			return print(user, "-", argv[1]);
	}
	return names_fail(STATUS_TEMPORARY, NAME,
		"there is no user alias or _keep-alias", "");
}
