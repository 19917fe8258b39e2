#include "pop3d/scan.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pop3d/number.h"

/* Of a folder that changes while it is read, so many readings are made. */
#define SCANS_MAX 3
/* Names are kept in blocks, which never move. */
#define BLOCK_OCTETS 65000

struct maildrop_names {
	struct maildrop_names *next;
	size_t used;
	char text[BLOCK_OCTETS];
};

enum scan_result {
	SCAN_DONE,
	SCAN_AGAIN, /* the folder changed under the reading */
	SCAN_TROUBLE,
};

/* The seconds that a name begins with; 0 if it begins otherwise. */
static uint32_t
delivery_time(const char *name, size_t base_length)
{
	size_t digits = strspn(name, "0123456789");
	uint64_t seconds;

	if (digits > base_length || !pop3_number(name, digits, &seconds))
		return 0;
	return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

int
scan_compare(const struct maildrop_message *left,
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

/* The same file's names side by side, that in cur/ first. */
static int
compare_messages(const void *left_pointer, const void *right_pointer)
{
	const struct maildrop_message *left = left_pointer;
	const struct maildrop_message *right = right_pointer;
	int order = scan_compare(left, right);

	if (order != 0)
		return order;
	if (left->folder != right->folder)
		return left->folder == MAILDROP_CUR ? -1 : 1;
	return strcmp(left->name, right->name);
}

const char *
scan_keep_name(struct maildrop_names **names, const char *name, size_t length)
{
	if (*names == NULL || BLOCK_OCTETS - (*names)->used <= length) {
		struct maildrop_names *block = malloc(sizeof *block);

		if (block == NULL)
			return NULL;
		block->next = *names;
		block->used = 0;
		*names = block;
	}
	char *kept = (*names)->text + (*names)->used;
	memcpy(kept, name, length);
	kept[length] = '\0';
	(*names)->used += length + 1;
	return kept;
}

void
scan_forget_names(struct maildrop_names *names)
{
	while (names != NULL) {
		struct maildrop_names *next = names->next;

		free(names);
		names = next;
	}
}

void
scan_forget(struct maildrop *drop)
{
	scan_forget_names(drop->names);
	free(drop->message);
	drop->names = NULL;
	drop->message = NULL;
	drop->messages = drop->room = 0;
}

static int
add_message(struct maildrop *drop, enum maildrop_folder folder,
	const char *name, ino_t inode, bool is_linked)
{
	size_t length = strlen(name), base_length = strcspn(name, ":");

	/* NAME_MAX; more would not fit base_length. */
	if (length > 255)
		return 0;
	if (drop->messages == drop->room) {
		size_t room = drop->room == 0 ? 64 : drop->room * 2;
		void *larger = reallocarray(
			drop->message, room, sizeof *drop->message);

		if (larger == NULL)
			return -1;
		drop->message = larger;
		drop->room = room;
	}
	const char *kept = scan_keep_name(&drop->names, name, length);
	if (kept == NULL)
		return -1;
	drop->message[drop->messages++] = (struct maildrop_message){
		.name = kept,
		.inode = inode,
		.delivered = delivery_time(name, base_length),
		.base_length = (uint8_t)base_length,
		.folder = folder,
		.linked = is_linked,
	};
	return 0;
}

/* How entries of a folder are read. */
struct reading {
	DIR *stream;
	/* The file system's entries tell the inodes that files have. Some do
	 * not, so the first entry is compared. */
	bool has_inodes;
	bool is_compared;
};

/*
 * Whether an entry is a message, and its inode. 1, 0, or -1 with errno (ENOENT:
 * the name went away).
 */
static int
look_at(struct reading *reading, const struct dirent *entry, ino_t *inode,
	bool *is_linked)
{
	struct stat status;

	*inode = entry->d_ino;
	*is_linked = false;
	if (entry->d_name[0] == '.' ||
		(entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN))
		return 0;
	if (reading->has_inodes && entry->d_type == DT_REG)
		return 1;
	if (fstatat(dirfd(reading->stream), entry->d_name, &status,
		    AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (!reading->is_compared) {
		reading->is_compared = true;
		reading->has_inodes = status.st_ino == entry->d_ino;
	}
	*inode = status.st_ino;
	*is_linked = status.st_nlink > 1;
	return S_ISREG(status.st_mode);
}

/* Adds the messages that an open folder has. */
static enum scan_result
scan_stream(struct maildrop *drop, enum maildrop_folder folder, DIR *stream)
{
	struct reading reading = {.stream = stream};
	enum scan_result result = SCAN_DONE;

	for (;;) {
		ino_t inode;
		bool is_linked;

		errno = 0;
		const struct dirent *entry = readdir(stream);
		if (entry == NULL)
			return errno != 0 ? SCAN_TROUBLE : result;
		int is_message = look_at(&reading, entry, &inode, &is_linked);
		if (is_message < 0) {
			if (errno != ENOENT)
				return SCAN_TROUBLE;
			result = SCAN_AGAIN;
		}
		if (is_message <= 0)
			continue;
		if (drop->messages == MAILDROP_MESSAGES_MAX) {
			drop->incomplete = 1;
			return result;
		}
		if (add_message(drop, folder, entry->d_name, inode, is_linked) <
			0)
			return SCAN_TROUBLE;
	}
}

/*
 * A name that is changed while the folder is read may be passed over. In new/
 * names only come, and go to cur/, which is read later.
 */
static enum scan_result
scan_steadily(struct maildrop *drop, enum maildrop_folder folder, DIR *stream)
{
	struct stat before, after;

	if (fstat(dirfd(stream), &before) < 0)
		return SCAN_TROUBLE;
	enum scan_result result = scan_stream(drop, folder, stream);
	if (result != SCAN_DONE || folder == MAILDROP_NEW)
		return result;
	if (fstat(dirfd(stream), &after) < 0)
		return SCAN_TROUBLE;
	return before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
			       before.st_mtim.tv_nsec == after.st_mtim.tv_nsec
		       ? SCAN_DONE
		       : SCAN_AGAIN;
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
	enum scan_result result = scan_steadily(drop, folder, stream);
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

		if (last != NULL && scan_compare(last, message) == 0) {
			last->linked = 1;
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

int
scan_messages(struct maildrop *drop)
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

			scan_forget(drop);
			errno = saved;
			return -1;
		}
		if (first == SCAN_DONE && second == SCAN_DONE)
			break;
		if (scans == SCANS_MAX) {
			drop->incomplete = 1;
			break;
		}
		scan_forget(drop);
		drop->incomplete = 0;
	}
	if (drop->messages > 0)
		qsort(drop->message, drop->messages, sizeof *drop->message,
			compare_messages);
	settle_names(drop);
	return 0;
}
