#include <fnmatch.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "tools/queue_check.h"

/* What can be found, as a word and as a sentence, and what --repair does. */
static const struct {
	const char *word, *sentence, *remedy;
} what_table[CHECK_WHATS] = {
	[CHECK_NAME] = {"name", "a file of this name means nothing here",
		"doubtful"},
	[CHECK_MISPLACED] = {"misplaced", "no message stands in this folder",
		"incoming"},
	[CHECK_NO_FILE] = {"no-file",
		"a link, FIFO, socket or device file has no place here",
		"remove"},
	[CHECK_FOLDER] = {"folder", "a folder has no place here",
		"remove if empty"},
	[CHECK_MISSING] = {"missing",
		"the folder is missing: make-home makes it", "none"},
	[CHECK_EMPTY] = {"empty", "a bucket that holds nothing", "remove"},
	[CHECK_BUCKET] = {"bucket",
		"the name of the folder is not one for here", "incoming"},
	[CHECK_OWNER] = {"owner", "owner, group or mode is wrong", "owner"},
	[CHECK_ORPHAN] = {"orphan", "the rest of a broken submission",
		"remove"},
	[CHECK_HEADER] = {"header", "the header of the message is not sound",
		"doubtful"},
	[CHECK_UNMARKED] = {"unmarked", "the message was never accepted",
		"doubtful"},
	[CHECK_ENVELOPE] = {"envelope",
		"lengths, envelope or outcomes of the message are not sound",
		"doubtful"},
	[CHECK_OUTCOMES] = {"outcomes", "an outcome record fails its check",
		"doubtful"},
	[CHECK_CONTENT] = {"content", "the content fails its check",
		"doubtful"},
	[CHECK_UNREADABLE] = {"unreadable", "the file cannot be read", "none"},
	[CHECK_TWICE] = {"twice", "a message of the same id stands elsewhere",
		"doubtful"},
	[CHECK_JOB] = {"job", "not a job of this name and folder", "remove"},
	[CHECK_JOB_ALONE] = {"job-alone",
		"the message of this job is not active", "remove"},
	[CHECK_JOB_TEMPORARY] = {"job-temporary",
		"a job that was never handed out", "remove"},
};

const char *
check_word(enum check_what what)
{
	return what_table[what].word;
}

const char *
check_sentence(enum check_what what)
{
	return what_table[what].sentence;
}

const char *
check_remedy(enum check_what what)
{
	return what_table[what].remedy;
}

/* --- owners --- */

/* doc/queue.md and tools/make-home; the first pattern that fits counts. A "*"
 * is one name. */
static const struct {
	const char *pattern;
	mode_t type;
	struct check_owner owner;
} owner_table[] = {
	{".", S_IFDIR, {"root", "keep-read", 0710}},
	{"incoming", S_IFDIR, {"_keep-runner", "_keep-queue", 0775}},
	{"active", S_IFDIR, {"_keep-runner", "_keep-runner", 0755}},
	{"deferred", S_IFDIR, {"_keep-runner", "_keep-runner", 0755}},
	{"waiting", S_IFDIR, {"_keep-runner", "_keep-runner", 0755}},
	{"held", S_IFDIR, {"_keep-runner", "_keep-runner", 0755}},
	{"doubtful", S_IFDIR, {"_keep-runner", "_keep-runner", 0755}},
	{"requests", S_IFDIR, {"_keep-runner", "keep-read", 0770}},
	{"jobs", S_IFDIR, {"root", "root", 0755}},
	{"jobs/local", S_IFDIR, {"_keep-runner", "_keep-local", 02770}},
	{"jobs/remote", S_IFDIR, {"_keep-runner", "_keep-remote", 02770}},
	{"jobs/local/*", S_IFDIR, {"_keep-runner", "_keep-local", 02770}},
	{"jobs/remote/*", S_IFDIR, {"_keep-runner", "_keep-remote", 02770}},
	{"jobs/local/*/*", S_IFREG, {"_keep-runner", "_keep-local", 0660}},
	{"jobs/remote/*/*", S_IFREG, {"_keep-runner", "_keep-remote", 0660}},
	{"wake", S_IFDIR, {"root", "keep-read", 01775}},
	{"deferred/*", S_IFDIR, {"_keep-runner", "_keep-runner", 0755}},
	{"waiting/*", S_IFDIR, {"_keep-runner", "_keep-runner", 0755}},
	{"waiting/*/*", S_IFDIR, {"_keep-runner", "_keep-runner", 0755}},
	{"incoming/*", S_IFREG, {"_keep-queue", "_keep-runner", 0664}},
	{"active/*", S_IFREG, {"_keep-queue", "_keep-runner", 0664}},
	{"held/*", S_IFREG, {"_keep-queue", "_keep-runner", 0664}},
	{"deferred/*/*", S_IFREG, {"_keep-queue", "_keep-runner", 0664}},
	{"waiting/*/*", S_IFREG, {"_keep-queue", "_keep-runner", 0664}},
	{"waiting/*/*/*", S_IFREG, {"_keep-queue", "_keep-runner", 0664}},
};

const struct check_owner *
check_owner_of(const char *path, mode_t type)
{
	for (size_t i = 0; i < sizeof owner_table / sizeof owner_table[0]; i++)
		if (owner_table[i].type == type &&
			fnmatch(owner_table[i].pattern, path, FNM_PATHNAME) ==
				0)
			return &owner_table[i].owner;
	return NULL;
}

bool
check_owner_is(const struct check *check, const struct check_owner *owner,
	const struct stat *st)
{
	uid_t uid;
	gid_t gid;

	if (owner == NULL)
		return true;
	if (check_owner_ids(check->home, owner, &uid, &gid) < 0)
		return true;
	if (check->home->is_private)
		return st->st_uid == uid;
	return st->st_uid == uid && st->st_gid == gid &&
	       (st->st_mode & 07777) == owner->mode;
}

int
check_owner_ids(const struct home *home, const struct check_owner *owner,
	uid_t *uid, gid_t *gid)
{
	bool is_root = strcmp(owner->user, "root") == 0;

	if (is_root && !home->is_private)
		*uid = 0;
	else if (home_user_id(home, owner->user, uid) < 0)
		return -1;
	if (strcmp(owner->group, "root") == 0 && !home->is_private)
		*gid = 0;
	else if (home_group_id(home, owner->group, gid) < 0)
		return -1;
	return 0;
}

int
check_owners_known(const struct home *home, char *why, size_t size)
{
	uid_t uid;
	gid_t gid;

	for (size_t i = 0; i < sizeof owner_table / sizeof owner_table[0];
		i++) {
		const struct check_owner *owner = &owner_table[i].owner;

		if (check_owner_ids(home, owner, &uid, &gid) == 0)
			continue;
		snprintf(why, size,
			"%s/control/ids does not name %s or %s; make-users "
			"writes it",
			home->path, owner->user, owner->group);
		return -1;
	}
	return 0;
}
