/* What stands in tables: programs, and the folders of the home. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "setup/installation.h"
#include "setup/run.h"

#define TABLE_MAX 262144
#define PATH_SIZE 600
#define WORD_SIZE (4 * PATH_SIZE + 3)
#define SCRIPT_MS 20000
#define FIELDS_MAX 6

/* --- one path --- */

static const char *const kind_name[] = {
	"a folder", "a FIFO", "a regular file", "a symbolic link"};

static mode_t
kind_bits(enum installed_kind kind)
{
	static const mode_t bits[] = {S_IFDIR, S_IFIFO, S_IFREG, S_IFLNK};

	return bits[kind];
}

/* 0, or -1: no user or group of that name. */
static int
wanted_owner(const struct installation *installation,
	const struct path_wanted *wanted, uid_t *uid, gid_t *gid)
{
	*uid = installation->owner;
	*gid = (gid_t)-1;
	if (installation->is_private)
		return 0;
	const struct passwd *user = getpwnam(wanted->user);
	if (user == NULL)
		return -1;
	*uid = user->pw_uid;
	const struct group *group = getgrnam(wanted->group);
	if (group == NULL)
		return -1;
	*gid = group->gr_gid;
	return 0;
}

static void
check_link(struct findings *findings, const struct path_wanted *wanted)
{
	char target[PATH_SIZE];
	ssize_t len = readlink(wanted->path, target, sizeof target - 1);

	target[len < 0 ? 0 : len] = '\0';
	if (strcmp(target, wanted->target) == 0)
		findings_tell(findings, FINDING_OK, wanted->path, NULL,
			"is a link to %s", target);
	else
		findings_tell(findings, FINDING_FAIL, wanted->path,
			wanted->make, "is a link to %s: expected %s", target,
			wanted->target);
}

/* In a private home its owner may show others more, but let them change nothing. */
static bool
is_laxer(const struct installation *installation,
	const struct path_wanted *wanted, mode_t mode)
{
	mode_t added = mode & 07777 & ~wanted->mode,
	       taken = wanted->mode & ~mode;

	return installation->is_private && taken == 0 && (added & ~0055) == 0;
}

static void
check_owner(const struct installation *installation,
	const struct path_wanted *wanted, const struct stat *st)
{
	struct findings *findings = installation->findings;
	char word[WORD_SIZE], mend[FINDINGS_TEXT_MAX];
	uid_t uid;
	gid_t gid;

	if (wanted_owner(installation, wanted, &uid, &gid) < 0) {
		findings_tell(findings, FINDING_FAIL, wanted->path,
			wanted->make, "there is no user %s or no group %s",
			wanted->user, wanted->group);
		return;
	}
	findings_word(wanted->path, word, sizeof word);
	if (st->st_uid != uid || (gid != (gid_t)-1 && st->st_gid != gid)) {
		/* chown takes set-id bits away, which chmod gives back */
		findings_mend(mend, "chown %s:%s %s && chmod %04o %s",
			wanted->user, wanted->group, word,
			(unsigned)wanted->mode, word);
		findings_tell(findings, FINDING_FAIL, wanted->path,
			installation->is_private ? NULL : mend,
			"belongs to %u:%u: expected %s:%s",
			(unsigned)st->st_uid, (unsigned)st->st_gid,
			installation->is_private ? "its caller" : wanted->user,
			installation->is_private ? "its group" : wanted->group);
	} else if ((st->st_mode & 07777) != wanted->mode) {
		findings_mend(
			mend, "chmod %04o %s", (unsigned)wanted->mode, word);
		findings_tell(findings,
			is_laxer(installation, wanted, st->st_mode)
				? FINDING_WARN
				: FINDING_FAIL,
			wanted->path, mend, "has mode %04o: expected %04o",
			(unsigned)st->st_mode & 07777, (unsigned)wanted->mode);
	} else {
		findings_tell(findings, FINDING_OK, wanted->path, NULL,
			"%s %s:%s %04o", kind_name[wanted->kind], wanted->user,
			wanted->group, (unsigned)wanted->mode);
	}
}

void
installation_path(const struct installation *installation,
	const struct path_wanted *wanted)
{
	struct findings *findings = installation->findings;
	struct stat st;

	if (lstat(wanted->path, &st) < 0)
		findings_tell(findings, FINDING_FAIL, wanted->path,
			errno == EACCES ? "run it as root" : wanted->make,
			errno == ENOENT ? "is missing"
					: "cannot be looked at: %s",
			strerror(errno));
	else if ((st.st_mode & S_IFMT) != kind_bits(wanted->kind))
		findings_tell(findings, FINDING_FAIL, wanted->path,
			wanted->make, "is not %s", kind_name[wanted->kind]);
	else if (wanted->kind == KIND_LINK)
		check_link(findings, wanted);
	else
		check_owner(installation, wanted, &st);
}

/* --- tables --- */

/* Splits a line at blanks. Returns the number of fields, 0 for a comment. */
static unsigned
split(char *line, char *field[FIELDS_MAX])
{
	unsigned fields = 0;
	char *rest = NULL;

	if (line[0] == '#')
		return 0;
	for (char *word = strtok_r(line, " \t", &rest);
		word != NULL && fields < FIELDS_MAX;
		word = strtok_r(NULL, " \t", &rest))
		field[fields++] = word;
	return fields;
}

/* An octal mode; 0, or -1. */
static int
read_mode(const char *text, mode_t *mode)
{
	char *end;
	unsigned long value = strtoul(text, &end, 8);

	if (text[0] == '\0' || *end != '\0' || value > 07777)
		return -1;
	*mode = (mode_t)value;
	return 0;
}

/* A package may have compressed a manual and given it a suffix of its own. True if
 * it did, and told. */
static bool
is_packaged(const struct installation *installation, const char *path)
{
	static const char *const endings[] = {".gz", "keepmail", "keepmail.gz"};
	char other[PATH_SIZE + 16];
	struct stat st;

	if (lstat(path, &st) == 0 || errno != ENOENT)
		return false;
	for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
		snprintf(other, sizeof other, "%s%s", path, endings[i]);
		if (lstat(other, &st) < 0)
			continue;
		findings_tell(installation->findings, FINDING_OK, other, NULL,
			"is there, as a package has it");
		return true;
	}
	return false;
}

/* A row of install.table: PATH OWNER GROUP MODE SOURCE. 0, or -1. */
static int
program_row(const struct installation *installation, char **field)
{
	char path[PATH_SIZE];
	struct path_wanted wanted = {.path = path,
		.kind = KIND_FILE,
		.user = field[1],
		.group = field[2],
		.target = field[4],
		.make = "make install (in the source's folder)"};
	int len = strncmp(field[0], "libexec/", 8) == 0
			  ? snprintf(path, sizeof path, "%s/%s",
				    KEEPMAIL_LIBEXEC, field[0] + 8)
			  : snprintf(path, sizeof path, "%s/%s",
				    KEEPMAIL_PREFIX, field[0]);

	if (len >= (int)sizeof path)
		return -1;
	if (strcmp(field[3], "link") == 0)
		wanted.kind = KIND_LINK;
	else if (read_mode(field[3], &wanted.mode) < 0)
		return -1;
	if (strncmp(field[0], "share/man/", 10) != 0 ||
		!is_packaged(installation, path))
		installation_path(installation, &wanted);
	return 0;
}

/* A row of `make-home --table`: KIND PATH OWNER GROUP MODE. 0, or -1. */
static int
home_row(const struct installation *installation, char **field)
{
	char path[PATH_SIZE], make[FINDINGS_TEXT_MAX], word[WORD_SIZE];
	struct path_wanted wanted = {.path = path,
		.user = field[2],
		.group = field[3],
		.make = make};
	bool is_home = strcmp(field[1], ".") == 0;

	if (strcmp(field[0], "dir") == 0)
		wanted.kind = KIND_FOLDER;
	else if (strcmp(field[0], "fifo") == 0)
		wanted.kind = KIND_FIFO;
	else if (strcmp(field[0], "file") == 0)
		wanted.kind = KIND_FILE;
	else
		return -1;
	if (read_mode(field[4], &wanted.mode) < 0 ||
		snprintf(path, sizeof path, "%s%s%s", installation->home,
			is_home ? "" : "/",
			is_home ? "" : field[1]) >= (int)sizeof path)
		return -1;
	findings_mend(make, "%s/make-home %s%s", installation->programs,
		installation->is_private ? "--private " : "",
		findings_word(installation->home, word, sizeof word));
	installation_path(installation, &wanted);
	return 0;
}

/* Hands each row of a table on; a row that is none is a FAIL. */
static void
each_row(const struct installation *installation, const char *name, char *text,
	int (*row)(const struct installation *, char **))
{
	char *field[FIELDS_MAX], *rest = NULL;
	unsigned number = 0;

	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
		line = strtok_r(NULL, "\n", &rest)) {
		unsigned fields = split(line, field);

		number += fields > 0;
		if (fields > 0 && (fields != 5 || row(installation, field) < 0))
			findings_tell(installation->findings, FINDING_FAIL,
				name, "make install (in the source's folder)",
				"row %u is malformed", number);
	}
	if (number == 0)
		findings_tell(installation->findings, FINDING_FAIL, name,
			"make install (in the source's folder)", "is empty");
}

/* The text of a file, NUL at its end, to be freed; NULL with errno. */
static char *
read_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *text = fd < 0 ? NULL : malloc(TABLE_MAX + 1);
	size_t used = 0;
	ssize_t count = 1;

	while (text != NULL && used < TABLE_MAX && count > 0) {
		count = read(fd, text + used, TABLE_MAX - used);
		if (count > 0)
			used += (size_t)count;
		else if (count < 0 && errno == EINTR)
			count = 1;
	}
	int saved = errno;
	if (fd >= 0)
		close(fd);
	if (text != NULL)
		text[used] = '\0';
	errno = saved;
	return text;
}

void
installation_programs(const struct installation *installation)
{
	char *text = read_text(INSTALLATION_TABLE);

	if (text == NULL) {
		findings_tell(installation->findings, FINDING_FAIL,
			INSTALLATION_TABLE,
			"make install (in the source's folder)",
			"cannot be read: %s", strerror(errno));
		return;
	}
	each_row(installation, INSTALLATION_TABLE, text, program_row);
	free(text);
}

void
installation_home(const struct installation *installation)
{
	char path[PATH_SIZE];
	char table[] = "--table", *argv[] = {path, table, NULL};
	struct run *run = malloc(sizeof *run);

	snprintf(path, sizeof path, "%s/make-home", installation->programs);
	if (run == NULL ||
		run_program(run, argv, "", deadline_after_ms(SCRIPT_MS)) < 0)
		findings_tell(installation->findings, FINDING_FAIL, path,
			"make install (in the source's folder)", "%s",
			run == NULL ? "out of memory" : run->said);
	else
		each_row(installation, path, run->output, home_row);
	free(run);
}
