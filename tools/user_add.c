/*
 * user-add adds a virtual account: its mail folder, its password, its entry in
 * the user database.
 *
 * Runs as root (in private mode as the owner of the home).
 * Is handed the address, and the password as the first line of standard input.
 * Promises that the account exists only when all of it does: folders first, then
 * the password, the entry last; a second run mends what a killed one left.
 * Never changes an account that exists, and never follows a link on the way to
 * its folders.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/cdbfile.h"
#include "lib/home.h"
#include "lib/outcome.h"
#include "tools/maildir_make.h"
#include "tools/plain.h"
#include "tools/users.h"
#include "tools/users_line.h"

#define WHY_MAX 600

struct adding {
	struct home home;
	struct users_name name;
	struct account account;
	char password[USERS_PASSWORD_MAX + 1];
	enum users_keeping keeping;
	char why[WHY_MAX];
};

static int
scan_arguments(int argc, char **argv, struct adding *adding,
	const char **address, const char **home)
{
	int next = 1;

	*home = NULL;
	adding->keeping = USERS_KEEP_HASHES;
	while (next < argc && argv[next][0] == '-') {
		if (strcmp(argv[next], "--") == 0) {
			next++;
			break;
		}
		if (strcmp(argv[next], "--cram") == 0) {
			adding->keeping = USERS_KEEP_PASSWORD;
			next++;
			continue;
		}
		if (next + 1 >= argc)
			return -1;
		if (strcmp(argv[next], "--home") == 0)
			*home = argv[next + 1];
		else if (strcmp(argv[next], "--quota") != 0 ||
			 users_scan_size(argv[next + 1],
				 &adding->account.quota_octets) < 0)
			return -1;
		next += 2;
	}
	if (next + 1 != argc)
		return -1;
	*address = argv[next];
	return 0;
}

/* Takes the owner from the account's domain, if domain-add made it. */
static int
find_domain(struct adding *adding)
{
	char path[HOME_NAME_MAX], key[300];
	struct account domain;
	struct cdbfile file;

	snprintf(key, sizeof key, "@%s", adding->name.domain);
	if (cdbfile_open(&file,
		    home_path(&adding->home, "users/accounts.cdb", path)) < 0) {
		if (errno == ENOENT)
			return 0;
		snprintf(adding->why, WHY_MAX, "%s: %s", path, strerror(errno));
		return -1;
	}
	enum account_result result = account_find(&file, key, &domain);
	cdbfile_close(&file);
	if (result == ACCOUNT_FOUND) {
		adding->account.uid = domain.uid;
		adding->account.gid = domain.gid;
	}
	if (result != ACCOUNT_TROUBLE)
		return 0;
	snprintf(adding->why, WHY_MAX, "%s: the record of %s is damaged", path,
		key + 1);
	return -1;
}

/* Says who owns the account and where its mail is. */
static int
describe(struct adding *adding, const char *home)
{
	struct account *account = &adding->account;
	unsigned char packed[ACCOUNT_RECORD_MAX];
	size_t length;
	int needed;

	if (find_domain(adding) < 0)
		return -1;
	if (account->uid == 0 &&
		(home_user_id(&adding->home, "_keep-vmail", &account->uid) <
				0 ||
			home_group_id(&adding->home, "_keep-vmail",
				&account->gid) < 0)) {
		snprintf(adding->why, WHY_MAX,
			"control/ids does not name _keep-vmail: run "
			"make-users");
		return -1;
	}
	snprintf(account->name, sizeof account->name, "%s",
		adding->name.address);
	snprintf(account->maildir, sizeof account->maildir, "./Maildir/");
	if (home != NULL)
		needed = snprintf(
			account->home, sizeof account->home, "%s", home);
	else
		needed = snprintf(account->home, sizeof account->home,
			"%s/mail/%s/%s", adding->home.path, adding->name.domain,
			adding->name.local);
	if (needed >= 0 && (size_t)needed < sizeof account->home &&
		account_pack(account, packed, sizeof packed, &length) == 0)
		return 0;
	snprintf(adding->why, WHY_MAX,
		"uid %u, gid %u and home \"%.200s\" do not make an account: "
		"the home must be absolute, without \"..\", of at most %d "
		"octets",
		(unsigned)account->uid, (unsigned)account->gid, account->home,
		ACCOUNT_HOME_MAX - 1);
	return -1;
}

/* Opens a folder on the way; the last one to be read, so that it can be synced. */
static int
open_standing(int parent, const char *name, bool is_last)
{
	return openat(parent, name,
		(is_last ? O_RDONLY : O_PATH) | O_DIRECTORY | O_NOFOLLOW |
			O_CLOEXEC);
}

/*
 * Goes down a path, one name at a time. The first `standing` octets of it must be
 * there already; below, what is missing is made. Returns the descriptor, or -1
 * with errno.
 */
static int
descend(const char *path, size_t standing, uid_t uid, gid_t gid)
{
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *at = path;

	while (folder >= 0) {
		char name[ACCOUNT_HOME_MAX];

		at += strspn(at, "/");
		size_t length = strcspn(at, "/");
		if (length == 0)
			break;
		memcpy(name, at, length);
		name[length] = 0;
		at += length;
		size_t gone = (size_t)(at - path);
		int next = gone <= standing ? open_standing(folder, name,
						      gone == standing)
					    : maildir_make_folder(folder, name,
						      0700, uid, gid);
		int saved = errno;
		close(folder);
		errno = saved;
		folder = next;
	}
	return folder;
}

/* How much of the account's home must stand already: all but its last name for
 * --home, HOME/mail otherwise. */
static size_t
standing_length(const struct adding *adding, bool is_given)
{
	const char *home = adding->account.home;
	size_t length = strlen(home);

	if (!is_given)
		return strlen(adding->home.path) + strlen("/mail");
	while (length > 0 && home[length - 1] == '/')
		length--;
	while (length > 0 && home[length - 1] != '/')
		length--;
	while (length > 0 && home[length - 1] == '/')
		length--;
	return length;
}

static int
make_folders(struct adding *adding, bool is_given)
{
	const struct account *account = &adding->account;
	bool is_private = adding->home.is_private;
	uid_t uid = is_private ? geteuid() : account->uid;
	gid_t gid = is_private ? (gid_t)-1 : account->gid;
	int result = -1, maildir = -1;

	int home = descend(
		account->home, standing_length(adding, is_given), uid, gid);
	if (home >= 0)
		maildir = maildir_make_folder(home, "Maildir", 0700, uid, gid);
	if (maildir >= 0)
		result = maildir_make_inner(maildir, uid, gid);
	if (result < 0)
		snprintf(adding->why, WHY_MAX,
			"%.400s: cannot make it a mail folder: %s%s",
			account->home, strerror(errno),
			errno == ELOOP || errno == ENOTDIR
				? " (a symbolic link on the way?)"
				: "");
	if (home >= 0)
		close(home);
	if (maildir >= 0)
		close(maildir);
	return result;
}

/* Under the lock: everything that the account needs, the entry last. */
static int
add(struct adding *adding, struct users *users, bool is_given)
{
	const char *address = adding->account.name;
	int has = users_has(users, address, adding->why, WHY_MAX);

	if (has < 0)
		return STATUS_TEMPORARY;
	if (has > 0) {
		snprintf(adding->why, WHY_MAX,
			"%s exists; user-passwd changes its password", address);
		return STATUS_MISUSE;
	}
	if (make_folders(adding, is_given) < 0 ||
		users_put_password(users, address, adding->password,
			adding->keeping, adding->why, WHY_MAX) < 0 ||
		users_put_account(
			users, &adding->account, adding->why, WHY_MAX) < 0)
		return STATUS_TEMPORARY;
	return STATUS_DONE;
}

static bool
is_catch_all(struct adding *adding)
{
	if (strcmp(adding->name.local, "*") != 0)
		return false;
	snprintf(adding->why, WHY_MAX,
		"a catch-all, %s, is an alias: alias-add adds it",
		adding->name.address);
	return true;
}

static int
run(struct adding *adding, const char *address, const char *home)
{
	struct users users;

	if (home_open(&adding->home, adding->why, WHY_MAX) < 0)
		return STATUS_TEMPORARY;
	if (!adding->home.is_private && geteuid() != 0) {
		snprintf(adding->why, WHY_MAX, "only root can add accounts");
		return STATUS_MISUSE;
	}
	if (users_read_name(address, &adding->name, adding->why, WHY_MAX) < 0 ||
		is_catch_all(adding) || describe(adding, home) < 0 ||
		users_read_password(STDIN_FILENO, adding->password, adding->why,
			WHY_MAX) < 0)
		return STATUS_MISUSE;
	if (users_open(&users, &adding->home, adding->why, WHY_MAX) < 0)
		return STATUS_TEMPORARY;
	int status = add(adding, &users, home != NULL);
	users_close(&users);
	return status;
}

int
main(int argc, char **argv)
{
	struct adding adding = {0};
	const char *address, *home;

	if (scan_arguments(argc, argv, &adding, &address, &home) < 0) {
		fputs("usage: user-add [--cram] [--home DIR] [--quota SIZE] "
		      "ADDRESS <PASSWORD\n",
			stderr);
		return STATUS_MISUSE;
	}
	umask(077);
	int status = run(&adding, address, home);
	explicit_bzero(adding.password, sizeof adding.password);
	if (status != STATUS_DONE) {
		fprintf(stderr, "user-add: ");
		plain_text(stderr, adding.why);
		fputc('\n', stderr);
	}
	return status;
}
