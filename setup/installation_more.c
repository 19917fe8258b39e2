/* What stands in no table of paths: users, what lies in folders, set-id bits. */
#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/deadline.h"
#include "setup/installation.h"
#include "setup/run.h"

#define PATH_SIZE 600
#define WORD_SIZE (4 * PATH_SIZE + 3)
#define SCRIPT_MS 20000
#define GROUPS_MAX 64
/* Names of what the walk has found are told one by one up to here. */
#define TOLD_MAX 50

/* --- what lies in folders --- */

struct rule {
	const char *folder; /* of the home */
	const char *ending; /* of a file's name, "" for all */
	mode_t forbidden;   /* bits that none may have */
	bool is_roots;
	const char *why;
};

static const struct rule rules[] = {
	{"control", "", 07022, true, "others could change settings"},
	{"secrets", "", 07137, true, "others could read passwords"},
	{"tls", ".key", 07137, false, "others could read the key"},
	{"tls-client", ".key", 07177, true, "others could read the key"},
	{"users", "", 07022, false, "others could change accounts"},
	{"service", "", 07022, true, "others could change what root runs"},
	{"port", "", 07022, true, "others could change ports"},
	{"alias", "", 07022, false, "others could change where mail goes"},
};

static bool
ends_with(const char *name, const char *ending)
{
	size_t len = strlen(name), tail = strlen(ending);

	return len >= tail && strcmp(name + len - tail, ending) == 0;
}

static void
check_content(const struct installation *installation, const struct rule *rule,
	const char *path)
{
	struct findings *findings = installation->findings;
	char word[WORD_SIZE], mend[FINDINGS_TEXT_MAX];
	uid_t owner = installation->is_private ? installation->owner : 0;
	struct stat st;

	/* of a link what it leads to, for that is what is read */
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	findings_word(path, word, sizeof word);
	if (rule->is_roots && st.st_uid != owner) {
		findings_mend(mend, "chown root %s", word);
		findings_tell(findings, FINDING_FAIL, path,
			installation->is_private ? NULL : mend,
			"belongs to uid %u: %s", (unsigned)st.st_uid,
			rule->why);
	} else if ((st.st_mode & rule->forbidden) != 0) {
		findings_mend(mend, "chmod %04o %s",
			(unsigned)(st.st_mode & 07777 & ~rule->forbidden),
			word);
		findings_tell(findings, FINDING_FAIL, path, mend,
			"has mode %04o: %s", (unsigned)st.st_mode & 07777,
			rule->why);
	} else {
		findings_tell(findings, FINDING_OK, path, NULL, "%04o",
			(unsigned)st.st_mode & 07777);
	}
}

static void
check_folder(const struct installation *installation, const struct rule *rule)
{
	char folder[PATH_SIZE], path[PATH_SIZE + 300];
	struct dirent *entry;

	snprintf(folder, sizeof folder, "%s/%s", installation->home,
		rule->folder);
	DIR *listing = opendir(folder);
	if (listing == NULL) {
		/* a folder that is missing was told of already */
		if (errno != ENOENT)
			findings_tell(installation->findings, FINDING_FAIL,
				folder,
				errno == EACCES ? "run it as root" : NULL,
				"cannot be read: %s", strerror(errno));
		return;
	}
	while ((entry = readdir(listing)) != NULL) {
		if (!ends_with(entry->d_name, rule->ending))
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		check_content(installation, rule, path);
	}
	closedir(listing);
}

void
installation_contents(const struct installation *installation)
{
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
		check_folder(installation, &rules[i]);
}

/* --- users and groups --- */

/* Whether the user is in exactly these groups: primary, and a list with commas
 * between. missing gets the name of one that is wrong. */
static bool
has_groups(const struct passwd *user, gid_t primary, const char *others,
	char missing[64])
{
	gid_t has[GROUPS_MAX];
	int count = GROUPS_MAX, wanted = 1;
	char list[200], *rest = NULL;

	if (getgrouplist(user->pw_name, user->pw_gid, has, &count) < 0)
		count = 0;
	snprintf(list, sizeof list, "%s", others);
	snprintf(missing, 64, "only its own");
	if (user->pw_gid != primary)
		return false;
	for (char *name = strtok_r(list, ",", &rest); name != NULL;
		name = strtok_r(NULL, ",", &rest)) {
		const struct group *group = getgrnam(name);
		bool is_in = false;

		for (int i = 0; group != NULL && i < count; i++)
			is_in |= has[i] == group->gr_gid;
		snprintf(missing, 64, "%s", name);
		if (!is_in)
			return false;
		wanted++;
	}
	snprintf(missing, 64, "no others");
	return count == wanted;
}

static void
check_user(const struct installation *installation, const struct home *home,
	const char *name, const char *primary, const char *others)
{
	struct findings *findings = installation->findings;
	const struct group *group = getgrnam(primary);
	gid_t gid = group == NULL ? (gid_t)-1 : group->gr_gid;
	const struct passwd *user = getpwnam(name);
	char mend[FINDINGS_TEXT_MAX], word[WORD_SIZE], missing[64];
	uid_t uid;

	findings_mend(mend, "%s/make-users %s", installation->programs,
		findings_word(installation->home, word, sizeof word));
	if (user == NULL || group == NULL) {
		findings_tell(findings, FINDING_FAIL, name, mend,
			"there is no "
			"such %s",
			user == NULL ? "user" : primary);
		return;
	}
	if (user->pw_uid == 0)
		findings_tell(findings, FINDING_FAIL, name, NULL,
			"has uid 0: give it another in /etc/passwd");
	else if (!has_groups(user, gid, others, missing))
		findings_tell(findings, FINDING_FAIL, name, mend,
			"is in other groups than it should be: expected %s and "
			"%s",
			primary, missing);
	else if (!ends_with(user->pw_shell, "/nologin") &&
		 !ends_with(user->pw_shell, "/false"))
		findings_tell(findings, FINDING_FAIL, name,
			findings_mend(mend,
				"usermod --shell /usr/sbin/nologin %s", name),
			"has the shell %s", user->pw_shell);
	else if (home != NULL &&
		 (home_user_id(home, name, &uid) < 0 || uid != user->pw_uid))
		findings_tell(findings, FINDING_FAIL, name, mend,
			"has another number than in control/ids");
	else
		findings_tell(findings, FINDING_OK, name, NULL,
			"is a user of its own");
}

static void
check_users(const struct installation *installation, const struct home *home,
	char *table)
{
	char name[64], primary[64], others[200], *rest = NULL;

	for (char *line = strtok_r(table, "\n", &rest); line != NULL;
		line = strtok_r(NULL, "\n", &rest)) {
		others[0] = '\0';
		if (sscanf(line, "%63s %63s %199s", name, primary, others) < 2)
			findings_tell(installation->findings, FINDING_FAIL,
				"make-users",
				"make install (in the source's folder)",
				"its table is malformed");
		else
			check_user(installation, home, name, primary, others);
	}
}

void
installation_users(const struct installation *installation)
{
	struct findings *findings = installation->findings;
	char path[PATH_SIZE], why[300], mend[FINDINGS_TEXT_MAX],
		word[WORD_SIZE];
	char table[] = "--table", *argv[] = {path, table, NULL};
	struct run *run = malloc(sizeof *run);
	struct home *home = malloc(sizeof *home);

	snprintf(path, sizeof path, "%s/make-users", installation->programs);
	findings_mend(mend, "%s %s", path,
		findings_word(installation->home, word, sizeof word));
	if (home != NULL && home_open(home, why, sizeof why) < 0) {
		findings_tell(
			findings, FINDING_FAIL, "control/ids", mend, "%s", why);
		free(home);
		home = NULL;
	}
	if (run == NULL ||
		run_program(run, argv, "", deadline_after_ms(SCRIPT_MS)) < 0)
		findings_tell(findings, FINDING_FAIL, path,
			"make install (in the source's folder)", "%s",
			run == NULL ? "out of memory" : run->said);
	else
		check_users(installation, home, run->output);
	free(home);
	free(run);
}

/* --- set-uid and set-gid --- */

static void
tell_setid(const struct installation *installation, const char *path)
{
	char word[WORD_SIZE], mend[FINDINGS_TEXT_MAX];

	findings_mend(
		mend, "chmod ug-s %s", findings_word(path, word, sizeof word));
	findings_tell(installation->findings, FINDING_FAIL, path, mend,
		"is set-uid or set-gid: nothing of keepmail is");
}

/* Returns how many files were looked at. */
static unsigned long
walk(const struct installation *installation, FTS *tree)
{
	unsigned long files = 0;
	unsigned told = 0;
	FTSENT *entry;

	while ((entry = fts_read(tree)) != NULL) {
		if (entry->fts_info == FTS_D && entry->fts_level == 1 &&
			strcmp(entry->fts_name, "mail") == 0)
			(void)fts_set(tree, entry, FTS_SKIP);
		else if (entry->fts_info == FTS_DNR && told++ < TOLD_MAX)
			findings_tell(installation->findings, FINDING_FAIL,
				entry->fts_path, "run it as root",
				"cannot be read: %s",
				strerror(entry->fts_errno));
		if (entry->fts_info != FTS_F)
			continue;
		files++;
		if ((entry->fts_statp->st_mode & 06000) != 0 &&
			told++ < TOLD_MAX)
			tell_setid(installation, entry->fts_path);
	}
	return files;
}

void
installation_setid(const struct installation *installation)
{
	struct findings *findings = installation->findings;
	char *folder[] = {(char *)installation->programs,
		(char *)installation->home, NULL};
	unsigned before = findings->count[FINDING_FAIL];

	FTS *tree = fts_open(folder, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (tree == NULL) {
		findings_tell(findings, FINDING_FAIL, "set-uid", NULL, "%s",
			strerror(errno));
		return;
	}
	unsigned long files = walk(installation, tree);
	fts_close(tree);
	if (findings->count[FINDING_FAIL] == before)
		findings_tell(findings, FINDING_OK, "set-uid", NULL,
			"none of %lu files is set-uid or set-gid", files);
}
