#include "tools/queue_mend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib/durable.h"
#include "lib/escape.h"
#include "lib/ident.h"
#include "queue/layout.h"

/* --- what is said --- */

bool
mend_is_done(const struct mend *mend, const char *done)
{
	snprintf(mend->done, mend->size, "%s", done);
	return true;
}

bool
mend_is_left(const struct mend *mend, const char *why)
{
	snprintf(mend->done, mend->size, "left: %s", why);
	return false;
}

bool
mend_has_failed(const struct mend *mend)
{
	return mend_is_left(mend, strerror(errno));
}

/* --- one file --- */

/* Opens the very file that was looked at; -1 with errno. */
int
mend_open(const struct mend *mend)
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

int
mend_set_owner(const struct mend *mend, int fd, const struct check_owner *owner)
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

bool
mend_set_apart(struct mend *mend)
{
	char id[IDENT_LENGTH + 1], was[CHECK_PATH_MAX * 4];
	bool has_id =
		!mend->is_apart && ident_valid(mend->name, strlen(mend->name));
	int doubtful = check_open_folder(mend->check->queue, QUEUE_DOUBTFUL);
	int result = -1;

	if (doubtful < 0)
		return mend_has_failed(mend);
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
		return mend_has_failed(mend);
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
bool
mend_bring_in(struct mend *mend)
{
	int fd = -1, incoming, result = -1;

	if (!S_ISREG(mend->st.st_mode))
		return mend_is_left(mend, "not a file");
	if (!ident_valid(mend->name, strlen(mend->name)) ||
		is_seen(mend->check, mend->name))
		return mend_set_apart(mend);
	fd = mend_open(mend);
	if (fd < 0)
		return mend_has_failed(mend);
	if (check_message_content(fd) != CHECK_WHATS) {
		close(fd);
		return mend_set_apart(mend);
	}
	/* Before the move: the runner must be able to open it. */
	if (!check_owner_is(mend->check, check_owner_of("incoming/x", S_IFREG),
		    &mend->st))
		(void)mend_set_owner(
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
	return result < 0 ? mend_has_failed(mend)
			  : mend_is_done(mend, "moved to incoming");
}
