#include "pop3d/maildrop.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "pop3d/scan.h"

#define LOCK_NAME "keepmail-lock"
/* So often is a lock tried that is held. */
#define LOCK_EVERY_MS 25

static const char *const FOLDER_NAMES[] = {"new", "cur"};

/*
 * Opens the folder that path names below the folder at, component by component,
 * so that no link is followed. Folders on the way need not be readable. Returns
 * a descriptor, or -1 with errno.
 */
static int
open_below(int at, const char *path)
{
	int folder = openat(at, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[ACCOUNT_HOME_MAX];

	while (folder >= 0) {
		path += strspn(path, "/");
		size_t length = strcspn(path, "/");
		if (length == 0)
			return folder;
		int next = -1, saved = EINVAL;
		if (length < sizeof name) {
			memcpy(name, path, length);
			name[length] = '\0';
			if (strcmp(name, "..") != 0) {
				next = openat(folder, name,
					O_PATH | O_DIRECTORY | O_NOFOLLOW |
						O_CLOEXEC);
				saved = errno;
			}
		}
		close(folder);
		errno = saved;
		folder = next;
		path += length;
	}
	return -1;
}

static int
open_folders(struct maildrop *drop, const struct account *account)
{
	int home = open(account->home, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (home < 0)
		return errno == ENOENT ? 0 : -1;
	drop->maildir = open_below(home, account->maildir);
	int saved = errno;
	close(home);
	errno = saved;
	if (drop->maildir < 0)
		return errno == ENOENT ? 0 : -1;
	for (int folder = MAILDROP_NEW; folder <= MAILDROP_CUR; folder++) {
		drop->folder[folder] = openat(drop->maildir,
			FOLDER_NAMES[folder],
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (drop->folder[folder] < 0 && errno != ENOENT)
			return -1;
	}
	return 0;
}

/* Tries to lock the open file: 1, 0 (somebody has it), or -1 with errno. */
static int
try_lock(int fd)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	/* Of the open file, not of the process, and by fcntl, which reaches
	 * over NFS. */
	if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
		return 1;
	return errno == EAGAIN || errno == EACCES ? 0 : -1;
}

static int
wait_for_lock(int fd, int wait_ms)
{
	int64_t deadline_ms = deadline_after_ms(wait_ms);

	for (;;) {
		int locked = try_lock(fd);

		if (locked != 0)
			return locked;
		if (deadline_left_ms(deadline_ms) == 0) {
			errno = EBUSY;
			return -1;
		}
		(void)poll(NULL, 0, LOCK_EVERY_MS);
	}
}

/* Whether an error means that there can be no lock here, and not that somebody
 * has it or that something else is in its place. */
static int
is_without_locks(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
	case EROFS:
	case ENOSPC:
	case EDQUOT:
	case ENOLCK:
	case EOPNOTSUPP:
	case ENOSYS:
		return 1;
	}
	return 0;
}

static int
lock(struct maildrop *drop, int wait_ms)
{
	struct stat status;
	int saved = EINVAL;

	if (drop->maildir < 0)
		return 0;
	int fd = openat(drop->maildir, LOCK_NAME,
		O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
			O_CLOEXEC,
		0600);
	if (fd < 0)
		return is_without_locks(errno) ? 0 : -1;
	if (fstat(fd, &status) < 0) {
		saved = errno;
	} else if (S_ISREG(status.st_mode)) {
		if (wait_for_lock(fd, wait_ms) > 0) {
			drop->lock = fd;
			return 0;
		}
		saved = errno;
	}
	close(fd);
	errno = saved;
	return is_without_locks(saved) ? 0 : -1;
}

void
maildrop_unlock(struct maildrop *drop)
{
	if (drop->lock >= 0)
		close(drop->lock);
	drop->lock = -1;
}

int
maildrop_open(struct maildrop *drop, const struct account *account, int wait_ms)
{
	MAILDROP_CLOSED(drop);
	if (open_folders(drop, account) == 0 && lock(drop, wait_ms) == 0 &&
		scan_messages(drop) == 0)
		return 0;
	int saved = errno;
	maildrop_close(drop);
	errno = saved;
	return -1;
}

void
maildrop_close(struct maildrop *drop)
{
	maildrop_sizes_save(drop);
	maildrop_unlock(drop);
	scan_forget(drop);
	free(drop->size);
	for (int folder = MAILDROP_NEW; folder <= MAILDROP_CUR; folder++)
		if (drop->folder[folder] >= 0)
			close(drop->folder[folder]);
	if (drop->maildir >= 0)
		close(drop->maildir);
	MAILDROP_CLOSED(drop);
}

/*
 * Takes over what a fresh list says; both have the same order. The names of
 * messages that are gone are kept beside the fresh ones. -1: ENOMEM, and nothing
 * has changed.
 */
static int
take_names(struct maildrop *drop, struct maildrop *now)
{
	const char **kept = calloc(drop->messages, sizeof *kept);
	size_t found = 0;

	if (kept == NULL)
		return -1;
	for (size_t at = 0; at < drop->messages; at++) {
		const struct maildrop_message *message = &drop->message[at];
		int order = 1;

		while (found < now->messages &&
			(order = scan_compare(&now->message[found], message)) <
				0)
			found++;
		if (found < now->messages && order == 0) {
			found++;
			continue;
		}
		kept[at] = scan_keep_name(
			&now->names, message->name, strlen(message->name));
		if (kept[at] == NULL) {
			free(kept);
			return -1;
		}
	}
	found = 0;
	for (size_t at = 0; at < drop->messages; at++) {
		struct maildrop_message *message = &drop->message[at];

		message->gone = kept[at] != NULL;
		if (message->gone) {
			message->name = kept[at];
			continue;
		}
		while (scan_compare(&now->message[found], message) != 0)
			found++;
		message->name = now->message[found].name;
		message->folder = now->message[found].folder;
		message->linked |= now->message[found].linked;
		found++;
	}
	free(kept);
	struct maildrop_names *names = drop->names;
	drop->names = now->names;
	now->names = names;
	return 0;
}

int
maildrop_refresh(struct maildrop *drop)
{
	struct maildrop now;

	if (drop->messages == 0)
		return 0;
	MAILDROP_CLOSED(&now);
	now.folder[MAILDROP_NEW] = drop->folder[MAILDROP_NEW];
	now.folder[MAILDROP_CUR] = drop->folder[MAILDROP_CUR];
	if (scan_messages(&now) < 0)
		return -1;
	int result = -1, saved = EAGAIN;
	if (!now.incomplete) {
		result = take_names(drop, &now);
		saved = ENOMEM;
	}
	scan_forget(&now);
	if (result < 0)
		errno = saved;
	return result;
}

/* Opens the file by the name that is known. */
static int
open_by_name(const struct maildrop *drop,
	const struct maildrop_message *message, struct stat *status)
{
	int fd = openat(drop->folder[message->folder], message->name,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0) {
		if (errno == ELOOP)
			errno = ENOENT;
		return -1;
	}
	int saved = ENOENT;
	if (fstat(fd, status) < 0)
		saved = errno;
	else if (S_ISREG(status->st_mode) && status->st_ino == message->inode)
		return fd;
	close(fd);
	errno = saved;
	return -1;
}

int
maildrop_message_open(struct maildrop *drop, struct maildrop_message *message,
	struct stat *status)
{
	/* One look at the folders settles all messages that went: a client
	 * that asks for each of them costs no more. */
	if (message->gone) {
		errno = ENOENT;
		return -1;
	}
	int fd = open_by_name(drop, message, status);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (maildrop_refresh(drop) < 0)
		return -1;
	if (message->gone) {
		errno = ENOENT;
		return -1;
	}
	return open_by_name(drop, message, status);
}
