#ifndef TESTS_UNIT_ACCOUNTS_H
#define TESTS_UNIT_ACCOUNTS_H

/*
 * Accounts in a test's user database.
 */

#include <stdio.h>
#include <string.h>
#include "tests/unit/temporary.h"
#include "tools/users.h"

/* Puts an account, whose home there need not be, into the open database. */
static inline void
put_account(const struct users *users, const char *name)
{
	struct account account;
	char why[300];

	memset(&account, 0, sizeof account);
	snprintf(account.name, sizeof account.name, "%s", name);
	account.uid = account.gid = 1000;
	snprintf(account.home, sizeof account.home, "/mail/%s", name);
	snprintf(account.maildir, sizeof account.maildir, "./Maildir/");
	temporary_need(
		users_put_account(users, &account, why, sizeof why) == 0, why);
}

#endif
