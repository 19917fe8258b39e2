#ifndef LIB_DURABLE_H
#define LIB_DURABLE_H

/*
 * The steps by which a file becomes durable, each with a name, so that their
 * order can be read where it matters. Every step says what a power cut after it
 * leaves. fsync errors are final: the kernel may have dropped the data, so a
 * second try on the same descriptor proves nothing.
 */

#include <stddef.h>
#include <sys/types.h>

/*
 * Creates a new file in folder: exclusive, no link followed, close-on-exec, read
 * and write. Returns the descriptor or -1 with errno. After a power cut: there
 * or not, empty.
 */
int durable_create(int folder, const char *name, mode_t mode);

/* Writes everything, in spite of short writes. 0, or -1 with errno. After a power
 * cut: any part of it, in any order. */
int durable_write_all(int fd, const void *octets, size_t length);
int durable_write_at(int fd, const void *octets, size_t length, off_t offset);

/* fsync of a file: after a power cut its contents stand; its name may not. */
int durable_sync_file(int fd);

/* fsync of a folder: after a power cut the names in it stand as they are now. */
int durable_sync_folder(int folder);

/*
 * Gives a file its final name, never over another one (EEXIST): renameat2 with
 * RENAME_NOREPLACE, or link and unlink where a file system lacks it. After a
 * power cut: the old name or the new one (with link and unlink: or both).
 */
int durable_publish(
	int from_folder, const char *from, int to_folder, const char *to);

/*
 * Replaces a small file (a control file, a cdb): writes a temporary name beside
 * it, syncs, renames over, syncs the folder. Readers see the old or the new one,
 * whole; so does a power cut. 0, or -1 with errno and the old one in place.
 */
int durable_replace(int folder, const char *name, const void *octets,
	size_t length, mode_t mode, uid_t uid, gid_t gid);

#endif
