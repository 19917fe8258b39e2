#include <errno.h>
#include <shadow.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "lib/log.h"
#include "tools/auth_check.h"
#include "tools/secrets.h"

/* Room for the texts of a shadow entry. */
#define ENTRY_MAX 65536
#define DAY_SECONDS (24 * 60 * 60)

/* shadow(5): the days after which account or password are of no more use. */
static bool
is_expired(const struct spwd *entry)
{
	long today = (long)(time(NULL) / DAY_SECONDS);

	if (entry->sp_expire > 0 && today >= entry->sp_expire)
		return true;
	if (entry->sp_lstchg == 0)
		return true;
	return entry->sp_lstchg > 0 && entry->sp_max >= 0 &&
	       today - entry->sp_lstchg > entry->sp_max;
}

enum auth_verdict
auth_system(const char *name, const char *password)
{
	struct spwd entry, *found = NULL;
	char *buffer = malloc(ENTRY_MAX);

	if (buffer == NULL)
		return AUTH_TEMPORARY;
	int error = getspnam_r(name, &entry, buffer, ENTRY_MAX, &found);
	bool is_right =
		secrets_match(found != NULL ? entry.sp_pwdp : NULL, password);
	bool is_open = found != NULL && !is_expired(&entry);
	explicit_bzero(buffer, ENTRY_MAX);
	free(buffer);
	if (found == NULL && error != 0 && error != ENOENT && error != ESRCH) {
		log_line("the shadow database: %s", strerror(error));
		return AUTH_TEMPORARY;
	}
	return is_right && is_open ? AUTH_YES : AUTH_NO;
}
