#include "tests/crash/look.h"
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

size_t
look_octets(pid_t pid, unsigned long long from, void *to, size_t length)
{
	struct iovec here = {to, length};
	struct iovec there = {(void *)(uintptr_t)from, length};
	ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);

	return got < 0 ? 0 : (size_t)got;
}

/* A text of unknown length: no read may cross into a page that is not there. */
static void
look_text(pid_t pid, unsigned long long from, char text[PATH_MAX])
{
	size_t length = 0;

	while (length < PATH_MAX - 1) {
		size_t piece = 4096 - (size_t)((from + length) % 4096);
		if (piece > PATH_MAX - 1 - length)
			piece = PATH_MAX - 1 - length;
		size_t got =
			look_octets(pid, from + length, text + length, piece);
		if (got == 0 || memchr(text + length, 0, got) != NULL)
			return;
		length += got;
		text[length] = 0;
	}
}

void
look_descriptor(pid_t pid, int fd, char path[PATH_MAX])
{
	char name[64];

	if (fd == AT_FDCWD)
		snprintf(name, sizeof name, "/proc/%d/cwd", (int)pid);
	else
		snprintf(name, sizeof name, "/proc/%d/fd/%d", (int)pid, fd);
	ssize_t length = readlink(name, path, PATH_MAX - 1);
	path[length < 0 ? 0 : length] = 0;
}

void
look_name(pid_t pid, int folder, unsigned long long name, char path[PATH_MAX])
{
	char text[PATH_MAX] = "";

	look_text(pid, name, text);
	path[0] = 0;
	if (text[0] != '/') {
		look_descriptor(pid, folder, path);
		size_t length = strlen(path);
		snprintf(path + length, PATH_MAX - length, "/%s", text);
	} else {
		snprintf(path, PATH_MAX, "%s", text);
	}
}

long long
look_position(pid_t pid, int fd)
{
	char name[64];
	long long at = -1;

	snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", (int)pid, fd);
	FILE *file = fopen(name, "r");
	if (file != NULL) {
		if (fscanf(file, "pos: %lld", &at) != 1)
			at = -1;
		fclose(file);
	}
	return at;
}
