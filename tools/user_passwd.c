/*
 * user-passwd gives a virtual account another password.
 *
 * Runs as root (in private mode as the owner of the home).
 * Is handed the address, and the password as the first line of standard input.
 * Promises that the new password holds when it ends with 0, and the old one
 * otherwise.
 * Never makes an account, and never touches the password of a system user.
 */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/home.h"
#include "lib/outcome.h"
#include "tools/plain.h"
#include "tools/users.h"

#define WHY_MAX 600

static bool
is_alias(const struct home *home, const char *address)
{
	char path[HOME_NAME_MAX];
	struct account account;

	return account_virtual(home_path(home, "users/accounts.cdb", path),
		       address, &account) == ACCOUNT_FOUND &&
	       account.kind == ACCOUNT_ALIAS;
}

static int
change(const struct home *home, const char *address, const char *password,
	enum users_keeping keeping, char why[WHY_MAX])
{
	struct users users;
	int status = STATUS_TEMPORARY;

	if (users_open(&users, home, why, WHY_MAX) < 0)
		return status;
	int has = users_has(&users, address, why, WHY_MAX);
	if (has == 0) {
		snprintf(why, WHY_MAX, "%s is not an account", address);
		status = STATUS_MISUSE;
	} else if (has > 0 && is_alias(home, address)) {
		snprintf(why, WHY_MAX,
			"%s is an alias: nobody logs in by its name", address);
		status = STATUS_MISUSE;
	} else if (has > 0 && users_put_password(&users, address, password,
				      keeping, why, WHY_MAX) == 0) {
		status = STATUS_DONE;
	}
	users_close(&users);
	return status;
}

static int
run(const char *address, enum users_keeping keeping, char why[WHY_MAX])
{
	struct home home;
	struct users_name name;
	char password[USERS_PASSWORD_MAX + 1];

	if (home_open(&home, why, WHY_MAX) < 0)
		return STATUS_TEMPORARY;
	if (!home.is_private && geteuid() != 0) {
		snprintf(why, WHY_MAX, "only root can change passwords");
		return STATUS_MISUSE;
	}
	int status = STATUS_MISUSE;
	if (users_read_name(address, &name, why, WHY_MAX) == 0 &&
		users_read_password(STDIN_FILENO, password, why, WHY_MAX) == 0)
		status = change(&home, name.address, password, keeping, why);
	explicit_bzero(password, sizeof password);
	return status;
}

int
main(int argc, char **argv)
{
	char why[WHY_MAX] = "";
	enum users_keeping keeping = USERS_KEEP_AS_IS;
	int next = 1;

	if (next < argc && strcmp(argv[next], "--cram") == 0) {
		keeping = USERS_KEEP_PASSWORD;
		next++;
	} else if (next < argc && strcmp(argv[next], "--no-cram") == 0) {
		keeping = USERS_KEEP_HASHES;
		next++;
	}
	bool is_ended = next < argc && strcmp(argv[next], "--") == 0;
	next += is_ended;
	if (argc != next + 1 || (!is_ended && argv[next][0] == '-')) {
		fputs("usage: user-passwd [--cram | --no-cram] ADDRESS "
		      "<PASSWORD\n",
			stderr);
		return STATUS_MISUSE;
	}
	umask(077);
	int status = run(argv[next], keeping, why);
	if (status != STATUS_DONE) {
		fprintf(stderr, "user-passwd: ");
		plain_text(stderr, why);
		fputc('\n', stderr);
	}
	return status;
}
