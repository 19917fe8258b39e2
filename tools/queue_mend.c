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
#include "tools/queue_check.h"

/* One finding in hand: its folder is open, and its name stands. */
struct mend {
	const struct check *check;
	enum check_what what;
	char path[CHECK_PATH_MAX];
	const char *name; /* the last part of path */
	int folder;
	struct stat st;
	bool is_apart; /* it goes to doubtful/ under a new id */
	char *done;
	size_t size;
};

static bool
is_done(const struct mend *mend, const char *done)
{
	snprintf(mend->done, mend->size, "%s", done);
	return true;
}

static bool
is_left(const struct mend *mend, const char *why)
{
	snprintf(mend->done, mend->size, "left: %s", why);
	return false;
}

static bool
has_failed(const struct mend *mend)
{
	return is_left(mend, strerror(errno));
}

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

/* Opens the very file that was looked at; -1 with errno. */
static int
open_it(const struct mend *mend)
{
	int kind = S_ISDIR(mend->st.st_mode) ? O_DIRECTORY : O_NONBLOCK;
	struct stat st;
	int fd = openat(mend->folder, mend->name,
		O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | kind);

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && st.st_dev == mend->st.st_dev &&
		st.st_ino == mend->st.st_ino)
		return fd;
	close(fd);
	errno = ESTALE;
	return -1;
}

static bool
remove_it(struct mend *mend, int flags)
{
	if (unlinkat(mend->folder, mend->name, flags) < 0 && errno != ENOENT)
		return has_failed(mend);
	return is_done(mend, "removed");
}

/* --- owner --- */

static int
set_owner(const struct mend *mend, int fd, const struct check_owner *owner)
{
	uid_t uid;
	gid_t gid;

	/* A second name could be one outside the queue. */
	if (S_ISREG(mend->st.st_mode) && mend->st.st_nlink != 1) {
		errno = EMLINK;
		return -1;
	}
	if (check_owner_ids(mend->check->home, owner, &uid, &gid) < 0) {
		errno = EINVAL;
		return -1;
	}
	if (fchown(fd, uid, gid) < 0)
		return -1;
	return fchmod(fd, owner->mode);
}

static bool
mend_owner(struct mend *mend)
{
	const struct check_owner *owner =
		check_owner_of(mend->path, mend->st.st_mode & S_IFMT);
	int fd = open_it(mend);
	int result = fd < 0 || owner == NULL ? -1 : set_owner(mend, fd, owner);
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return result < 0 ? has_failed(mend)
			  : is_done(mend, "owner, group and mode set");
}

/* --- doubtful --- */

/* Writes doubtful/ID.why. 0, or -1 with errno. */
static int
write_why(const struct mend *mend, int doubtful, const char *id)
{
	char name[IDENT_LENGTH + 5], was[CHECK_PATH_MAX * 4], text[2000];

	snprintf(name, sizeof name, "%s.why", id);
	int fd = durable_create(doubtful, name, 0644);
	if (fd < 0)
		return -1;
	escape_line(
		was, sizeof was, mend->path, strlen(mend->path), ESCAPE_HEX);
	snprintf(text, sizeof text, "was: queue/%s\nwhy: %s\n", was,
		check_sentence(mend->what));
	int result = durable_write_all(fd, text, strlen(text));
	if (result == 0)
		result = durable_sync_file(fd);
	int saved = errno;
	close(fd);
	if (result < 0)
		(void)unlinkat(doubtful, name, 0);
	errno = saved;
	return result;
}

/* Moves it to doubtful/ID with its reason; the reason goes again if it cannot be
 * moved. 0, or -1 with errno. */
static int
move_apart(const struct mend *mend, int doubtful, const char *id)
{
	char name[IDENT_LENGTH + 5];
	struct stat st;

	if (fstatat(doubtful, id, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	if (write_why(mend, doubtful, id) < 0)
		return -1;
	if (durable_publish(mend->folder, mend->name, doubtful, id) == 0 &&
		durable_sync_folder(doubtful) == 0 &&
		durable_sync_folder(mend->folder) == 0)
		return 0;
	int saved = errno;
	if (fstatat(doubtful, id, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		snprintf(name, sizeof name, "%s.why", id);
		(void)unlinkat(doubtful, name, 0);
	}
	errno = saved;
	return -1;
}

static bool
set_apart(struct mend *mend)
{
	char id[IDENT_LENGTH + 1], was[CHECK_PATH_MAX * 4];
	bool has_id =
		!mend->is_apart && ident_valid(mend->name, strlen(mend->name));
	int doubtful = check_open_folder(mend->check->queue, QUEUE_DOUBTFUL);
	int result = -1;

	if (doubtful < 0)
		return has_failed(mend);
	errno = EEXIST;
	if (has_id) {
		snprintf(id, sizeof id, "%s", mend->name);
		result = move_apart(mend, doubtful, id);
	}
	if (result < 0 && errno == EEXIST && ident_make(id) == 0)
		result = move_apart(mend, doubtful, id);
	int saved = errno;
	close(doubtful);
	errno = saved;
	if (result < 0)
		return has_failed(mend);
	escape_line(
		was, sizeof was, mend->path, strlen(mend->path), ESCAPE_HEX);
	fprintf(stderr, "queue-check: alarm: %s: %s: moved to doubtful/%s\n",
		was, check_sentence(mend->what), id);
	snprintf(mend->done, mend->size, "moved to doubtful/%s", id);
	return true;
}

/* --- messages in wrong places --- */

static bool
is_seen(const struct check *check, const char *id)
{
	for (size_t i = 0; i < check->ids; i++)
		if (strcmp(check->seen[i].id, id) == 0)
			return true;
	return false;
}

/* A sound message goes to incoming/, where the runner finds it and decides what
 * is next; anything else is doubtful. */
static bool
bring_in(struct mend *mend)
{
	int fd = -1, incoming, result = -1;

	if (!S_ISREG(mend->st.st_mode))
		return is_left(mend, "not a file");
	if (!ident_valid(mend->name, strlen(mend->name)) ||
		is_seen(mend->check, mend->name))
		return set_apart(mend);
	fd = open_it(mend);
	if (fd < 0)
		return has_failed(mend);
	if (check_message_content(fd) != CHECK_WHATS) {
		close(fd);
		return set_apart(mend);
	}
	/* Before the move: the runner must be able to open it. */
	if (!check_owner_is(mend->check, check_owner_of("incoming/x", S_IFREG),
		    &mend->st))
		(void)set_owner(
			mend, fd, check_owner_of("incoming/x", S_IFREG));
	close(fd);
	incoming = check_open_folder(mend->check->queue, QUEUE_INCOMING);
	if (incoming >= 0)
		result = durable_publish(
			mend->folder, mend->name, incoming, mend->name);
	if (result == 0 && (durable_sync_folder(incoming) < 0 ||
				   durable_sync_folder(mend->folder) < 0))
		result = -1;
	int saved = errno;
	if (incoming >= 0)
		close(incoming);
	errno = saved;
	return result < 0 ? has_failed(mend)
			  : is_done(mend, "moved to incoming");
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
		is_mended = bring_in(&mend);
	return is_mended;
}

static bool
mend_bucket(struct mend *mend)
{
	int fd = open_it(mend);
	DIR *open_one = fd < 0 ? NULL : fdopendir(fd);
	bool is_mended = true;
	struct dirent *entry;

	if (open_one == NULL) {
		if (fd >= 0)
			close(fd);
		return has_failed(mend);
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
		return has_failed(mend);
	return is_done(mend, "emptied and removed");
}

/* --- litter in incoming --- */

static bool
remove_orphan(struct mend *mend)
{
	struct message_header header;
	int fd = open_it(mend);

	if (fd < 0)
		return has_failed(mend);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return is_left(mend, "it is being written");
	}
	enum message_result result = message_read_header(fd, &header);
	bool is_removed = false;
	if (result == MESSAGE_ERROR)
		has_failed(mend);
	else if (result == MESSAGE_OK && header.marked)
		is_left(mend, "it is accepted");
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
	int fd = open_it(mend);

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
		return is_left(mend, "look again");
	uint64_t mine = sound_octets(mend), yours = sound_octets(&other);
	bool is_mine_older = mine != yours
				     ? mine < yours
				     : rank(mend->path) < rank(other.path);
	struct mend *older = is_mine_older ? mend : &other;
	if (mend->st.st_dev == other.st.st_dev &&
		mend->st.st_ino == other.st.st_ino) {
		is_mended = remove_it(older, 0);
		if (is_mended)
			is_done(mend, "the second name removed");
	} else {
		older->is_apart = true;
		is_mended = set_apart(older);
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
		return bring_in(mend);
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
		return set_apart(mend);
	default:
		return is_left(mend, "a person must");
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
		return is_left(&mend, "queue-runner runs: stop it first");
	if (finding->what == CHECK_MISSING)
		return is_left(&mend, "make-home makes it");
	if (take_hold(&mend, finding->path) < 0)
		return errno == ENOENT ? is_done(&mend, "gone meanwhile")
				       : has_failed(&mend);
	bool is_mended =
		mend.st.st_dev == finding->device &&
				mend.st.st_ino == finding->inode
			? mend_one(&mend, finding)
			: is_left(&mend, "another file stands there now");
	close(mend.folder);
	return is_mended;
}
