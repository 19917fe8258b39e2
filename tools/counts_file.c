#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/deadline.h"
#include "lib/durable.h"
#include "tools/counts_file.h"

#define LEFT_BEHIND "." COUNTS_FILE "."

void
counts_file_time(struct counts_time *time)
{
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	time->wall_s = wall.tv_sec;
	time->now_ms = deadline_now_ms();
}

void
counts_file_boot(char boot[37])
{
	ssize_t got = -1;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		got = read(fd, boot, 36);
		close(fd);
	}
	boot[got == 36 ? 36 : 0] = 0;
}

static void
clear(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *name;

	if (names == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((name = readdir(names)) != NULL)
		if (strncmp(name->d_name, LEFT_BEHIND, strlen(LEFT_BEHIND)) ==
			0)
			(void)unlinkat(folder, name->d_name, 0);
	closedir(names);
}

/* Reads all of the file. 0, or -1 with errno. */
static int
read_all(int fd, stralloc *octets)
{
	struct stat stat;
	ssize_t got;

	if (fstat(fd, &stat) < 0)
		return -1;
	if (!S_ISREG(stat.st_mode) || stat.st_size > COUNTS_FILE_MAX) {
		errno = EFBIG;
		return -1;
	}
	if (!stralloc_ready(octets, (size_t)stat.st_size + 1))
		return -1;
	while (octets->len < (size_t)stat.st_size) {
		got = read(fd, octets->s + octets->len,
			(size_t)stat.st_size - octets->len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		octets->len += (size_t)got;
	}
	return 0;
}

long
counts_file_read(int folder, struct counts *counts,
	const struct counts_time *time, char *why, size_t size)
{
	stralloc octets = STRALLOC_ZERO;
	long read = 0;

	*why = 0;
	clear(folder);
	int fd = openat(folder, COUNTS_FILE,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		if (errno != ENOENT)
			snprintf(why, size, "count/%s: %s: begins with none",
				COUNTS_FILE, strerror(errno));
		return 0;
	}
	if (read_all(fd, &octets) < 0) {
		snprintf(why, size, "count/%s: %s: begins with none",
			COUNTS_FILE, strerror(errno));
	} else {
		read = counts_unpack(counts, time, octets.s, octets.len);
		if (read < 0)
			snprintf(why, size,
				"count/%s: not a file of counters: begins with "
				"none",
				COUNTS_FILE);
	}
	close(fd);
	stralloc_free(&octets);
	return read < 0 ? 0 : read;
}

int
counts_file_write(
	int folder, struct counts *counts, const struct counts_time *time)
{
	stralloc octets = STRALLOC_ZERO;
	int result = counts_pack(counts, time, &octets);

	if (result == 0)
		result = durable_replace(folder, COUNTS_FILE, octets.s,
			octets.len, 0600, (uid_t)-1, (gid_t)-1);
	stralloc_free(&octets);
	return result;
}
