#ifndef TOOLS_AUTH_CHECK_H
#define TOOLS_AUTH_CHECK_H

/*
 * Whose password is right. Three sources, of which each name has exactly one:
 *
 *   users/secrets.cdb   an account of the user database
 *   a program           control/checkpassword: every other name
 *   the system          control/systemlogins, no such program, no "@" in the name
 *
 * Whatever the source says, the account must exist: in users/accounts.cdb; as
 * a system user who is not root and not a role; or, for an address that the program
 * knows and the database does not, as a mailbox of the look-up program
 * (local/outside.h).
 */

#include <stdbool.h>
#include <stdint.h>
#include "lib/auth.h"
#include "lib/home.h"
#include "local/resolve.h"
#include "tools/secrets.h"

struct auth_settings {
	char *me;
	int64_t concurrency;
	int64_t queue;
	int64_t failures;
	int64_t system_logins;
	char *program; /* "" without one */
	int64_t program_method;
};

struct auth_place {
	const struct home *home;
	const struct auth_settings *settings;
	/* Of the process: stands in for the database's where that has none. */
	uint8_t seed[DIGEST_SHA256];
};

/*
 * Checks a password. After AUTH_YES key is what the warden calls the account
 * ("u:address", "x:address", "s:name"). The work is the same whether the name exists or not,
 * but for the program's. What goes wrong is logged here; a wrong login is not.
 */
enum auth_verdict auth_check(const struct auth_place *place, const char *name,
	const char *password, const char *client, char key[ACCOUNT_KEY_MAX]);

/*
 * Finds the secret of an account for mechanisms that see no password. AUTH_YES
 * with secret and key; AUTH_NO, after the same work, with a verifier that no
 * proof fits (always the same for one name) if there is no such account;
 * AUTH_TEMPORARY. The account may lack a verifier (it has a made-up one then) or
 * the password ("").
 */
enum auth_verdict auth_find(const struct auth_place *place, const char *name,
	struct secret *secret, char key[ACCOUNT_KEY_MAX]);

/* --- the sources besides the user database --- */

/*
 * The system's: through the shadow database. AUTH_NO for names without an entry,
 * locked and empty passwords, expired accounts and passwords.
 */
enum auth_verdict auth_system(const char *name, const char *password);

/*
 * A program's, by the checkpassword protocol: name, password and a time stamp,
 * or, if has_method, nothing and the octet of a method (2, PLAIN), as the programs
 * want it that came with the other patches of qmail: each with a NUL after it, on its descriptor 3, and the name of a program that
 * ends with 0 as its argument. Its exit status 0 means yes, 1 no; everything
 * else, a signal and half a minute without an end are temporary.
 */
enum auth_verdict auth_program(const char *program, bool has_method,
	const char *name, const char *password, const char *client);

#endif
