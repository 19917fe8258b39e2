#include "mail/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t
base_length(const char *name)
{
	return strcspn(name, ":");
}

static int
compare(const void *left_pointer, const void *right_pointer)
{
	const struct folder_entry *left = left_pointer;
	const struct folder_entry *right = right_pointer;

	if (left->delivered_s != right->delivered_s)
		return left->delivered_s < right->delivered_s ? -1 : 1;
	return strcmp(left->unique, right->unique);
}

static int
add(struct folder *folder, const char *sub, const char *name, size_t *room)
{
	struct folder_entry *entry;
	size_t sub_length = strlen(sub), length = strlen(name);

	if (folder->count == *room) {
		*room = *room == 0 ? 64 : 2 * *room;
		entry = reallocarray(folder->entries, *room, sizeof(*entry));
		if (entry == NULL)
			return -1;
		folder->entries = entry;
	}
	entry = &folder->entries[folder->count];
	entry->path = malloc(sub_length + length + 2);
	if (entry->path == NULL)
		return -1;
	memcpy(entry->path, sub, sub_length);
	entry->path[sub_length] = '/';
	memcpy(entry->path + sub_length + 1, name, length + 1);
	entry->unique = entry->path + sub_length + 1;
	entry->delivered_s = strtoull(entry->unique, NULL, 10);
	folder->count++;
	return 0;
}

static int
read_one(struct folder *folder, const char *sub, size_t *room)
{
	int fd = openat(folder->fd, sub,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int result = 0;

	if (list == NULL) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	errno = 0;
	while (result == 0 && (entry = readdir(list)) != NULL) {
		if (entry->d_name[0] != '.' && entry->d_type != DT_DIR)
			result = add(folder, sub, entry->d_name, room);
	}
	if (errno != 0)
		result = -1;
	closedir(list);
	return result;
}

int
folder_read(const char *path, struct folder *folder)
{
	size_t room = 0;

	memset(folder, 0, sizeof(*folder));
	folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->fd < 0)
		return -1;
	if (read_one(folder, "new", &room) < 0 ||
		read_one(folder, "cur", &room) < 0) {
		if (errno == ENOENT)
			errno = ENOTDIR;
		return -1;
	}
	if (folder->count > 0)
		qsort(folder->entries, folder->count, sizeof(*folder->entries),
			compare);
	return 0;
}

void
folder_free(struct folder *folder)
{
	size_t i;

	for (i = 0; i < folder->count; i++)
		free(folder->entries[i].path);
	free(folder->entries);
	if (folder->fd >= 0)
		close(folder->fd);
	folder->fd = -1;
	folder->entries = NULL;
	folder->count = 0;
}

const struct folder_entry *
folder_find(const struct folder *folder, const char *wanted)
{
	size_t length = base_length(wanted), i;

	if (length == 0)
		return NULL;
	if (length <= 9 && strspn(wanted, "0123456789") == strlen(wanted)) {
		i = strtoul(wanted, NULL, 10);
		return i >= 1 && i <= folder->count ? &folder->entries[i - 1]
						    : NULL;
	}
	for (i = 0; i < folder->count; i++) {
		const char *name = folder->entries[i].unique;

		if (base_length(name) == length &&
			memcmp(name, wanted, length) == 0)
			return &folder->entries[i];
	}
	return NULL;
}

int
folder_open(const struct folder *folder, const struct folder_entry *entry)
{
	struct stat status;
	int fd = openat(folder->fd, entry->path,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}
