#ifndef TOOLS_USERS_ADMIN_H
#define TOOLS_USERS_ADMIN_H

/*
 * What the tools of the user database do, each a function: main (user_list.c)
 * chooses by the program's name, and has opened home. Each returns the exit
 * status, with a sentence in why unless it is STATUS_DONE.
 */

#include <stdbool.h>
#include "lib/accounts.h"
#include "lib/home.h"
#include "tools/users.h"

struct admin {
	struct home home;
	const char *name; /* of the tool */
	int count;	  /* of arguments */
	char **argument;
	char why[900];
};

#define ADMIN_USAGE (-1)

int admin_domain_add(struct admin *admin);
int admin_domain_del(struct admin *admin);
int admin_alias_add(struct admin *admin);
int admin_user_del(struct admin *admin);
int admin_user_set(struct admin *admin);
/* users_list.c */
int admin_domain_list(struct admin *admin);
int admin_user_list(struct admin *admin);
int admin_user_export(struct admin *admin);
/* users_import.c */
int admin_user_import(struct admin *admin);

/*
 * Fills in what a record was not given: uid, gid and home of its domain, or of
 * _keep-vmail and mail/DOMAIN. 0, or -1 with why. domain is the domain's record,
 * or NULL.
 */
int admin_complete(const struct home *home, const struct account *domain,
	struct account *account, char *why, size_t size);

/* Makes mail/DOMAIN, the owner's; one that stands must be it already. domain is the
 * domain's record. 0, or -1 with why. */
int admin_make_folder(const struct home *home, const struct account *domain,
	char *why, size_t size);

/* Every key of users/accounts.cdb, sorted, in an array that ends with NULL. NULL
 * with why. admin_free_keys frees it. */
char **admin_keys(const struct home *home, char *why, size_t size);
void admin_free_keys(char **key);

/* The record of a key. As account_virtual, for all kinds, with why. */
enum account_result admin_find(const struct home *home, const char *key,
	struct account *account, char *why, size_t size);

#endif
