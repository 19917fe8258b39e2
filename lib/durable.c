#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/durable.h"
#include "lib/ident.h"

int
durable_create(int folder, const char *name, mode_t mode)
{
	return openat(folder, name,
		O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
}

int
durable_write_all(int fd, const void *octets, size_t length)
{
	const char *at = octets;

	while (length > 0) {
		ssize_t put = write(fd, at, length);

		if (put < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		at += put;
		length -= (size_t)put;
	}
	return 0;
}

int
durable_write_at(int fd, const void *octets, size_t length, off_t offset)
{
	const char *at = octets;

	while (length > 0) {
		ssize_t put = pwrite(fd, at, length, offset);

		if (put < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		at += put;
		offset += put;
		length -= (size_t)put;
	}
	return 0;
}

int
durable_sync_file(int fd)
{
	return fsync(fd);
}

int
durable_sync_folder(int folder)
{
	return fsync(folder);
}

int
durable_publish(
	int from_folder, const char *from, int to_folder, const char *to)
{
	if (renameat2(from_folder, from, to_folder, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (linkat(from_folder, from, to_folder, to, 0) < 0)
		return -1;
	(void)unlinkat(from_folder, from, 0);
	return 0;
}

int
durable_replace(int folder, const char *name, const void *octets, size_t length,
	mode_t mode, uid_t uid, gid_t gid)
{
	char temporary[300], id[IDENT_LENGTH + 1];
	int saved;

	if (ident_make(id) < 0)
		return -1;
	int needed = snprintf(temporary, sizeof temporary, ".%s.%s", name, id);
	if (needed < 0 || (size_t)needed >= sizeof temporary) {
		errno = ENAMETOOLONG;
		return -1;
	}
	int fd = durable_create(folder, temporary, 0600);
	if (fd < 0)
		return -1;
	/* sync before rename: a name never points at content that may vanish */
	if (durable_write_all(fd, octets, length) < 0 ||
		((uid != (uid_t)-1 || gid != (gid_t)-1) &&
			fchown(fd, uid, gid) < 0) ||
		fchmod(fd, mode) < 0 || durable_sync_file(fd) < 0 ||
		renameat(folder, temporary, folder, name) < 0)
		goto remove_temporary;
	close(fd);
	return durable_sync_folder(folder);

remove_temporary:
	saved = errno;
	close(fd);
	(void)unlinkat(folder, temporary, 0);
	errno = saved;
	return -1;
}
