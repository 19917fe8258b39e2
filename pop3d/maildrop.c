#include "pop3d/maildrop.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pop3d/number.h"

/* Of a folder that changes while it is read, so many readings are made. */
#define SCANS_MAX 3

static const char *const FOLDER_NAMES[] = {"new", "cur"};

enum scan_result {
	SCAN_DONE,
	SCAN_AGAIN, /* a name went away under the reading */
	SCAN_TROUBLE,
};

static size_t
base_length_of(const char *name)
{
	return strcspn(name, ":");
}

/* The seconds that a name begins with; 0 if it begins otherwise. */
static uint64_t
delivery_time(const char *name, size_t base_length)
{
	size_t digits = strspn(name, "0123456789");
	uint64_t seconds;

	if (digits > base_length || !pop3_number(name, digits, &seconds))
		return 0;
	return seconds;
}

/* Order of delivery; the same file's names side by side, that in cur/ first. */
static int
compare_identity(const struct maildrop_message *left,
	const struct maildrop_message *right)
{
	size_t shorter = left->base_length < right->base_length
				 ? left->base_length
				 : right->base_length;

	if (left->delivered != right->delivered)
		return left->delivered < right->delivered ? -1 : 1;
	int order = memcmp(left->name, right->name, shorter);
	if (order != 0)
		return order;
	if (left->base_length != right->base_length)
		return left->base_length < right->base_length ? -1 : 1;
	if (left->inode != right->inode)
		return left->inode < right->inode ? -1 : 1;
	return 0;
}

static int
compare_messages(const void *left_pointer, const void *right_pointer)
{
	const struct maildrop_message *left = left_pointer;
	const struct maildrop_message *right = right_pointer;
	int order = compare_identity(left, right);

	if (order != 0)
		return order;
	if (left->folder != right->folder)
		return left->folder == MAILDROP_CUR ? -1 : 1;
	return strcmp(left->name, right->name);
}

static int
add_message(struct maildrop *drop, enum maildrop_folder folder,
	const char *name, const struct stat *status)
{
	if (drop->messages == drop->room) {
		size_t room = drop->room == 0 ? 64 : drop->room * 2;
		void *larger = reallocarray(
			drop->message, room, sizeof *drop->message);

		if (larger == NULL)
			return -1;
		drop->message = larger;
		drop->room = room;
	}
	struct maildrop_message *message = &drop->message[drop->messages];
	*message = (struct maildrop_message){
		.name = strdup(name),
		.base_length = base_length_of(name),
		.inode = status->st_ino,
		.file_octets = status->st_size,
		.modified = status->st_mtim,
		.folder = folder,
		.linked = status->st_nlink > 1,
	};
	if (message->name == NULL)
		return -1;
	message->delivered = delivery_time(name, message->base_length);
	drop->messages++;
	return 0;
}

static void
forget_messages(struct maildrop *drop)
{
	for (size_t at = 0; at < drop->messages; at++)
		free(drop->message[at].name);
	free(drop->message);
	drop->message = NULL;
	drop->messages = drop->room = 0;
}

/* Adds the messages that an open folder has. */
static enum scan_result
scan_stream(struct maildrop *drop, enum maildrop_folder folder, DIR *stream)
{
	enum scan_result result = SCAN_DONE;

	for (;;) {
		struct stat status;

		errno = 0;
		const struct dirent *entry = readdir(stream);
		if (entry == NULL)
			return errno != 0 ? SCAN_TROUBLE : result;
		if (entry->d_name[0] == '.' ||
			(entry->d_type != DT_REG &&
				entry->d_type != DT_UNKNOWN))
			continue;
		if (fstatat(dirfd(stream), entry->d_name, &status,
			    AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno != ENOENT)
				return SCAN_TROUBLE;
			result = SCAN_AGAIN;
			continue;
		}
		if (!S_ISREG(status.st_mode))
			continue;
		if (drop->messages == MAILDROP_MESSAGES_MAX) {
			drop->incomplete = 1;
			return result;
		}
		if (add_message(drop, folder, entry->d_name, &status) < 0)
			return SCAN_TROUBLE;
	}
}

static enum scan_result
scan_folder(struct maildrop *drop, enum maildrop_folder folder)
{
	if (drop->folder[folder] < 0)
		return SCAN_DONE;
	/* Not dup: this reading has a position of its own. */
	int fd = openat(
		drop->folder[folder], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return SCAN_TROUBLE;
	DIR *stream = fdopendir(fd);
	if (stream == NULL) {
		int saved = errno;

		close(fd);
		errno = saved;
		return SCAN_TROUBLE;
	}
	enum scan_result result = scan_stream(drop, folder, stream);
	int saved = errno;
	closedir(stream);
	errno = saved;
	return result;
}

/*
 * Leaves one of several names of the same file (it was renamed between the two
 * readings, or a move that was cut short has left both), and marks messages of
 * the same base.
 */
static void
settle_names(struct maildrop *drop)
{
	size_t kept = 0;

	for (size_t at = 0; at < drop->messages; at++) {
		struct maildrop_message *message = &drop->message[at];
		struct maildrop_message *last =
			kept > 0 ? &drop->message[kept - 1] : NULL;

		if (last != NULL && compare_identity(last, message) == 0) {
			last->linked = 1;
			free(message->name);
			continue;
		}
		if (last != NULL && last->base_length == message->base_length &&
			memcmp(last->name, message->name,
				message->base_length) == 0)
			last->shared = message->shared = 1;
		drop->message[kept++] = *message;
	}
	drop->messages = kept;
}

/* Makes the list of messages. 0, or -1 with errno and no list. */
static int
scan(struct maildrop *drop)
{
	for (int scans = 1;; scans++) {
		/* new/ first: what moves to cur/ meanwhile is seen twice
		 * rather than not at all. */
		enum scan_result first = scan_folder(drop, MAILDROP_NEW);
		enum scan_result second =
			first == SCAN_TROUBLE ? SCAN_TROUBLE
					      : scan_folder(drop, MAILDROP_CUR);

		if (second == SCAN_TROUBLE) {
			int saved = errno;

			forget_messages(drop);
			errno = saved;
			return -1;
		}
		if (first == SCAN_DONE && second == SCAN_DONE)
			break;
		if (scans == SCANS_MAX) {
			drop->incomplete = 1;
			break;
		}
		forget_messages(drop);
		drop->incomplete = 0;
	}
	if (drop->messages > 0)
		qsort(drop->message, drop->messages, sizeof *drop->message,
			compare_messages);
	settle_names(drop);
	return 0;
}

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
	int maildir = open_below(home, account->maildir);
	int saved = errno;
	close(home);
	errno = saved;
	if (maildir < 0)
		return errno == ENOENT ? 0 : -1;
	for (int folder = MAILDROP_NEW; folder <= MAILDROP_CUR; folder++) {
		drop->folder[folder] = openat(maildir, FOLDER_NAMES[folder],
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (drop->folder[folder] < 0 && errno != ENOENT) {
			saved = errno;
			close(maildir);
			errno = saved;
			return -1;
		}
	}
	close(maildir);
	return 0;
}

int
maildrop_open(struct maildrop *drop, const struct account *account)
{
	*drop = (struct maildrop){.folder = {-1, -1}};
	if (open_folders(drop, account) == 0 && scan(drop) == 0)
		return 0;
	int saved = errno;
	maildrop_close(drop);
	errno = saved;
	return -1;
}

void
maildrop_close(struct maildrop *drop)
{
	forget_messages(drop);
	for (int folder = MAILDROP_NEW; folder <= MAILDROP_CUR; folder++)
		if (drop->folder[folder] >= 0)
			close(drop->folder[folder]);
	*drop = (struct maildrop){.folder = {-1, -1}};
}

int
maildrop_refresh(struct maildrop *drop)
{
	struct maildrop now = {
		.folder = {drop->folder[MAILDROP_NEW],
			drop->folder[MAILDROP_CUR]},
	};
	size_t found = 0;

	if (scan(&now) < 0)
		return -1;
	if (now.incomplete) {
		forget_messages(&now);
		errno = EAGAIN;
		return -1;
	}
	/* Both lists have the same order. */
	for (size_t at = 0; at < drop->messages; at++) {
		struct maildrop_message *message = &drop->message[at];
		int order = 1;

		while (found < now.messages &&
			(order = compare_identity(
				 &now.message[found], message)) < 0)
			found++;
		message->gone = found == now.messages || order != 0;
		if (message->gone)
			continue;
		struct maildrop_message *fresh = &now.message[found++];
		char *name = message->name;
		message->name = fresh->name;
		fresh->name = name;
		message->folder = fresh->folder;
		message->linked |= fresh->linked;
	}
	forget_messages(&now);
	return 0;
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
