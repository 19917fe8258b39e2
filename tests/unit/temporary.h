#ifndef TESTS_UNIT_TEMPORARY_H
#define TESTS_UNIT_TEMPORARY_H

/*
 * A folder for one test, and small files in it. A failure ends the test
 * program: there is nothing to test then.
 */

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_MAX 64

static inline void
temporary_need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

/* Makes a folder of mode 0700 and opens it. */
static inline int
temporary_make(char path[TEMPORARY_MAX])
{
	snprintf(path, TEMPORARY_MAX, "/tmp/keepmail-unit.XXXXXX");
	temporary_need(mkdtemp(path) != NULL, "mkdtemp");
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	temporary_need(fd >= 0, path);
	return fd;
}

static inline int
temporary_remove_entry(
	const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static inline void
temporary_remove(const char *path, int fd)
{
	close(fd);
	(void)nftw(path, temporary_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void
temporary_write(int folder, const char *name, const char *text, mode_t mode)
{
	int fd = openat(
		folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	temporary_need(fd >= 0, name);
	temporary_need(
		write(fd, text, strlen(text)) == (ssize_t)strlen(text), name);
	temporary_need(fchmod(fd, mode) == 0, name);
	close(fd);
}

/* What a file holds, cut to size - 1 octets; "" if there is none. */
static inline const char *
temporary_read(int folder, const char *name, char *buffer, size_t size)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, buffer, size - 1);

	buffer[got < 0 ? 0 : got] = 0;
	if (fd >= 0)
		close(fd);
	return buffer;
}

#endif
