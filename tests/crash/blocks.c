/*
 * blocks IMAGE LOG FOLDER: a disk that keeps a log of what is written to it and
 * when it is flushed, for a loop device to stand on.
 *
 * Mounts FOLDER (FUSE) with two files: "disk", which is IMAGE, and "mark", whose
 * writes go to LOG alone. One thread serves both, so LOG has one order. It begins
 * with nothing; each record is a struct entry and so many octets as it says, the
 * numbers in the machine's own order. Ends when FOLDER is unmounted.
 */

#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRY_WRITE = 1, ENTRY_FLUSH = 2, ENTRY_MARK = 3 };

struct entry {
	uint64_t type, offset, octets;
};

struct disk {
	int image, log;
	off_t size;
};

static struct disk *
our_disk(void)
{
	return fuse_get_context()->private_data;
}

static void
put(int fd, const void *octets, size_t length)
{
	const char *at = octets;

	while (length > 0) {
		ssize_t put = write(fd, at, length);

		/* a log with a hole proves nothing */
		if (put <= 0)
			abort();
		at += put;
		length -= (size_t)put;
	}
}

static void
note(uint64_t type, off_t offset, const void *octets, size_t length)
{
	struct entry entry = {type, (uint64_t)offset, length};
	int log = our_disk()->log;

	put(log, &entry, sizeof entry);
	put(log, octets, length);
}

static bool
is_mark(const char *path)
{
	return strcmp(path, "/mark") == 0;
}

static int
get_attributes(const char *path, struct stat *st, struct fuse_file_info *info)
{
	(void)info;
	memset(st, 0, sizeof *st);
	st->st_nlink = 1;
	st->st_mode = S_IFREG | 0600;
	if (strcmp(path, "/") == 0)
		st->st_mode = S_IFDIR | 0700;
	else if (strcmp(path, "/disk") == 0)
		st->st_size = our_disk()->size;
	else if (!is_mark(path))
		return -ENOENT;
	return 0;
}

static int
read_folder(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
	struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
	(void)path;
	(void)offset;
	(void)info;
	(void)flags;
	fill(buffer, "disk", NULL, 0, 0);
	fill(buffer, "mark", NULL, 0, 0);
	return 0;
}

static int
open_file(const char *path, struct fuse_file_info *info)
{
	info->direct_io = is_mark(path);
	return 0;
}

static int
read_file(const char *path, char *buffer, size_t size, off_t offset,
	struct fuse_file_info *info)
{
	(void)info;
	if (is_mark(path))
		return 0;
	ssize_t got = pread(our_disk()->image, buffer, size, offset);
	return got < 0 ? -errno : (int)got;
}

static int
write_file(const char *path, const char *octets, size_t size, off_t offset,
	struct fuse_file_info *info)
{
	(void)info;
	note(is_mark(path) ? ENTRY_MARK : ENTRY_WRITE, offset, octets, size);
	if (is_mark(path))
		return (int)size;
	ssize_t put_there = pwrite(our_disk()->image, octets, size, offset);
	return put_there < 0 ? -errno : (int)put_there;
}

static int
sync_file(const char *path, int only_data, struct fuse_file_info *info)
{
	(void)only_data;
	(void)info;
	if (!is_mark(path))
		note(ENTRY_FLUSH, 0, "", 0);
	return 0;
}

/* A hole that is made or a size that changes would be missing in the log. */
static int
allocate(const char *path, int mode, off_t offset, off_t length,
	struct fuse_file_info *info)
{
	(void)path;
	(void)mode;
	(void)offset;
	(void)length;
	(void)info;
	return -EOPNOTSUPP;
}

static int
set_size(const char *path, off_t size, struct fuse_file_info *info)
{
	(void)info;
	return is_mark(path) || size == our_disk()->size ? 0 : -EPERM;
}

static const struct fuse_operations operations = {
	.getattr = get_attributes,
	.readdir = read_folder,
	.open = open_file,
	.read = read_file,
	.write = write_file,
	.fsync = sync_file,
	.fallocate = allocate,
	.truncate = set_size,
};

int
main(int argc, char **argv)
{
	struct disk disk;
	struct stat st;

	if (argc != 4) {
		fputs("usage: blocks IMAGE LOG FOLDER\n", stderr);
		return 100;
	}
	disk.image = open(argv[1], O_RDWR | O_CLOEXEC);
	disk.log = open(argv[2],
		O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (disk.image < 0 || disk.log < 0 || fstat(disk.image, &st) < 0) {
		fprintf(stderr, "blocks: %s\n", strerror(errno));
		return 111;
	}
	disk.size = st.st_size;
	/* -f: in the foreground, -s: one thread */
	char *options[] = {argv[0], argv[3], "-f", "-s", NULL};
	return fuse_main(4, options, &operations, &disk);
}
