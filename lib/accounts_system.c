#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/accounts.h"

/* Room for the texts of a passwd entry, first and at most. */
#define ENTRY_FIRST 4096
#define ENTRY_MAX (1024 * 1024)

/* Returns 1 with the entry, its texts in *buffer (the caller's to free); 0 if
 * there is none; -1 with errno. */
static int
find_entry(const char *name, struct passwd *entry, char **buffer)
{
	for (size_t size = ENTRY_FIRST; size <= ENTRY_MAX; size *= 2) {
		struct passwd *found = NULL;
		char *room = malloc(size);

		if (room == NULL)
			return -1;
		int error = getpwnam_r(name, entry, room, size, &found);
		if (found != NULL) {
			*buffer = room;
			return 1;
		}
		free(room);
		/* getpwnam_r(3): some of these mean that there is none. */
		if (error == 0 || error == ENOENT || error == ESRCH ||
			error == EPERM)
			return 0;
		if (error == ERANGE)
			continue;
		errno = error;
		return -1;
	}
	errno = ERANGE;
	return -1;
}

static enum account_result
fill(const struct passwd *entry, struct account *account)
{
	int groups = ACCOUNT_GROUPS_MAX;

	if (entry->pw_uid == 0 || entry->pw_uid == (uid_t)-1 ||
		entry->pw_gid == 0 || entry->pw_gid == (gid_t)-1 ||
		entry->pw_dir == NULL || entry->pw_dir[0] != '/' ||
		strlen(entry->pw_dir) >= sizeof account->home ||
		strlen(entry->pw_name) >= sizeof account->name)
		return ACCOUNT_NONE;
	memset(account, 0, sizeof *account);
	account->uid = entry->pw_uid;
	account->gid = entry->pw_gid;
	snprintf(account->name, sizeof account->name, "%s", entry->pw_name);
	snprintf(account->home, sizeof account->home, "%s", entry->pw_dir);
	snprintf(account->maildir, sizeof account->maildir, "./Maildir/");
	if (getgrouplist(entry->pw_name, entry->pw_gid, account->group,
		    &groups) < 0) {
		/* In too many groups: better none of them than a few. */
		errno = E2BIG;
		return ACCOUNT_TROUBLE;
	}
	account->groups = (unsigned)groups;
	return ACCOUNT_FOUND;
}

enum account_result
account_system(const char *name, struct account *account)
{
	struct passwd entry;
	char *buffer;

	if (*name == 0 || strlen(name) >= sizeof account->name)
		return ACCOUNT_NONE;
	int found = find_entry(name, &entry, &buffer);
	if (found <= 0)
		return found == 0 ? ACCOUNT_NONE : ACCOUNT_TROUBLE;
	enum account_result result = fill(&entry, account);
	int saved = errno;
	free(buffer);
	errno = saved;
	return result;
}
