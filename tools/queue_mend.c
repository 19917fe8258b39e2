#include "tools/queue_mend.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "lib/durable.h"
#include "lib/escape.h"
#include "lib/ident.h"
#include "queue/layout.h"
#include "queue/message_file.h"

/* --- one place --- */

/* Opens the folder of a path and looks at what stands there. 0, or -1 with
 * errno. */
static int
take_hold(struct mend *mend, const char *path)
{
	char folder[CHECK_PATH_MAX];

	snprintf(mend->path, sizeof mend->path, "%s", path);
	snprintf(folder, sizeof folder, "%s", path);
	char *slash = strrchr(folder, '/');
	mend->name = slash ? mend->path + (slash - folder) + 1 : mend->path;
	if (slash != NULL)
		*slash = 0;
	mend->folder = check_open_folder(
		mend->check->queue, slash != NULL ? folder : "");
	if (mend->folder < 0)
		return -1;
	if (fstatat(mend->folder, mend->name, &mend->st, AT_SYMLINK_NOFOLLOW) ==
		0)
		return 0;
	int saved = errno;
	close(mend->folder);
	mend->folder = -1;
	errno = saved;
	return -1;
}

static bool
remove_it(struct mend *mend, int flags)
{
	if (unlinkat(mend->folder, mend->name, flags) < 0 && errno != ENOENT)
		return mend_has_failed(mend);
	return mend_is_done(mend, "removed");
}

/* --- owner --- */

static bool
mend_owner(struct mend *mend)
{
	const struct check_owner *owner =
		check_owner_of(mend->path, mend->st.st_mode & S_IFMT);
	int fd = mend_open(mend);
	int result =
		fd < 0 || owner == NULL ? -1 : mend_set_owner(mend, fd, owner);
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return result < 0 ? mend_has_failed(mend)
			  : mend_is_done(mend, "owner, group and mode set");
}

/* One file of a folder whose name is none. */
static bool
empty_out(const struct mend *bucket, int folder, const char *name)
{
	struct mend mend = *bucket;
	bool is_mended;

	mend.folder = folder;
	snprintf(mend.path, sizeof mend.path, "%.120s/%s", bucket->path, name);
	mend.name = mend.path + strlen(mend.path) - strlen(name);
	if (fstatat(folder, name, &mend.st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT;
	if (S_ISDIR(mend.st.st_mode))
		is_mended = remove_it(&mend, AT_REMOVEDIR);
	else if (!S_ISREG(mend.st.st_mode))
		is_mended = remove_it(&mend, 0);
	else
		is_mended = mend_bring_in(&mend);
	return is_mended;
}

static bool
mend_bucket(struct mend *mend)
{
	int fd = mend_open(mend);
	DIR *open_one = fd < 0 ? NULL : fdopendir(fd);
	bool is_mended = true;
	struct dirent *entry;

	if (open_one == NULL) {
		if (fd >= 0)
			close(fd);
		return mend_has_failed(mend);
	}
	while ((entry = readdir(open_one)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
			strcmp(entry->d_name, "..") != 0 &&
			!empty_out(mend, fd, entry->d_name))
			is_mended = false;
	closedir(open_one);
	if (!is_mended)
		return false;
	if (unlinkat(mend->folder, mend->name, AT_REMOVEDIR) < 0)
		return mend_has_failed(mend);
	return mend_is_done(mend, "emptied and removed");
}

/* --- litter in incoming --- */

static bool
remove_orphan(struct mend *mend)
{
	struct message_header header;
	int fd = mend_open(mend);

	if (fd < 0)
		return mend_has_failed(mend);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return mend_is_left(mend, "it is being written");
	}
	enum message_result result = message_read_header(fd, &header);
	bool is_removed = false;
	if (result == MESSAGE_ERROR)
		mend_has_failed(mend);
	else if (result == MESSAGE_OK && header.marked)
		mend_is_left(mend, "it is accepted");
	else
		is_removed = remove_it(mend, 0);
	close(fd);
	return is_removed;
}

/* --- one id at two places --- */

/* The more is recorded in a copy the newer it is. 0 for one that is not sound. */
static uint64_t
sound_octets(const struct mend *mend)
{
	struct message_file message;
	uint64_t octets = 0;
	int fd = mend_open(mend);

	if (fd < 0)
		return 0;
	if (check_message_content(fd) == CHECK_WHATS &&
		message_read(fd, 0, &message) == MESSAGE_OK) {
		octets = message.end;
		message_free(&message);
	}
	close(fd);
	return octets;
}

/* Where a message has come the farther. */
static int
rank(const char *path)
{
	static const char *const order[] = {QUEUE_INCOMING, QUEUE_DEFERRED,
		QUEUE_WAITING, QUEUE_ACTIVE, QUEUE_HELD};

	for (int i = 0; i < 5; i++)
		if (strncmp(path, order[i], strlen(order[i])) == 0)
			return i;
	return -1;
}

/* The newer copy stays. Two names of one file, as a move that was cut short
 * leaves them, become one. */
static bool
mend_twice(struct mend *mend, const char *path)
{
	struct mend other = *mend;
	bool is_mended;

	if (take_hold(&other, path) < 0)
		return mend_is_left(mend, "look again");
	uint64_t mine = sound_octets(mend), yours = sound_octets(&other);
	bool is_mine_older = mine != yours
				     ? mine < yours
				     : rank(mend->path) < rank(other.path);
	struct mend *older = is_mine_older ? mend : &other;
	if (mend->st.st_dev == other.st.st_dev &&
		mend->st.st_ino == other.st.st_ino) {
		is_mended = remove_it(older, 0);
		if (is_mended)
			mend_is_done(mend, "the second name removed");
	} else {
		older->is_apart = true;
		is_mended = mend_set_apart(older);
	}
	close(other.folder);
	return is_mended;
}

/* --- the choice --- */

static bool
mend_one(struct mend *mend, const struct check_finding *finding)
{
	switch (mend->what) {
	case CHECK_MISPLACED:
		return mend_bring_in(mend);
	case CHECK_NO_FILE:
	case CHECK_JOB:
	case CHECK_JOB_ALONE:
	case CHECK_JOB_TEMPORARY:
		return remove_it(mend, 0);
	case CHECK_FOLDER:
	case CHECK_EMPTY:
		return remove_it(mend, AT_REMOVEDIR);
	case CHECK_BUCKET:
		return mend_bucket(mend);
	case CHECK_OWNER:
		return mend_owner(mend);
	case CHECK_ORPHAN:
		return remove_orphan(mend);
	case CHECK_TWICE:
		return mend_twice(mend, finding->other);
	case CHECK_NAME:
	case CHECK_HEADER:
	case CHECK_UNMARKED:
	case CHECK_ENVELOPE:
	case CHECK_OUTCOMES:
	case CHECK_CONTENT:
		return mend_set_apart(mend);
	default:
		return mend_is_left(mend, "a person must");
	}
}

/* A bucket that mending has emptied goes too; one that holds something stays. */
static void
drop_bucket(const struct check *check, const char *path)
{
	char folder[CHECK_PATH_MAX];

	snprintf(folder, sizeof folder, "%s", path);
	for (char *slash = strrchr(folder, '/'); slash != NULL;
		slash = strrchr(folder, '/')) {
		*slash = 0;
		char *name = strrchr(folder, '/');

		if (name == NULL || (strncmp(folder, QUEUE_DEFERRED "/",
					     sizeof QUEUE_DEFERRED) != 0 &&
					    strncmp(folder, QUEUE_WAITING "/",
						    sizeof QUEUE_WAITING) != 0))
			return;
		*name = 0;
		int parent = check_open_folder(check->queue, folder);
		*name = '/';
		if (parent < 0)
			return;
		(void)unlinkat(parent, name + 1, AT_REMOVEDIR);
		close(parent);
	}
}

/* What a running runner, or a channel, may have in hand. */
static bool
is_in_hand(const struct check_finding *finding)
{
	switch (finding->what) {
	case CHECK_JOB:
	case CHECK_JOB_ALONE:
	case CHECK_JOB_TEMPORARY:
	case CHECK_TWICE:
		return true;
	case CHECK_HEADER:
	case CHECK_UNMARKED:
	case CHECK_ENVELOPE:
	case CHECK_OUTCOMES:
	case CHECK_CONTENT:
		return strncmp(finding->path, QUEUE_ACTIVE "/",
			       sizeof QUEUE_ACTIVE) == 0;
	default:
		return false;
	}
}

bool
check_mend(struct check *check, const struct check_finding *finding,
	bool is_stopped, char *done, size_t size)
{
	struct mend mend = {.check = check,
		.what = finding->what,
		.done = done,
		.size = size};

	if (!is_stopped && is_in_hand(finding))
		return mend_is_left(&mend, "queue-runner runs: stop it first");
	if (finding->what == CHECK_MISSING)
		return mend_is_left(&mend, "make-home makes it");
	if (take_hold(&mend, finding->path) < 0)
		return errno == ENOENT ? mend_is_done(&mend, "gone meanwhile")
				       : mend_has_failed(&mend);
	bool is_mended =
		mend.st.st_dev == finding->device &&
				mend.st.st_ino == finding->inode
			? mend_one(&mend, finding)
			: mend_is_left(&mend, "another file stands there now");
	close(mend.folder);
	if (is_mended && finding->what != CHECK_OWNER)
		drop_bucket(check, finding->path);
	return is_mended;
}
