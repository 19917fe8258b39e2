#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "local/account.h"
#include "local/outside.h"
#include "tools/maildir_make.h"

/* Fills in an "x:" account. */
static enum account_result
ask_outside(const struct home *home, struct account *account, char *why,
	size_t size)
{
	char path[HOME_NAME_MAX], reason[200];
	enum account_result result = ACCOUNT_TROUBLE;

	if (outside_setting(home, path, reason, sizeof reason) == 0)
		result = path[0] == 0 ? ACCOUNT_NONE
				      : outside_fill(home, path, account,
						reason, sizeof reason);
	if (result == ACCOUNT_TROUBLE)
		snprintf(why, size, "4.3.0 %s", reason);
	return result;
}

/* Opens the folder name in parent, made if it is missing. Closes parent. */
static int
go_down(int parent, const char *name)
{
	int folder = parent < 0 ? -1
				: maildir_make_folder(parent, name, 0700,
					  geteuid(), getegid());
	int saved = errno;

	if (parent >= 0)
		close(parent);
	errno = saved;
	return folder;
}

/* Makes HOME/mail/A/B/Maildir, of a home that is two names below mail/. */
static int
make_home(const struct home *home, const struct account *account)
{
	char mail[HOME_NAME_MAX], name[ACCOUNT_HOME_MAX];
	const char *below =
		account->home + strlen(home_path(home, "mail", mail));
	struct stat st;

	if (strncmp(account->home, mail, strlen(mail)) != 0 ||
		*below++ != '/' || lstat(account->home, &st) == 0)
		return 0;
	const char *slash = strchr(below, '/');
	if (slash == NULL || slash == below || strchr(slash + 1, '/') != NULL ||
		slash[1] == 0)
		return 0;
	snprintf(name, sizeof name, "%.*s", (int)(slash - below), below);
	int folder =
		open(mail, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	folder = go_down(folder, name);
	folder = go_down(folder, slash + 1);
	folder = go_down(folder, "Maildir");
	if (folder < 0)
		return -1;
	int result = maildir_make_inner(folder, geteuid(), getegid());
	close(folder);
	return result;
}

enum account_result
account_prepare(const struct home *home, const char *key,
	struct account *account, char *why, size_t size)
{
	bool is_outside = strncmp(key, "x:", 2) == 0;

	if (is_outside) {
		enum account_result result =
			ask_outside(home, account, why, size);

		if (result != ACCOUNT_FOUND)
			return result;
	}
	if ((!is_outside && strncmp(key, "u:", 2) != 0) ||
		account->kind != ACCOUNT_MAILBOX ||
		make_home(home, account) == 0)
		return ACCOUNT_FOUND;
	snprintf(why, size, "4.3.0 %.300s cannot be made: %s", account->home,
		strerror(errno));
	return ACCOUNT_TROUBLE;
}
